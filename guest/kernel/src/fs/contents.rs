//! Contents of regular files: bytes of the initramfs as long as they are only read, pages of the page cache afterwards.
//!
//! A read takes what is not cached straight from the initramfs; only mappings and writes bring pages into the cache.

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use pagelab_mm::{
    errno::Errno,
    file::{FileId, FileSpec, ReadError},
    machine::Pfn,
};

use super::{
    Slot,
    inode::System,
    wait::{self, SIGXFSZ},
};
use crate::state::Kernel;

/// No file is longer (Linux's MAX_LFS_FILESIZE), in bytes.
pub(crate) const MAX_SIZE: u64 = i64::MAX as u64;
/// F_SEAL_SEAL: no more seals.
pub(crate) const SEAL_SEAL: u8 = 1;
/// F_SEAL_SHRINK: the file does not get shorter.
pub(crate) const SEAL_SHRINK: u8 = 2;
/// F_SEAL_GROW: the file does not get longer.
pub(crate) const SEAL_GROW: u8 = 4;
/// F_SEAL_WRITE and F_SEAL_FUTURE_WRITE: no write call changes the file.
pub(crate) const SEAL_WRITES: u8 = 8 | 16;

/// What memory management calls a regular file; makes it known there if need be.
///
/// # Errors
/// ENOMEM.
pub(crate) fn file(kernel: &mut Kernel, slot: Slot) -> Result<FileId, Errno> {
    let inode = *kernel.inode(slot);
    if inode.file != 0 {
        return Ok(FileId(inode.file));
    }
    let backing = (inode.length > 0).then_some(kernel.fs.archive_start + u64::from(inode.start));
    let spec = FileSpec {
        backing,
        length: u64::from(inode.length),
        shmem: inode.system() == System::Tmp,
        name: 0,
        inode: inode.ino,
    };
    let id = kernel.mm.add_file(spec).map_err(|_| Errno::ENOMEM)?;
    kernel.inode_mut(slot).file = id.0;
    Ok(id)
}

/// Copies bytes of a file, which has them, to a part of a frame. They end in the page they begin in, of the frame.
///
/// # Errors
/// ENOMEM.
pub(crate) fn read(
    kernel: &mut Kernel,
    slot: Slot,
    position: u64,
    to: Pfn,
    at: usize,
    length: usize,
) -> Result<(), Errno> {
    if kernel.inode(slot).file == 0 {
        let from = position as usize;
        let bytes = &kernel.archived(slot)[from..from + length];
        kernel.mm.write_frame(to, at, bytes);
        return Ok(());
    }
    let id = FileId(kernel.inode(slot).file);
    let mut done = 0;
    while done < length {
        let from = position + done as u64;
        let (index, offset) = (from / PAGE_SIZE, (from % PAGE_SIZE) as usize);
        let part = (length - done).min(PAGE_SIZE as usize - offset);
        match kernel.mm.cached(id, index) {
            Some(pfn) => kernel.mm.copy_part(to, at + done, pfn, offset, part),
            None => {
                let file = *kernel.mm.file(id);
                let backed = file.backed.saturating_sub(from).min(part as u64) as usize;
                let start = file.start + from;
                let bytes = kernel.mm.machine.bytes(start.min(kernel.fs.archive_end()), backed);
                kernel.mm.write_frame(to, at + done, bytes);
                kernel.mm.zero_part(to, at + done + backed, part - backed);
            }
        }
        done += part;
    }
    Ok(())
}

/// How many of `length` bytes a write at `position` may write.
///
/// # Errors
/// EFBIG, with SIGXFSZ where RLIMIT_FSIZE says so; EPERM: sealed.
pub(crate) fn may_write(kernel: &mut Kernel, slot: Slot, position: u64, length: u64) -> Result<u64, Errno> {
    let inode = *kernel.inode(slot);
    if inode.seals & SEAL_WRITES != 0 {
        return Err(Errno::EPERM);
    }
    let limit = kernel.process.limits.file_size();
    if position >= limit {
        wait::raise(kernel, SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    if position >= MAX_SIZE {
        return Err(Errno::EFBIG);
    }
    let length = length.min(limit - position).min(MAX_SIZE - position);
    if inode.seals & SEAL_GROW != 0 && position + length > kernel.size(slot) {
        return Err(Errno::EPERM);
    }
    Ok(length)
}

/// Copies a part of a frame into a file, which grows if need be.
///
/// # Errors
/// ENOMEM; ENOSPC: a tmpfs is full. Then the file is as long as what was written reaches.
pub(crate) fn write(
    kernel: &mut Kernel,
    slot: Slot,
    position: u64,
    from: Pfn,
    at: usize,
    length: usize,
) -> Result<usize, Errno> {
    let id = file(kernel, slot)?;
    let mut done = 0;
    while done < length {
        let to = position + done as u64;
        let (index, offset) = (to / PAGE_SIZE, (to % PAGE_SIZE) as usize);
        let part = (length - done).min(PAGE_SIZE as usize - offset);
        let old = kernel.mm.file(id).length;
        if kernel.inode(slot).system() == System::Tmp && tmpfs_is_full(kernel) && kernel.mm.cached(id, index).is_none()
        {
            return if done > 0 { Ok(done) } else { Err(Errno::ENOSPC) };
        }
        if to + part as u64 > old {
            kernel.mm.resize_file(id, to + part as u64);
        }
        match kernel.mm.write_page(id, index) {
            Ok((pfn, _)) => kernel.mm.copy_part(pfn, offset, from, at + done, part),
            Err(error) => {
                kernel.mm.resize_file(id, old);
                return if done > 0 { Ok(done) } else { Err(errno(error)) };
            }
        }
        done += part;
    }
    Ok(done)
}

/// What a call answers that cannot have a page.
fn errno(error: ReadError) -> Errno {
    match error {
        ReadError::NoPromise => Errno::ENOSPC,
        ReadError::OutOfMemory | ReadError::PastEnd => Errno::ENOMEM,
    }
}

/// Whether the pages of tmpfs have reached their limit, half of memory.
fn tmpfs_is_full(kernel: &Kernel) -> bool {
    kernel.mm.frames.owned(Owner::Shmem) >= kernel.mm.frames.managed() / 2
}

/// Makes bytes of a file a hole.
///
/// # Errors
/// ENOMEM.
pub(crate) fn punch(kernel: &mut Kernel, slot: Slot, start: u64, end: u64) -> Result<(), Errno> {
    let id = file(kernel, slot)?;
    let hole = start.div_ceil(PAGE_SIZE)..end / PAGE_SIZE;
    if !hole.is_empty() {
        kernel.process.space.unmap_file_hole(&mut kernel.mm, id, hole);
    }
    kernel.mm.punch_file(id, start, end).map_err(errno)?;
    kernel.changed(slot, true);
    Ok(())
}

/// Makes the pages of `start..end`, beyond the file's end, too, unless `keep` says that it stays where it is.
///
/// # Errors
/// ENOSPC: the tmpfs is full; ENOMEM; EPERM: sealed; EFBIG: beyond a limit.
pub(crate) fn reserve(kernel: &mut Kernel, slot: Slot, start: u64, end: u64, keep: bool) -> Result<(), Errno> {
    let size = kernel.size(slot);
    if end > size && !keep {
        if kernel.inode(slot).seals & SEAL_GROW != 0 {
            return Err(Errno::EPERM);
        }
        if end > kernel.process.limits.file_size() {
            wait::raise(kernel, SIGXFSZ);
            return Err(Errno::EFBIG);
        }
    }
    let wanted = end.div_ceil(PAGE_SIZE) - start / PAGE_SIZE;
    let managed = kernel.mm.frames.managed();
    if wanted > (managed / 2).saturating_sub(kernel.mm.frames.owned(Owner::Shmem)) {
        return Err(Errno::ENOSPC);
    }
    let id = file(kernel, slot)?;
    let last = if keep { end.min(size) } else { end };
    if last > size {
        kernel.mm.resize_file(id, last);
    }
    for index in start / PAGE_SIZE..last.div_ceil(PAGE_SIZE) {
        if let Err(error) = kernel.mm.read_page(id, index) {
            kernel.mm.resize_file(id, size);
            return Err(errno(error));
        }
    }
    kernel.changed(slot, true);
    Ok(())
}

/// Gives a file another length.
///
/// # Errors
/// EPERM: sealed; EFBIG: beyond a limit; ENOMEM.
pub(crate) fn resize(kernel: &mut Kernel, slot: Slot, length: u64) -> Result<(), Errno> {
    let old = kernel.size(slot);
    let seals = kernel.inode(slot).seals;
    if length < old && seals & SEAL_SHRINK != 0 || length > old && seals & SEAL_GROW != 0 {
        return Err(Errno::EPERM);
    }
    if length > old && length > kernel.process.limits.file_size() {
        wait::raise(kernel, SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    let id = file(kernel, slot)?;
    if length < old {
        kernel.process.space.unmap_file_range(&mut kernel.mm, id, length.div_ceil(PAGE_SIZE));
    }
    kernel.mm.resize_file(id, length);
    kernel.changed(slot, true);
    Ok(())
}
