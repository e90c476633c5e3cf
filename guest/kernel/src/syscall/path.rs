//! System calls that say what a path or a descriptor is.

use pagelab_abi::layout::PAGE_SIZE;
use pagelab_mm::errno::Errno;
use zerocopy::{Immutable, IntoBytes};

use super::{Args, Result};
use crate::{files::FileEntry, open_files::What, state::Kernel, user_copy};

/// "Relative to the working directory", which is the root.
pub(super) const AT_FDCWD: u64 = -100i64 as u64;
const AT_EMPTY_PATH: u64 = 0x1000;
/// Flags that newfstatat knows: AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH, AT_STATX_SYNC_TYPE.
const STAT_FLAGS: u32 = 0x100 | 0x800 | 0x1000 | 0x6000;
/// Longest path, its NUL included (PATH_MAX).
const PATH_MAX: usize = 4096;
/// The link that names the running program.
const SELF_EXE: &[u8] = b"/proc/self/exe";

/// The file that a path names, seen from the directory `at`.
pub(super) fn look_up(kernel: &mut Kernel, at: u64, path: u64) -> core::result::Result<usize, Errno> {
    let mut buffer = [0; PATH_MAX];
    let length = user_copy::string(kernel, path, &mut buffer)?;
    find(kernel, at, &buffer[..length])
}

fn find(kernel: &mut Kernel, at: u64, path: &[u8]) -> core::result::Result<usize, Errno> {
    match path {
        [] => return Err(Errno::ENOENT),
        [b'/', ..] => {}
        _ if at as i32 == AT_FDCWD as i32 => {}
        _ => {
            return match kernel.process.open_files.get(at)?.what {
                What::File(index) if kernel.files.entry(index).is_directory() => Err(Errno::ENOENT),
                _ => Err(Errno::ENOTDIR),
            };
        }
    }
    let path = if path == SELF_EXE { kernel.process.program } else { path };
    kernel.files.find(path).ok_or(Errno::ENOENT)
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
const INITRAMFS_DEVICE: u64 = 2;
/// Inode number of an empty standard input; files have larger ones.
const NOTHING_INODE: u64 = 1;

impl Stat {
    fn new(inode: u64, mode: u32, size: u64) -> Stat {
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

    fn of_file(entry: &FileEntry) -> Stat {
        Stat::new(entry.inode, entry.mode, entry.bytes.len() as u64)
    }

    /// Standard output and error are pipes, as in a run whose output is captured.
    fn of_descriptor(kernel: &mut Kernel, fd: u64) -> core::result::Result<Stat, Errno> {
        Ok(match kernel.process.open_files.get(fd)?.what {
            What::Console(stream) => Stat::new(NOTHING_INODE + u64::from(stream), S_IFIFO | 0o600, 0),
            What::Nothing => Stat::new(NOTHING_INODE, S_IFREG | 0o400, 0),
            What::File(index) => Stat::of_file(kernel.files.entry(index)),
        })
    }
}

pub(super) fn fstat(kernel: &mut Kernel, &[fd, address, ..]: &Args) -> Result {
    let stat = Stat::of_descriptor(kernel, fd)?;
    user_copy::put(kernel, address, &stat).map(|()| 0)
}

pub(super) fn newfstatat(kernel: &mut Kernel, &[at, path, address, flags, ..]: &Args) -> Result {
    let mut buffer = [0; PATH_MAX];
    let length = user_copy::string(kernel, path, &mut buffer)?;
    if flags as u32 & !STAT_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let stat = if length == 0 && flags & AT_EMPTY_PATH != 0 && at as i32 != AT_FDCWD as i32 {
        Stat::of_descriptor(kernel, at)?
    } else {
        let index = find(kernel, at, &buffer[..length])?;
        Stat::of_file(kernel.files.entry(index))
    };
    user_copy::put(kernel, address, &stat).map(|()| 0)
}

pub(super) fn readlink(kernel: &mut Kernel, &[path, buffer, size, ..]: &Args) -> Result {
    readlinkat(kernel, &[AT_FDCWD, path, buffer, size, 0, 0])
}

/// The only link there is names the running program.
pub(super) fn readlinkat(kernel: &mut Kernel, &[at, path, buffer, size, ..]: &Args) -> Result {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let mut name = [0; PATH_MAX];
    let length = user_copy::string(kernel, path, &mut name)?;
    if &name[..length] != SELF_EXE {
        find(kernel, at, &name[..length])?;
        return Err(Errno::EINVAL);
    }
    let target = kernel.process.program;
    let taken = &target[..target.len().min(size as usize)];
    user_copy::write(kernel, buffer, taken)?;
    Ok(taken.len() as u64)
}
