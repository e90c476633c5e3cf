//! System calls that open and close files of the initramfs, which cannot be written, and move about in them.

use pagelab_mm::errno::Errno;

use super::{Args, Result, path};
use crate::{
    files::FileEntry,
    open_files::{Open, What},
    state::Kernel,
};

/// Flags of open (Linux's `asm-generic/fcntl.h`).
const O_ACCMODE: u64 = 3;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_TRUNC: u64 = 0o1000;
const O_DIRECTORY: u64 = 0o200_000;

pub(super) fn open(kernel: &mut Kernel, &[path, flags, ..]: &Args) -> Result {
    openat(kernel, &[path::AT_FDCWD, path, flags, 0, 0, 0])
}

pub(super) fn openat(kernel: &mut Kernel, &[at, path, flags, ..]: &Args) -> Result {
    let index = match path::look_up(kernel, at, path) {
        Err(Errno::ENOENT) if flags & O_CREAT != 0 => return Err(Errno::EROFS),
        other => other?,
    };
    if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
        return Err(Errno::EEXIST);
    }
    let directory = kernel.files.entry(index).is_directory();
    if directory && (flags & O_ACCMODE != 0 || flags & O_CREAT != 0) {
        return Err(Errno::EISDIR);
    }
    if flags & O_DIRECTORY != 0 && !directory {
        return Err(Errno::ENOTDIR);
    }
    if flags & (O_ACCMODE | O_TRUNC) != 0 {
        return Err(Errno::EROFS);
    }
    kernel.process.open_files.open(What::File(index))
}

pub(super) fn close(kernel: &mut Kernel, &[fd, ..]: &Args) -> Result {
    kernel.process.open_files.close(fd).map(|()| 0)
}

/// Contents of what can be read.
pub(super) fn contents(kernel: &Kernel, what: What) -> core::result::Result<&'static [u8], Errno> {
    match what {
        What::Console(_) => Err(Errno::EBADF),
        What::Nothing => Ok(&[]),
        What::File(index) => match kernel.files.entry(index) {
            entry if entry.is_directory() => Err(Errno::EISDIR),
            &FileEntry { bytes, .. } => Ok(bytes),
        },
    }
}

pub(super) fn lseek(kernel: &mut Kernel, &[fd, offset, whence, ..]: &Args) -> Result {
    const SEEK_SET: u32 = 0;
    const SEEK_CUR: u32 = 1;
    const SEEK_END: u32 = 2;
    let Open { what, offset: current } = *kernel.process.open_files.get(fd)?;
    if matches!(what, What::Console(_)) {
        return Err(Errno::ESPIPE);
    }
    let base = match whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => current,
        SEEK_END => contents(kernel, what)?.len() as u64,
        _ => return Err(Errno::EINVAL),
    };
    let target = base.checked_add_signed(offset as i64).filter(|&target| target <= i64::MAX as u64);
    let target = target.ok_or(Errno::EINVAL)?;
    kernel.process.open_files.get(fd)?.offset = target;
    Ok(target)
}
