//! System calls on the standard descriptors and on paths of the initramfs.

use pagelab_abi::{
    code::{BulkKind, Moment},
    layout::PAGE_SIZE,
};
use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Args, Result};
use crate::{state::Kernel, user_copy};

const STDIN: u64 = 0;
const STDOUT: u64 = 1;
const STDERR: u64 = 2;

/// Most bytes that one read or write moves (Linux's MAX_RW_COUNT).
const MAX_RW: u64 = 0x7fff_f000;
/// Most buffers of one readv or writev (UIO_MAXIOV).
const MAX_BUFFERS: u64 = 1024;
/// Longest path, its NUL included (PATH_MAX).
const PATH_MAX: usize = 4096;

const AT_FDCWD: i32 = -100;
const AT_EMPTY_PATH: u64 = 0x1000;

/// The link that names the running program.
const SELF_EXE: &[u8] = b"/proc/self/exe";

pub(super) fn read(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    match fd {
        STDIN => {
            let stdin = kernel.files.stdin();
            let rest = &stdin[kernel.process.stdin_offset.min(stdin.len())..];
            let taken = &rest[..rest.len().min(length.min(MAX_RW) as usize)];
            user_copy::write(kernel, buffer, taken)?;
            kernel.process.stdin_offset += taken.len();
            Ok(taken.len() as u64)
        }
        _ => Err(Errno::EBADF),
    }
}

/// The console: each page-sized piece goes to the host from where it lies.
pub(super) fn write(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    if fd != STDOUT && fd != STDERR {
        return Err(Errno::EBADF);
    }
    let length = length.min(MAX_RW);
    let mut written = 0;
    let outcome = user_copy::pieces(kernel, buffer, length, false, |kernel, pfn, offset, piece, _| {
        let gpa = pfn.address() + offset as u64;
        kernel.mm.trace.bulk_at(BulkKind::Console, fd as u8, Moment::Request, false, gpa, piece as u32);
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
    if count > MAX_BUFFERS {
        return Err(Errno::EINVAL);
    }
    let mut total = 0;
    for index in 0..count {
        let buffer: IoVec = user_copy::get(kernel, vector + index * size_of::<IoVec>() as u64)?;
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

/// Standard descriptors stay open: closing one only succeeds.
pub(super) fn close(&[fd, ..]: &Args) -> Result {
    if fd <= STDERR { Ok(0) } else { Err(Errno::EBADF) }
}

/// Linux's `struct stat` on x86-64.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
struct Stat {
    dev: u64,
    ino: u64,
    nlink: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    padding: u32,
    rdev: u64,
    size: u64,
    blksize: u64,
    blocks: u64,
    times: [u64; 6],
    unused: [u64; 3],
}

const _: () = assert!(size_of::<Stat>() == 144);

const S_IFIFO: u32 = 0o010_000;
const S_IFREG: u32 = 0o100_000;
/// Device number of the initramfs.
const INITRAMFS_DEVICE: u64 = 1;

impl Stat {
    fn file(inode: u64, mode: u32, size: u64) -> Stat {
        Stat {
            dev: INITRAMFS_DEVICE,
            ino: inode,
            nlink: 1,
            mode,
            size,
            blksize: PAGE_SIZE,
            blocks: size.div_ceil(512),
            ..Stat::default()
        }
    }

    /// Standard input is a file, standard output and error are pipes: as in a run whose output is captured.
    fn descriptor(kernel: &Kernel, fd: u64) -> core::result::Result<Stat, Errno> {
        match fd {
            STDIN => Ok(Stat::file(1, S_IFREG | 0o400, kernel.files.stdin().len() as u64)),
            STDOUT | STDERR => Ok(Stat::file(fd + 1, S_IFIFO | 0o600, 0)),
            _ => Err(Errno::EBADF),
        }
    }
}

pub(super) fn fstat(kernel: &mut Kernel, &[fd, address, ..]: &Args) -> Result {
    let stat = Stat::descriptor(kernel, fd)?;
    user_copy::put(kernel, address, &stat).map(|()| 0)
}

pub(super) fn newfstatat(kernel: &mut Kernel, &[fd, path, address, flags, ..]: &Args) -> Result {
    let mut buffer = [0; PATH_MAX];
    let length = user_copy::string(kernel, path, &mut buffer)?;
    let stat = match &buffer[..length] {
        [] if flags & AT_EMPTY_PATH != 0 && fd as i32 != AT_FDCWD => Stat::descriptor(kernel, fd)?,
        [] => return Err(Errno::ENOENT),
        SELF_EXE => stat_path(kernel, kernel.process.program)?,
        path => stat_path(kernel, path)?,
    };
    user_copy::put(kernel, address, &stat).map(|()| 0)
}

fn stat_path(kernel: &Kernel, path: &[u8]) -> core::result::Result<Stat, Errno> {
    let entry = kernel.files.find(path).ok_or(Errno::ENOENT)?;
    Ok(Stat::file(entry.inode, entry.mode, entry.bytes.len() as u64))
}

pub(super) fn readlink(kernel: &mut Kernel, &[path, buffer, size, ..]: &Args) -> Result {
    link(kernel, path, buffer, size)
}

pub(super) fn readlinkat(kernel: &mut Kernel, &[_, path, buffer, size, ..]: &Args) -> Result {
    link(kernel, path, buffer, size)
}

/// The only link there is names the running program.
fn link(kernel: &mut Kernel, path: u64, buffer: u64, size: u64) -> Result {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let mut name = [0; PATH_MAX];
    let length = user_copy::string(kernel, path, &mut name)?;
    let path = &name[..length];
    if path != SELF_EXE {
        return Err(if kernel.files.find(path).is_some() { Errno::EINVAL } else { Errno::ENOENT });
    }
    let target = kernel.process.program;
    let taken = &target[..target.len().min(size as usize)];
    user_copy::write(kernel, buffer, taken)?;
    Ok(taken.len() as u64)
}
