//! Opening and closing.

use pagelab_mm::errno::Errno;

use super::{Args, Result, at};
use crate::{
    fs::{
        Inode, Kind, S_IFREG, System, contents,
        open::{
            O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_LARGEFILE, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY,
            O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
        },
        path::{Found, Last, Path, with},
        pipe,
    },
    state::Kernel,
    user_copy,
};

pub(super) fn open(kernel: &mut Kernel, &[path, flags, mode, ..]: &Args) -> Result {
    openat(kernel, &[at::AT_FDCWD, path, flags, mode, 0, 0])
}

pub(super) fn creat(kernel: &mut Kernel, &[path, mode, ..]: &Args) -> Result {
    let flags = O_CREAT | O_WRONLY | O_TRUNC;
    openat(kernel, &[at::AT_FDCWD, path, u64::from(flags), mode, 0, 0])
}

pub(super) fn openat(kernel: &mut Kernel, &[at, path, flags, mode, ..]: &Args) -> Result {
    /// What O_PATH leaves of the flags.
    const PATH_FLAGS: u32 = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;
    let mut flags = flags as u32;
    if flags & O_PATH != 0 {
        flags &= PATH_FLAGS;
    } else {
        flags |= O_LARGEFILE;
    }
    let temporary = flags & O_TMPFILE != 0;
    if temporary && (flags & O_DIRECTORY == 0 || flags & O_CREAT != 0 || flags & O_ACCMODE == O_RDONLY) {
        return Err(Errno::EINVAL);
    }
    if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY {
        return Err(Errno::EINVAL);
    }
    let mode = mode as u32 & 0o7777 & !kernel.process.umask;
    with(kernel, path, |kernel, path| {
        kernel.free_descriptor(0)?;
        let (found, created) = if temporary {
            let directory = at::walk(kernel, at, path, true)?.existing()?;
            (unnamed(kernel, directory, mode)?, true)
        } else {
            place(kernel, at, path, flags, mode)?
        };
        let fd = finish(kernel, found, flags, created);
        if fd.is_err() && temporary {
            kernel.release_unused(found.inode);
        }
        fd
    })
}

/// What is to be opened, made if need be; the second value says whether it was.
fn place(
    kernel: &mut Kernel,
    at: u64,
    path: &mut Path,
    flags: u32,
    mode: u32,
) -> core::result::Result<(Found, bool), Errno> {
    let follow = flags & O_NOFOLLOW == 0 && flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL;
    let walked = at::walk(kernel, at, path, follow)?;
    if flags & O_CREAT != 0 && (walked.last != Last::Name || walked.trailing_slash) {
        return Err(Errno::EISDIR);
    }
    match walked.found {
        Some(_) if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL => Err(Errno::EEXIST),
        Some(found) => Ok((found, false)),
        None if flags & O_CREAT == 0 => Err(Errno::ENOENT),
        None => {
            let created = kernel.create(walked.directory, walked.name.bytes(), Kind::Regular, S_IFREG | mode)?;
            Ok((created, true))
        }
    }
}

/// A file without a name (O_TMPFILE), in the file system of a directory.
fn unnamed(kernel: &mut Kernel, directory: Found, mode: u32) -> core::result::Result<Found, Errno> {
    let directory = *kernel.inode(directory.inode);
    if !directory.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if !matches!(directory.system(), System::Root | System::Tmp) {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut inode = Inode::new(Kind::Regular, directory.system(), S_IFREG | mode, 0);
    inode.links = 0;
    Ok(Found { dentry: 0, inode: kernel.new_inode(inode)? })
}

/// The checks of what is there, and the descriptor.
fn finish(kernel: &mut Kernel, found: Found, flags: u32, created: bool) -> Result {
    let inode = *kernel.inode(found.inode);
    if flags & O_PATH == 0 && inode.is_link() {
        return Err(Errno::ELOOP);
    }
    if inode.is_directory() && (flags & O_CREAT != 0 || flags & O_ACCMODE != O_RDONLY) {
        return Err(Errno::EISDIR);
    }
    if flags & (O_DIRECTORY | O_TMPFILE) == O_DIRECTORY && !inode.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_PATH == 0 {
        match inode.kind() {
            // No process here has a terminal.
            Kind::Tty => return Err(Errno::ENXIO),
            Kind::Pipe if flags & O_ACCMODE == O_WRONLY && pipe::ends(kernel, found.inode, pipe::READERS) == 0 => {
                return Err(Errno::ENXIO);
            }
            _ => {}
        }
        if flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0 {
            kernel.may_write_file(found.inode)?;
        }
        if flags & O_TRUNC != 0 && inode.kind() == Kind::Regular && !created {
            contents::resize(kernel, found.inode, 0)?;
        }
    }
    kernel.open_found(found, flags)
}

pub(super) fn close(kernel: &mut Kernel, &[fd, ..]: &Args) -> Result {
    kernel.close(fd).map(|()| 0)
}

pub(super) fn close_range(kernel: &mut Kernel, &[first, last, flags, ..]: &Args) -> Result {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let (first, last, flags) = (first as u32, last as u32, flags as u32);
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    let mut next = u64::from(first);
    while let Some(fd) = kernel.process.descriptors.next_open(next).filter(|&fd| fd <= u64::from(last)) {
        if flags & CLOSE_RANGE_CLOEXEC != 0 {
            kernel.process.descriptors.set_close_on_exec(fd, true);
        } else {
            kernel.close(fd)?;
        }
        next = fd + 1;
    }
    Ok(0)
}

pub(super) fn pipe(kernel: &mut Kernel, &[address, ..]: &Args) -> Result {
    pipe2(kernel, &[address, 0, 0, 0, 0, 0])
}

pub(super) fn pipe2(kernel: &mut Kernel, &[address, flags, ..]: &Args) -> Result {
    const O_DIRECT: u32 = 0o40_000;
    const O_NOTIFICATION_PIPE: u32 = O_EXCL;
    let flags = flags as u32;
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_NOTIFICATION_PIPE) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & O_NOTIFICATION_PIPE != 0 {
        // As a kernel without notification queues.
        return Err(Errno::EINVAL);
    }
    let inode = pipe::new(kernel)?;
    kernel.inode_mut(inode).links = 0;
    let found = Found { dentry: 0, inode };
    let reader = kernel.open_found(found, flags | O_RDONLY).inspect_err(|_| kernel.release_unused(inode))?;
    let ends = kernel.open_found(found, flags | O_WRONLY).and_then(|writer| {
        user_copy::put(kernel, address, &[reader as u32, writer as u32]).inspect_err(|_| {
            kernel.close(writer).expect("it was opened just now");
        })
    });
    if ends.is_err() {
        kernel.close(reader)?;
    }
    ends.map(|()| 0)
}

pub(super) fn memfd_create(kernel: &mut Kernel, &[address, flags, ..]: &Args) -> Result {
    const MFD_CLOEXEC: u32 = 1;
    const MFD_ALLOW_SEALING: u32 = 2;
    const MFD_NOEXEC_SEAL: u32 = 8;
    const MFD_EXEC: u32 = 16;
    const F_SEAL_EXEC: u8 = 0x20;
    const PREFIX: &[u8] = b"memfd:";
    let flags = flags as u32;
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) != 0
        || flags & (MFD_EXEC | MFD_NOEXEC_SEAL) == MFD_EXEC | MFD_NOEXEC_SEAL
    {
        return Err(Errno::EINVAL);
    }
    let mut name = [0; 255];
    name[..PREFIX.len()].copy_from_slice(PREFIX);
    let length = match user_copy::string(kernel, address, &mut name[PREFIX.len()..]) {
        // NAME_MAX less the prefix.
        Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL),
        other => other? + PREFIX.len(),
    };
    let mode = if flags & MFD_NOEXEC_SEAL != 0 { 0o666 } else { 0o777 };
    let mut inode = Inode::new(Kind::Regular, System::Tmp, S_IFREG | mode, 0);
    inode.links = 0;
    inode.seals = match flags {
        flags if flags & MFD_NOEXEC_SEAL != 0 => F_SEAL_EXEC,
        flags if flags & MFD_ALLOW_SEALING != 0 => 0,
        _ => contents::SEAL_SEAL,
    };
    let inode = kernel.new_inode(inode)?;
    let outcome = kernel.add_unlinked_dentry(&name[..length], inode).and_then(|dentry| {
        let cloexec = if flags & MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
        let fd = kernel.open_found(Found { dentry, inode }, O_RDWR | O_LARGEFILE | cloexec);
        kernel.let_dentry_go(dentry);
        fd
    });
    if outcome.is_err() {
        kernel.release_unused(inode);
    }
    outcome
}
