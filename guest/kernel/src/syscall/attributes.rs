//! System calls that change what is known of a file: mode, owner, times, length.

use pagelab_mm::errno::Errno;

use super::{
    Args, Result,
    at::{self, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW},
};
use crate::{
    fs::{
        Kind, Slot, System,
        contents::{self, MAX_SIZE, SEAL_WRITES},
        inode::S_IFMT,
    },
    state::Kernel,
    user_copy,
};

/// What cannot be changed: `/proc` shows what the kernel has.
fn changeable(kernel: &Kernel, inode: Slot) -> core::result::Result<(), Errno> {
    if kernel.inode(inode).system() == System::Proc { Err(Errno::EPERM) } else { Ok(()) }
}

fn set_mode(kernel: &mut Kernel, inode: Slot, mode: u64) -> Result {
    changeable(kernel, inode)?;
    if kernel.inode(inode).is_link() {
        return Err(Errno::EOPNOTSUPP);
    }
    let entry = kernel.inode_mut(inode);
    entry.mode = entry.mode & S_IFMT | mode as u32 & 0o7777;
    kernel.changed(inode, false);
    Ok(0)
}

pub(super) fn chmod(kernel: &mut Kernel, &[path, mode, ..]: &Args) -> Result {
    fchmodat2(kernel, &[AT_FDCWD, path, mode, 0, 0, 0])
}

pub(super) fn fchmodat(kernel: &mut Kernel, &[at, path, mode, ..]: &Args) -> Result {
    fchmodat2(kernel, &[at, path, mode, 0, 0, 0])
}

pub(super) fn fchmodat2(kernel: &mut Kernel, &[at, path, mode, flags, ..]: &Args) -> Result {
    let flags = flags as u32;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let found = at::find_or_self(kernel, at, path, flags, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    set_mode(kernel, found.inode, mode)
}

pub(super) fn fchmod(kernel: &mut Kernel, &[fd, mode, ..]: &Args) -> Result {
    let (_, open) = kernel.opened(fd)?;
    set_mode(kernel, open.inode, mode)
}

/// Takes the owner that is given; an id of -1 stays as it was.
fn set_owner(kernel: &mut Kernel, inode: Slot, uid: u64, gid: u64) -> Result {
    changeable(kernel, inode)?;
    let entry = kernel.inode_mut(inode);
    for (given, place) in [(uid as u32, &mut entry.uid), (gid as u32, &mut entry.gid)] {
        if given != u32::MAX {
            *place = given;
        }
    }
    kernel.changed(inode, false);
    Ok(0)
}

pub(super) fn chown(kernel: &mut Kernel, &[path, uid, gid, ..]: &Args) -> Result {
    fchownat(kernel, &[AT_FDCWD, path, uid, gid, 0, 0])
}

pub(super) fn lchown(kernel: &mut Kernel, &[path, uid, gid, ..]: &Args) -> Result {
    fchownat(kernel, &[AT_FDCWD, path, uid, gid, u64::from(AT_SYMLINK_NOFOLLOW), 0])
}

pub(super) fn fchownat(kernel: &mut Kernel, &[at, path, uid, gid, flags, _]: &Args) -> Result {
    let flags = flags as u32;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let found = at::find_or_self(kernel, at, path, flags, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    set_owner(kernel, found.inode, uid, gid)
}

pub(super) fn fchown(kernel: &mut Kernel, &[fd, uid, gid, ..]: &Args) -> Result {
    let (_, open) = kernel.opened(fd)?;
    set_owner(kernel, open.inode, uid, gid)
}

pub(super) fn umask(kernel: &mut Kernel, &[mask, ..]: &Args) -> Result {
    let old = core::mem::replace(&mut kernel.process.umask, mask as u32 & 0o777);
    Ok(u64::from(old))
}

pub(super) fn utimensat(kernel: &mut Kernel, &[at, path, times, flags, ..]: &Args) -> Result {
    const UTIME_NOW: u64 = (1 << 30) - 1;
    const UTIME_OMIT: u64 = (1 << 30) - 2;
    const NANOSECONDS: u64 = 1_000_000_000;
    let flags = flags as u32;
    let given = if times == 0 {
        [[0, UTIME_NOW]; 2]
    } else {
        let given: [[u64; 2]; 2] = user_copy::get(kernel, times)?;
        if given.iter().all(|time| time[1] == UTIME_OMIT) {
            return Ok(0);
        }
        given
    };
    if given.iter().any(|time| time[1] >= NANOSECONDS && time[1] != UTIME_NOW && time[1] != UTIME_OMIT) {
        return Err(Errno::EINVAL);
    }
    let inode = if path == 0 && at as i32 != AT_FDCWD as i32 {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        kernel.opened(at)?.1.inode
    } else {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        at::find_or_self(kernel, at, path, flags, flags & AT_SYMLINK_NOFOLLOW == 0)?.inode
    };
    changeable(kernel, inode)?;
    let now = kernel.clock.calendar();
    let mut known = kernel.times(inode);
    for (time, place) in given.into_iter().zip([&mut known.accessed, &mut known.modified]) {
        match time[1] {
            UTIME_OMIT => {}
            UTIME_NOW => *place = now,
            _ => *place = time,
        }
    }
    known.changed = now;
    kernel.set_times(inode, known).map(|()| 0)
}

pub(super) fn truncate(kernel: &mut Kernel, &[path, length, ..]: &Args) -> Result {
    if length as i64 <= -1 {
        return Err(Errno::EINVAL);
    }
    let found = at::find(kernel, AT_FDCWD, path, true)?;
    match kernel.inode(found.inode).kind() {
        Kind::Regular => {
            kernel.may_write_file(found.inode)?;
            contents::resize(kernel, found.inode, length).map(|()| 0)
        }
        Kind::Directory => Err(Errno::EISDIR),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn ftruncate(kernel: &mut Kernel, &[fd, length, ..]: &Args) -> Result {
    if length as i64 <= -1 {
        return Err(Errno::EINVAL);
    }
    let (_, open) = kernel.opened(fd)?;
    if kernel.inode(open.inode).kind() != Kind::Regular || !open.is_writable() {
        return Err(Errno::EINVAL);
    }
    contents::resize(kernel, open.inode, length).map(|()| 0)
}

/// Of tmpfs and memfds; the root, a ramfs, does not have it.
pub(super) fn fallocate(kernel: &mut Kernel, &[fd, mode, offset, length, ..]: &Args) -> Result {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const KNOWN: u32 = 0x7f;
    let (_, open) = kernel.opened(fd)?;
    let mode = mode as u32;
    if (offset as i64) < 0 || (length as i64) <= 0 {
        return Err(Errno::EINVAL);
    }
    if mode & !KNOWN != 0 || mode & (KEEP_SIZE | PUNCH_HOLE) == PUNCH_HOLE {
        return Err(Errno::EOPNOTSUPP);
    }
    if !open.is_writable() {
        return Err(Errno::EBADF);
    }
    let inode = *kernel.inode(open.inode);
    match inode.kind() {
        Kind::Regular => {}
        Kind::Directory => return Err(Errno::EISDIR),
        Kind::Pipe | Kind::Console => return Err(Errno::ESPIPE),
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(length).filter(|&end| end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
    if inode.system() != System::Tmp || mode & !(KEEP_SIZE | PUNCH_HOLE) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if mode & PUNCH_HOLE != 0 {
        if inode.seals & SEAL_WRITES != 0 {
            return Err(Errno::EPERM);
        }
        return contents::punch(kernel, open.inode, offset, end).map(|()| 0);
    }
    contents::reserve(kernel, open.inode, offset, end, mode & KEEP_SIZE != 0)?;
    Ok(0)
}
