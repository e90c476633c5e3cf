//! Calls about descriptors and the open descriptions behind them.

use pagelab_mm::{errno::Errno, file::FileId};

use super::{Args, Result};
use crate::{
    fs::{
        Kind, Open, Slot, System,
        contents::SEAL_SEAL,
        io,
        open::{O_APPEND, O_CLOEXEC, O_NONBLOCK},
        pipe,
    },
    state::Kernel,
    user_copy,
};

pub(super) fn dup(kernel: &mut Kernel, &[fd, ..]: &Args) -> Result {
    let slot = kernel.open_slot(fd)?;
    let free = kernel.free_descriptor(0)?;
    kernel.share_open(slot, free, false);
    Ok(free)
}

pub(super) fn dup2(kernel: &mut Kernel, &[fd, to, ..]: &Args) -> Result {
    if fd as u32 == to as u32 {
        return kernel.open_slot(fd).map(|_| u64::from(fd as u32));
    }
    dup3(kernel, &[fd, to, 0, 0, 0, 0])
}

pub(super) fn dup3(kernel: &mut Kernel, &[fd, to, flags, ..]: &Args) -> Result {
    let (flags, to) = (flags as u32, u64::from(to as u32));
    if flags & !O_CLOEXEC != 0 || fd as u32 == to as u32 {
        return Err(Errno::EINVAL);
    }
    if to >= kernel.process.limits.files() {
        return Err(Errno::EBADF);
    }
    let slot = kernel.open_slot(fd)?;
    if kernel.open_slot(to).is_ok() {
        kernel.close(to)?;
    }
    kernel.share_open(slot, to, flags & O_CLOEXEC != 0);
    Ok(to)
}

pub(super) fn fcntl(kernel: &mut Kernel, &[fd, command, argument, ..]: &Args) -> Result {
    const F_DUPFD: u32 = 0;
    const F_GETFD: u32 = 1;
    const F_SETFD: u32 = 2;
    const F_GETFL: u32 = 3;
    const F_SETFL: u32 = 4;
    const F_GETLK: u32 = 5;
    const F_SETLK: u32 = 6;
    const F_SETLKW: u32 = 7;
    const F_GETOWN: u32 = 9;
    const F_DUPFD_CLOEXEC: u32 = 1030;
    const F_SETPIPE_SZ: u32 = 1031;
    const F_GETPIPE_SZ: u32 = 1032;
    const F_ADD_SEALS: u32 = 1033;
    const F_GET_SEALS: u32 = 1034;
    const FD_CLOEXEC: u64 = 1;
    const PIPE_SIZE: u64 = pipe::BUFFERS * 4096;
    /// What F_SETFL changes: O_APPEND, O_NONBLOCK, O_ASYNC, O_DIRECT, O_NOATIME.
    const CHANGEABLE: u32 = O_APPEND | O_NONBLOCK | 0o20_000 | 0o40_000 | 0o1_000_000;
    let slot = kernel.open_slot(fd)?;
    let open = *kernel.open(slot);
    let command = command as u32;
    let is_pipe = kernel.inode(open.inode).kind() == Kind::Pipe;
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            if argument >= kernel.process.limits.files() {
                return Err(Errno::EINVAL);
            }
            let free = kernel.free_descriptor(argument)?;
            kernel.share_open(slot, free, command == F_DUPFD_CLOEXEC);
            return Ok(free);
        }
        F_GETFD => return Ok(u64::from(kernel.process.descriptors.is_close_on_exec(fd))),
        F_SETFD => {
            kernel.process.descriptors.set_close_on_exec(fd, argument & FD_CLOEXEC != 0);
            return Ok(0);
        }
        F_GETFL => return Ok(u64::from(open.flags)),
        _ => {}
    }
    kernel.opened(fd)?;
    match command {
        F_SETFL => {
            kernel.open_mut(slot).flags = open.flags & !CHANGEABLE | argument as u32 & CHANGEABLE;
            Ok(0)
        }
        F_GETLK | F_SETLK | F_SETLKW => lock(kernel, &open, command == F_GETLK, argument),
        F_GETOWN => Ok(0),
        F_GETPIPE_SZ if is_pipe => Ok(PIPE_SIZE),
        // The room is fixed: smaller than asked for is refused, as a user's limit would.
        F_SETPIPE_SZ if is_pipe => {
            if argument <= PIPE_SIZE {
                Ok(PIPE_SIZE)
            } else {
                Err(Errno::EPERM)
            }
        }
        F_GETPIPE_SZ | F_SETPIPE_SZ => Err(Errno::EBADF),
        F_GET_SEALS if has_seals(kernel, open.inode) => Ok(u64::from(kernel.inode(open.inode).seals)),
        F_ADD_SEALS => add_seals(kernel, &open, argument),
        _ => Err(Errno::EINVAL),
    }
}

fn has_seals(kernel: &Kernel, inode: Slot) -> bool {
    let inode = kernel.inode(inode);
    inode.kind() == Kind::Regular && inode.system() == System::Tmp
}

fn add_seals(kernel: &mut Kernel, open: &Open, seals: u64) -> Result {
    const ALL: u64 = 0x3f;
    if !open.is_writable() {
        return Err(Errno::EPERM);
    }
    if seals as u32 & !(ALL as u32) != 0 || !has_seals(kernel, open.inode) {
        return Err(Errno::EINVAL);
    }
    let inode = kernel.inode_mut(open.inode);
    if inode.seals & SEAL_SEAL != 0 {
        return Err(Errno::EPERM);
    }
    inode.seals |= seals as u8;
    Ok(0)
}

/// Locks of one process never stand in its own way.
fn lock(kernel: &mut Kernel, open: &Open, asks: bool, address: u64) -> Result {
    const F_RDLCK: u16 = 0;
    const F_WRLCK: u16 = 1;
    const F_UNLCK: u16 = 2;
    let kind: u16 = user_copy::get(kernel, address)?;
    match kind {
        F_RDLCK if !asks && !open.is_readable() => Err(Errno::EBADF),
        F_WRLCK if !asks && !open.is_writable() => Err(Errno::EBADF),
        F_RDLCK | F_WRLCK if asks => user_copy::put(kernel, address, &F_UNLCK).map(|()| 0),
        F_RDLCK | F_WRLCK => Ok(0),
        F_UNLCK if !asks => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn flock(kernel: &mut Kernel, &[fd, operation, ..]: &Args) -> Result {
    const LOCK_NB: u32 = 4;
    kernel.opened(fd)?;
    match operation as u32 & !LOCK_NB {
        1 | 2 | 8 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// There is no terminal, and few other devices know any request.
pub(super) fn ioctl(kernel: &mut Kernel, &[fd, request, argument, ..]: &Args) -> Result {
    const FIONREAD: u32 = 0x541b;
    const FIONBIO: u32 = 0x5421;
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    let (slot, open) = kernel.opened(fd)?;
    match request as u32 {
        FIOCLEX | FIONCLEX => {
            kernel.process.descriptors.set_close_on_exec(fd, request as u32 == FIOCLEX);
            Ok(0)
        }
        FIONBIO => {
            let on: u32 = user_copy::get(kernel, argument)?;
            let flags = &mut kernel.open_mut(slot).flags;
            *flags = if on != 0 { *flags | O_NONBLOCK } else { *flags & !O_NONBLOCK };
            Ok(0)
        }
        FIONREAD => {
            let bytes = match kernel.inode(open.inode).kind() {
                Kind::Regular => kernel.size(open.inode).wrapping_sub(open.offset),
                Kind::Pipe => pipe::available(kernel, open.inode),
                _ => return Err(Errno::ENOTTY),
            };
            user_copy::put(kernel, argument, &(bytes as u32)).map(|()| 0)
        }
        _ => Err(Errno::ENOTTY),
    }
}

pub(super) fn lseek(kernel: &mut Kernel, &[fd, offset, whence, ..]: &Args) -> Result {
    const SEEK_SET: u32 = 0;
    const SEEK_CUR: u32 = 1;
    const SEEK_END: u32 = 2;
    const SEEK_DATA: u32 = 3;
    const SEEK_HOLE: u32 = 4;
    let (slot, open) = kernel.opened(fd)?;
    let whence = whence as u32;
    if whence > SEEK_HOLE {
        return Err(Errno::EINVAL);
    }
    if !io::is_seekable(kernel, &open) {
        return Err(Errno::ESPIPE);
    }
    let kind = kernel.inode(open.inode).kind();
    // These devices have no places in them.
    if matches!(kind, Kind::Null | Kind::Zero | Kind::Full) {
        kernel.open_mut(slot).offset = 0;
        return Ok(0);
    }
    let size = kernel.size(open.inode);
    let target = match whence {
        SEEK_SET => Some(offset),
        SEEK_CUR => open.offset.checked_add_signed(offset as i64),
        SEEK_END if kind == Kind::Directory => None,
        SEEK_END => size.checked_add_signed(offset as i64),
        _ if kind != Kind::Regular => None,
        _ if offset >= size => return Err(Errno::ENXIO),
        _ => Some(data_or_hole(kernel, open.inode, offset, size, whence == SEEK_DATA)?),
    };
    let target = target.filter(|&target| target <= i64::MAX as u64).ok_or(Errno::EINVAL)?;
    kernel.open_mut(slot).offset = target;
    Ok(target)
}

/// The next byte of data, or of a hole, from `offset` on. The end of the file counts as a hole.
fn data_or_hole(kernel: &Kernel, inode: Slot, offset: u64, size: u64, data: bool) -> Result {
    const PAGE: u64 = 4096;
    let inode = kernel.inode(inode);
    let mut at = offset;
    // Only tmpfs knows its holes.
    let knows = inode.system() == System::Tmp && inode.file != 0;
    while at < size {
        let hole = knows && kernel.mm.is_hole(FileId(inode.file), at / PAGE);
        if hole != data {
            return Ok(at);
        }
        if !knows {
            break;
        }
        at = (at / PAGE + 1) * PAGE;
    }
    if data { Err(Errno::ENXIO) } else { Ok(size) }
}

/// fsync and fdatasync: nothing is ever on its way.
pub(super) fn fsync(kernel: &mut Kernel, &[fd, ..]: &Args) -> Result {
    let (_, open) = kernel.opened(fd)?;
    match kernel.inode(open.inode).kind() {
        Kind::Regular | Kind::Directory => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn syncfs(kernel: &mut Kernel, &[fd, ..]: &Args) -> Result {
    kernel.opened(fd).map(|_| 0)
}

/// Advice about reading changes nothing: the descriptor is checked.
pub(super) fn fadvise64(kernel: &mut Kernel, &[fd, _, length, advice, ..]: &Args) -> Result {
    let (_, open) = kernel.opened(fd)?;
    match kernel.inode(open.inode).kind() {
        Kind::Pipe | Kind::Console => Err(Errno::ESPIPE),
        _ if (length as i64) < 0 || advice as u32 > 5 => Err(Errno::EINVAL),
        _ => Ok(0),
    }
}
