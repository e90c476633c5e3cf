//! System calls that say what a path or a descriptor is.

use pagelab_abi::layout::PAGE_SIZE;
use pagelab_mm::{errno::Errno, file::FileId};
use zerocopy::{Immutable, IntoBytes};

use super::{
    Args, Result,
    at::{self, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW},
};
use crate::{
    fs::{
        Inode, Kind, Slot, System, Times,
        path::{Found, PATH_MAX, link_target, with_any},
        special,
    },
    state::Kernel,
    user_copy,
};

/// AT_NO_AUTOMOUNT: there are no automounts.
const AT_NO_AUTOMOUNT: u32 = 0x800;
/// AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC.
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
const STAT_FLAGS: u32 = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
/// Bytes that `st_blocks` counts in.
const BLOCK: u64 = 512;

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
    accessed: [u64; 2],
    modified: [u64; 2],
    changed: [u64; 2],
    unused: [u64; 3],
}

const _: () = assert!(size_of::<Stat>() == 144);

/// Device numbers, as stat has them.
fn device(inode: &Inode) -> u64 {
    match inode.kind() {
        Kind::Null | Kind::Zero | Kind::Full | Kind::Random | Kind::Tty => u64::from(inode.payload),
        _ => 0,
    }
}

/// Blocks that a file takes.
fn blocks(kernel: &Kernel, slot: Slot) -> u64 {
    let inode = kernel.inode(slot);
    match inode.kind() {
        Kind::Regular if inode.system() == System::Tmp && inode.file != 0 => {
            u64::from(kernel.mm.file(FileId(inode.file)).cached) * (PAGE_SIZE / BLOCK)
        }
        Kind::Regular => kernel.size(slot).div_ceil(BLOCK),
        _ => 0,
    }
}

fn fill(kernel: &Kernel, slot: Slot) -> Stat {
    let inode = kernel.inode(slot);
    let Times { accessed, modified, changed, .. } = kernel.times(slot);
    Stat {
        dev: inode.system() as u64,
        ino: inode.ino,
        nlink: u64::from(inode.links),
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        rdev: device(inode),
        size: kernel.size(slot),
        blksize: PAGE_SIZE,
        blocks: blocks(kernel, slot),
        accessed,
        modified,
        changed,
        ..Stat::default()
    }
}

fn tell(kernel: &mut Kernel, found: Found, address: u64) -> Result {
    let stat = fill(kernel, found.inode);
    user_copy::put(kernel, address, &stat).map(|()| 0)
}

pub(super) fn stat(kernel: &mut Kernel, &[path, address, ..]: &Args) -> Result {
    let found = at::find(kernel, AT_FDCWD, path, true)?;
    tell(kernel, found, address)
}

pub(super) fn lstat(kernel: &mut Kernel, &[path, address, ..]: &Args) -> Result {
    let found = at::find(kernel, AT_FDCWD, path, false)?;
    tell(kernel, found, address)
}

pub(super) fn fstat(kernel: &mut Kernel, &[fd, address, ..]: &Args) -> Result {
    let inode = kernel.open(kernel.open_slot(fd)?).inode;
    tell(kernel, Found { dentry: 0, inode }, address)
}

pub(super) fn newfstatat(kernel: &mut Kernel, &[at, path, address, flags, ..]: &Args) -> Result {
    let flags = flags as u32;
    if flags & !STAT_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let found = at::find_or_self(kernel, at, path, flags, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    tell(kernel, found, address)
}

/// Linux's `struct statx`.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    padding: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: [u64; 2],
    born: [u64; 2],
    changed: [u64; 2],
    modified: [u64; 2],
    rdev: [u32; 2],
    dev: [u32; 2],
    rest: [u64; 14],
}

const _: () = assert!(size_of::<Statx>() == 256);

pub(super) fn statx(kernel: &mut Kernel, &[at, path, flags, mask, address, _]: &Args) -> Result {
    const STATX_RESERVED: u32 = 1 << 31;
    /// STATX_BASIC_STATS and STATX_BTIME.
    const FILLED: u32 = 0xfff;
    let flags = flags as u32;
    if mask as u32 & STATX_RESERVED != 0 || flags & !STAT_FLAGS != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE
    {
        return Err(Errno::EINVAL);
    }
    let found = at::find_or_self(kernel, at, path, flags, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    let stat = fill(kernel, found.inode);
    let times = kernel.times(found.inode);
    let number = |device: u64| [(device >> 8) as u32, (device & 0xff) as u32];
    let statx = Statx {
        mask: FILLED,
        blksize: stat.blksize as u32,
        nlink: stat.nlink as u32,
        uid: stat.uid,
        gid: stat.gid,
        mode: stat.mode as u16,
        ino: stat.ino,
        size: stat.size,
        blocks: stat.blocks,
        accessed: times.accessed,
        born: times.born,
        changed: times.changed,
        modified: times.modified,
        rdev: number(stat.rdev),
        dev: number(stat.dev),
        ..Statx::default()
    };
    user_copy::put(kernel, address, &statx).map(|()| 0)
}

/// Linux's `struct statfs` on x86-64.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
struct StatFs {
    kind: u64,
    bsize: u64,
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    fsid: u64,
    namelen: u64,
    frsize: u64,
    flags: u64,
    spare: [u64; 4],
}

const _: () = assert!(size_of::<StatFs>() == 120);

fn tell_system(kernel: &mut Kernel, inode: Slot, address: u64) -> Result {
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const PROC_MAGIC: u64 = 0x9fa0;
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    /// ST_VALID, which Linux always sets, and ST_RELATIME.
    const FLAGS: u64 = 0x20 | 0x1000;
    let system = kernel.inode(inode).system();
    let kind = match system {
        System::Root => RAMFS_MAGIC,
        System::Tmp | System::Dev => TMPFS_MAGIC,
        System::Proc => PROC_MAGIC,
        System::Pipe => PIPEFS_MAGIC,
    };
    let mut answer = StatFs {
        kind,
        bsize: PAGE_SIZE,
        fsid: system as u64,
        namelen: 255,
        frsize: PAGE_SIZE,
        flags: FLAGS,
        ..StatFs::default()
    };
    if system == System::Tmp {
        let limit = kernel.mm.frames.managed() / 2;
        let free = limit.saturating_sub(kernel.mm.frames.owned(pagelab_abi::code::Owner::Shmem));
        (answer.blocks, answer.bfree, answer.bavail) = (limit, free, free);
        (answer.files, answer.ffree) = (limit, free);
    }
    user_copy::put(kernel, address, &answer).map(|()| 0)
}

pub(super) fn statfs(kernel: &mut Kernel, &[path, address, ..]: &Args) -> Result {
    let found = at::find(kernel, AT_FDCWD, path, true)?;
    tell_system(kernel, found.inode, address)
}

pub(super) fn fstatfs(kernel: &mut Kernel, &[fd, address, ..]: &Args) -> Result {
    let inode = kernel.open(kernel.open_slot(fd)?).inode;
    tell_system(kernel, inode, address)
}

pub(super) fn access(kernel: &mut Kernel, &[path, mode, ..]: &Args) -> Result {
    faccessat2(kernel, &[AT_FDCWD, path, mode, 0, 0, 0])
}

pub(super) fn faccessat(kernel: &mut Kernel, &[at, path, mode, ..]: &Args) -> Result {
    faccessat2(kernel, &[at, path, mode, 0, 0, 0])
}

/// Root may do anything but execute what nobody may.
pub(super) fn faccessat2(kernel: &mut Kernel, &[at, path, mode, flags, ..]: &Args) -> Result {
    const AT_EACCESS: u32 = 0x200;
    const X_OK: u32 = 1;
    let (mode, flags) = (mode as u32, flags as u32);
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let found = at::find_or_self(kernel, at, path, flags, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    let inode = kernel.inode(found.inode);
    if mode & X_OK != 0 && !inode.is_directory() && !inode.is_link() && inode.mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    Ok(0)
}

pub(super) fn readlink(kernel: &mut Kernel, &[path, buffer, size, ..]: &Args) -> Result {
    readlinkat(kernel, &[AT_FDCWD, path, buffer, size, 0, 0])
}

pub(super) fn readlinkat(kernel: &mut Kernel, &[at, path, buffer, size, ..]: &Args) -> Result {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let found = with_any(kernel, path, |kernel, text| {
        if text.is_empty() {
            // Of a link that is open with O_PATH.
            let inode = kernel.open(kernel.open_slot(at).map_err(|_| Errno::ENOENT)?).inode;
            return if kernel.inode(inode).is_link() { Ok(inode) } else { Err(Errno::ENOENT) };
        }
        let inode = at::walk(kernel, at, text, false)?.existing()?.inode;
        if kernel.inode(inode).is_link() { Ok(inode) } else { Err(Errno::EINVAL) }
    })?;
    let mut target = [0; PATH_MAX];
    let range = match kernel.inode(found).kind() {
        Kind::Magic => special::magic_text(kernel, found, &mut target)?..PATH_MAX,
        _ => 0..link_target(kernel, found, &mut target),
    };
    let taken = &target[range];
    let taken = &taken[..taken.len().min(size as usize)];
    user_copy::write(kernel, buffer, taken)?;
    Ok(taken.len() as u64)
}
