//! System calls on descriptors: the console, and the files of the initramfs, which cannot be written.

use pagelab_abi::code::{BulkKind, Moment};
use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Args, Result, path};
use crate::{
    files::FileEntry,
    open_files::{Open, What},
    state::Kernel,
    user_copy,
};

/// Most bytes that one read or write moves (Linux's MAX_RW_COUNT).
const MAX_RW: u64 = 0x7fff_f000;
/// Most buffers of one readv or writev (UIO_MAXIOV).
const MAX_BUFFERS: u64 = 1024;

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
fn contents(kernel: &Kernel, what: What) -> core::result::Result<&'static [u8], Errno> {
    match what {
        What::Console(_) => Err(Errno::EBADF),
        What::Nothing => Ok(&[]),
        What::File(index) => match kernel.files.entry(index) {
            entry if entry.is_directory() => Err(Errno::EISDIR),
            &FileEntry { bytes, .. } => Ok(bytes),
        },
    }
}

/// Copies what lies at an offset of a file.
fn copy_out(kernel: &mut Kernel, what: What, offset: u64, buffer: u64, length: u64) -> Result {
    let contents = contents(kernel, what)?;
    let rest = contents.get(offset.min(contents.len() as u64) as usize..).unwrap_or_default();
    let taken = &rest[..rest.len().min(length.min(MAX_RW) as usize)];
    user_copy::write(kernel, buffer, taken)?;
    Ok(taken.len() as u64)
}

pub(super) fn read(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    let Open { what, offset } = *kernel.process.open_files.get(fd)?;
    let taken = copy_out(kernel, what, offset, buffer, length)?;
    kernel.process.open_files.get(fd)?.offset += taken;
    Ok(taken)
}

pub(super) fn pread64(kernel: &mut Kernel, &[fd, buffer, length, offset, ..]: &Args) -> Result {
    let what = kernel.process.open_files.get(fd)?.what;
    if offset > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    if matches!(what, What::Console(_)) {
        return Err(Errno::ESPIPE);
    }
    copy_out(kernel, what, offset, buffer, length)
}

pub(super) fn lseek(kernel: &mut Kernel, &[fd, offset, whence, ..]: &Args) -> Result {
    const SEEK_SET: u64 = 0;
    const SEEK_CUR: u64 = 1;
    const SEEK_END: u64 = 2;
    let Open { what, offset: current } = *kernel.process.open_files.get(fd)?;
    if matches!(what, What::Console(_)) {
        return Err(Errno::ESPIPE);
    }
    let base = match whence {
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

/// The console: each page-sized piece goes to the host from where it lies.
pub(super) fn write(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    let What::Console(stream) = kernel.process.open_files.get(fd)?.what else {
        return Err(Errno::EBADF);
    };
    let mut written = 0;
    let outcome = user_copy::pieces(kernel, buffer, length.min(MAX_RW), false, |kernel, pfn, offset, piece, _| {
        let gpa = pfn.address() + offset as u64;
        kernel.mm.trace.bulk_at(BulkKind::Console, stream, Moment::Request, false, gpa, piece as u32);
        written += piece as u64;
        Ok(())
    });
    match outcome {
        Err(errno) if written == 0 => Err(errno),
        _ => Ok(written),
    }
}

/// Linux's `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct IoVec {
    base: u64,
    length: u64,
}

pub(super) fn readv(kernel: &mut Kernel, args: &Args) -> Result {
    vectored(kernel, args, read)
}

pub(super) fn writev(kernel: &mut Kernel, args: &Args) -> Result {
    vectored(kernel, args, write)
}

fn vectored(kernel: &mut Kernel, &[fd, vector, count, ..]: &Args, one: fn(&mut Kernel, &Args) -> Result) -> Result {
    kernel.process.open_files.get(fd)?;
    if count > MAX_BUFFERS {
        return Err(Errno::EINVAL);
    }
    let mut total = 0;
    for index in 0..count {
        let address = vector.checked_add(index * size_of::<IoVec>() as u64).ok_or(Errno::EFAULT)?;
        let buffer: IoVec = user_copy::get(kernel, address)?;
        if buffer.length > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        match one(kernel, &[fd, buffer.base, buffer.length, 0, 0, 0]) {
            Ok(moved) => {
                total += moved;
                if moved < buffer.length {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}
