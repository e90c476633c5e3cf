//! Paths as arguments of system calls: relative to a descriptor's directory, to the working directory, or absolute.

use pagelab_mm::errno::Errno;

use crate::{
    fs::{
        Slot,
        path::{self, Found, Path, Walked},
    },
    state::Kernel,
};

/// "Relative to the working directory".
pub(super) const AT_FDCWD: u64 = -100i64 as u64;
/// Do not follow a link at the end.
pub(super) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// Follow a link at the end, where a call does not.
pub(super) const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// An empty path is the descriptor itself.
pub(super) const AT_EMPTY_PATH: u32 = 0x1000;

/// The directory (an inode slot) that a path starts from.
fn start(kernel: &Kernel, at: u64, path: &Path) -> Result<Slot, Errno> {
    if path.text().starts_with(b"/") {
        return Ok(kernel.fs.root);
    }
    if at as i32 == AT_FDCWD as i32 {
        return Ok(kernel.process.directory);
    }
    let inode = kernel.open(kernel.open_slot(at)?).inode;
    if kernel.inode(inode).is_directory() { Ok(inode) } else { Err(Errno::ENOTDIR) }
}

/// Walks a path that was read already.
pub(super) fn walk(kernel: &mut Kernel, at: u64, path: &mut Path, follow: bool) -> Result<Walked, Errno> {
    let start = start(kernel, at, path)?;
    path::walk(kernel, start, path, follow)
}

/// Walks a path of the program.
pub(super) fn place(kernel: &mut Kernel, at: u64, address: u64, follow: bool) -> Result<Walked, Errno> {
    path::with(kernel, address, |kernel, path| walk(kernel, at, path, follow))
}

/// What a path of the program names.
pub(super) fn find(kernel: &mut Kernel, at: u64, address: u64, follow: bool) -> Result<Found, Errno> {
    place(kernel, at, address, follow)?.existing()
}

/// What a path of the program names; with AT_EMPTY_PATH and an empty path, what the descriptor is.
pub(super) fn find_or_self(
    kernel: &mut Kernel,
    at: u64,
    address: u64,
    flags: u32,
    follow: bool,
) -> Result<Found, Errno> {
    if flags & AT_EMPTY_PATH == 0 {
        return find(kernel, at, address, follow);
    }
    path::with_any(kernel, address, |kernel, path| {
        if !path.is_empty() {
            return walk(kernel, at, path, follow)?.existing();
        }
        if at as i32 == AT_FDCWD as i32 {
            let inode = kernel.process.directory;
            return Ok(Found { dentry: kernel.inode(inode).dentry, inode });
        }
        let open = *kernel.open(kernel.open_slot(at)?);
        Ok(Found { dentry: open.dentry, inode: open.inode })
    })
}
