//! System calls that make, remove and move names.

use pagelab_mm::errno::Errno;

use super::{
    Args, Result,
    at::{self, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW},
};
use crate::{
    fs::{
        Kind, S_IFDIR, S_IFIFO, S_IFREG, Slot, System, inode,
        path::{Found, Last, PATH_MAX, Walked, with},
    },
    state::Kernel,
    user_copy,
};

/// Where a new name is to be made: EEXIST if something is there, ENOENT for a file with a slash behind its name.
fn free_place(kernel: &Kernel, walked: &Walked, directory: bool) -> core::result::Result<(), Errno> {
    if walked.last != Last::Name || walked.found.is_some() {
        return Err(Errno::EEXIST);
    }
    if walked.trailing_slash && !directory {
        return Err(Errno::ENOENT);
    }
    kernel.may_change(walked.directory)
}

pub(super) fn mkdir(kernel: &mut Kernel, &[path, mode, ..]: &Args) -> Result {
    mkdirat(kernel, &[AT_FDCWD, path, mode, 0, 0, 0])
}

pub(super) fn mkdirat(kernel: &mut Kernel, &[at, path, mode, ..]: &Args) -> Result {
    let walked = at::place(kernel, at, path, false)?;
    free_place(kernel, &walked, true)?;
    let mode = mode as u32 & 0o1777 & !kernel.process.umask;
    kernel.create(walked.directory, walked.name.bytes(), Kind::Directory, S_IFDIR | mode)?;
    Ok(0)
}

pub(super) fn mknod(kernel: &mut Kernel, &[path, mode, device, ..]: &Args) -> Result {
    mknodat(kernel, &[AT_FDCWD, path, mode, device, 0, 0])
}

/// Regular files and pipes; devices other than those of `/dev` there are none.
pub(super) fn mknodat(kernel: &mut Kernel, &[at, path, mode, ..]: &Args) -> Result {
    let mode = mode as u32;
    let walked = at::place(kernel, at, path, false)?;
    free_place(kernel, &walked, false)?;
    let bits = mode & 0o7777 & !kernel.process.umask;
    match mode & inode::S_IFMT {
        0 | S_IFREG => {
            kernel.create(walked.directory, walked.name.bytes(), Kind::Regular, S_IFREG | bits)?;
        }
        S_IFIFO => {
            kernel.create_pipe(walked.directory, walked.name.bytes(), S_IFIFO | bits)?;
        }
        S_IFDIR => return Err(Errno::EPERM),
        inode::S_IFCHR | inode::S_IFBLK => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

pub(super) fn symlink(kernel: &mut Kernel, &[target, path, ..]: &Args) -> Result {
    symlinkat(kernel, &[target, AT_FDCWD, path, 0, 0, 0])
}

pub(super) fn symlinkat(kernel: &mut Kernel, &[target, at, path, ..]: &Args) -> Result {
    with(kernel, target, |kernel, target| {
        let walked = at::place(kernel, at, path, false)?;
        free_place(kernel, &walked, false)?;
        kernel.create_link(walked.directory, walked.name.bytes(), target.text())?;
        Ok(0)
    })
}

pub(super) fn link(kernel: &mut Kernel, &[old, new, ..]: &Args) -> Result {
    linkat(kernel, &[AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}

pub(super) fn linkat(kernel: &mut Kernel, &[old_at, old, new_at, new, flags, _]: &Args) -> Result {
    let flags = flags as u32;
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let found = at::find_or_self(kernel, old_at, old, flags, flags & AT_SYMLINK_FOLLOW != 0)?;
    let walked = at::place(kernel, new_at, new, false)?;
    free_place(kernel, &walked, false)?;
    let (old, directory) = (*kernel.inode(found.inode), *kernel.inode(walked.directory));
    if old.system() != directory.system() {
        return Err(Errno::EXDEV);
    }
    if old.is_directory() {
        return Err(Errno::EPERM);
    }
    // A file without a name gets one only if it was made for that (O_TMPFILE).
    if old.links == 0 && found.dentry != 0 {
        return Err(Errno::ENOENT);
    }
    kernel.inode_mut(found.inode).links += 1;
    if let Err(errno) = kernel.name_inode(walked.directory, walked.name.bytes(), found.inode) {
        kernel.inode_mut(found.inode).links -= 1;
        return Err(errno);
    }
    kernel.changed(found.inode, false);
    Ok(0)
}

pub(super) fn unlink(kernel: &mut Kernel, &[path, ..]: &Args) -> Result {
    unlinkat(kernel, &[AT_FDCWD, path, 0, 0, 0, 0])
}

pub(super) fn rmdir(kernel: &mut Kernel, &[path, ..]: &Args) -> Result {
    const AT_REMOVEDIR: u64 = 0x200;
    unlinkat(kernel, &[AT_FDCWD, path, AT_REMOVEDIR, 0, 0, 0])
}

pub(super) fn unlinkat(kernel: &mut Kernel, &[at, path, flags, ..]: &Args) -> Result {
    const AT_REMOVEDIR: u32 = 0x200;
    let flags = flags as u32;
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    // Without a walk through a link, whatever stands behind its name.
    let walked = match at::place(kernel, at, path, false) {
        Err(Errno::ENOTDIR) if flags == 0 => return Err(Errno::ENOTDIR),
        other => other?,
    };
    if flags & AT_REMOVEDIR != 0 {
        match walked.last {
            Last::Name => {}
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        }
        let found = walked.existing()?;
        if !kernel.inode(found.inode).is_directory() {
            return Err(Errno::ENOTDIR);
        }
        removable(kernel, walked.directory, found)?;
        kernel.check_empty(found.inode)?;
        kernel.remove_directory(walked.directory, found)?;
        return Ok(0);
    }
    if walked.last != Last::Name {
        return Err(Errno::EISDIR);
    }
    let found = walked.existing()?;
    if kernel.inode(found.inode).is_directory() {
        return Err(Errno::EISDIR);
    }
    removable(kernel, walked.directory, found)?;
    kernel.unname(walked.directory, found.dentry)?;
    Ok(0)
}

/// Whether a name may be taken out of its directory: not where `/dev`, `/proc` and `/tmp` begin.
fn removable(kernel: &Kernel, directory: Slot, found: Found) -> core::result::Result<(), Errno> {
    let (inside, above) = (kernel.inode(found.inode), kernel.inode(directory));
    if above.system() == System::Proc {
        return Err(Errno::EPERM);
    }
    if inside.is_directory() && inside.system() != above.system() {
        return Err(Errno::EBUSY);
    }
    Ok(())
}

pub(super) fn rename(kernel: &mut Kernel, &[old, new, ..]: &Args) -> Result {
    renameat2(kernel, &[AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}

pub(super) fn renameat(kernel: &mut Kernel, &[old_at, old, new_at, new, ..]: &Args) -> Result {
    renameat2(kernel, &[old_at, old, new_at, new, 0, 0])
}

pub(super) fn renameat2(kernel: &mut Kernel, &[old_at, old, new_at, new, flags, _]: &Args) -> Result {
    const RENAME_NOREPLACE: u32 = 1;
    const RENAME_EXCHANGE: u32 = 2;
    const RENAME_WHITEOUT: u32 = 4;
    let flags = flags as u32;
    if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0
        || flags & RENAME_EXCHANGE != 0 && flags != RENAME_EXCHANGE
    {
        return Err(Errno::EINVAL);
    }
    with(kernel, old, |kernel, old| {
        with(kernel, new, |kernel, new| {
            let from = at::walk(kernel, old_at, old, false)?;
            let to = at::walk(kernel, new_at, new, false)?;
            let systems = [from.directory, to.directory].map(|inode| kernel.inode(inode).system());
            if systems[0] != systems[1] {
                return Err(Errno::EXDEV);
            }
            if from.last != Last::Name {
                return Err(Errno::EBUSY);
            }
            if to.last != Last::Name {
                return Err(if flags & RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY });
            }
            let found = from.existing()?;
            if to.found.is_some() && flags & RENAME_NOREPLACE != 0 {
                return Err(Errno::EEXIST);
            }
            if flags & RENAME_EXCHANGE != 0 && to.found.is_none() {
                return Err(Errno::ENOENT);
            }
            let is_directory = kernel.inode(found.inode).is_directory();
            if !is_directory && (from.trailing_slash || to.trailing_slash && flags & RENAME_EXCHANGE == 0) {
                return Err(Errno::ENOTDIR);
            }
            if is_directory && kernel.is_inside(to.directory, found.inode) {
                return Err(Errno::EINVAL);
            }
            if let Some(target) = to.found
                && kernel.is_inside(from.directory, target.inode)
            {
                return Err(if flags & RENAME_EXCHANGE != 0 { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
            if to.found.is_some_and(|target| target.inode == found.inode) {
                return Ok(0);
            }
            removable(kernel, from.directory, found)?;
            kernel.may_change(to.directory)?;
            if flags & RENAME_WHITEOUT != 0 {
                return Err(Errno::EINVAL);
            }
            if let Some(target) = to.found {
                removable(kernel, to.directory, target)?;
                if flags & RENAME_EXCHANGE != 0 {
                    kernel.exchange_names((from.directory, found), (to.directory, target));
                    return Ok(0);
                }
                match (is_directory, kernel.inode(target.inode).is_directory()) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    (true, true) => kernel.check_empty(target.inode)?,
                    (false, false) => {}
                }
            }
            kernel.move_name((from.directory, found), (to.directory, to.name.bytes()), to.found)?;
            Ok(0)
        })
    })
}

pub(super) fn getcwd(kernel: &mut Kernel, &[buffer, size, ..]: &Args) -> Result {
    let dentry = kernel.inode(kernel.process.directory).dentry;
    if kernel.inode(kernel.process.directory).links == 0 {
        return Err(Errno::ENOENT);
    }
    let mut path = [0; PATH_MAX];
    let start = kernel.path_of(dentry, &mut path[..PATH_MAX - 1]).ok_or(Errno::ENAMETOOLONG)?;
    let text = &path[start..];
    if text.len() as u64 > size {
        return Err(Errno::ERANGE);
    }
    user_copy::write(kernel, buffer, text)?;
    Ok(text.len() as u64)
}

fn enter(kernel: &mut Kernel, inode: Slot) -> Result {
    if !kernel.inode(inode).is_directory() {
        return Err(Errno::ENOTDIR);
    }
    kernel.hold(inode);
    let old = core::mem::replace(&mut kernel.process.directory, inode);
    kernel.let_go(old);
    Ok(0)
}

pub(super) fn chdir(kernel: &mut Kernel, &[path, ..]: &Args) -> Result {
    let found = at::find(kernel, AT_FDCWD, path, true)?;
    enter(kernel, found.inode)
}

pub(super) fn fchdir(kernel: &mut Kernel, &[fd, ..]: &Args) -> Result {
    let inode = kernel.open(kernel.open_slot(fd)?).inode;
    enter(kernel, inode)
}
