//! System calls about memory: arguments in, `pagelab-mm` does the work.

use pagelab_abi::layout::PAGE_SIZE;
use pagelab_mm::{
    errno::Errno,
    file::FileId,
    frame::OutOfMemory,
    space::{MmapRequest, map, prot},
};

use super::{Args, Result};
use crate::{open_files::What, state::Kernel, user_copy};

/// Advice (Linux's `mman-common.h`).
const MADV_NORMAL: u32 = 0;
const MADV_RANDOM: u32 = 1;
const MADV_SEQUENTIAL: u32 = 2;
const MADV_WILLNEED: u32 = 3;
const MADV_DONTNEED: u32 = 4;

pub(super) fn mmap(kernel: &mut Kernel, &[addr, length, protection, flags, fd, offset]: &Args) -> Result {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let file = match flags & map::ANONYMOUS {
        0 => Some((mappable(kernel, fd)?, offset)),
        _ => None,
    };
    let request = MmapRequest { addr, length, prot: protection, flags, file };
    let start = kernel.process.space.mmap(&mut kernel.mm, &request)?;
    if request.populates() {
        populate(kernel, start, length, protection & prot::WRITE != 0);
    }
    Ok(start)
}

pub(super) fn munmap(kernel: &mut Kernel, &[start, length, ..]: &Args) -> Result {
    kernel.process.space.munmap(&mut kernel.mm, start, length).map(|()| 0)
}

pub(super) fn mprotect(kernel: &mut Kernel, &[start, length, prot, ..]: &Args) -> Result {
    kernel.process.space.mprotect(&mut kernel.mm, start, length, prot).map(|()| 0)
}

pub(super) fn brk(kernel: &mut Kernel, &[end, ..]: &Args) -> Result {
    Ok(kernel.process.space.brk(&mut kernel.mm, end))
}

pub(super) fn madvise(kernel: &mut Kernel, &[start, length, advice, ..]: &Args) -> Result {
    // A C int: the high half of the register says nothing.
    match advice as u32 {
        MADV_DONTNEED => kernel.process.space.madvise_dontneed(&mut kernel.mm, start, length).map(|()| 0),
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED => hint(kernel, start, length),
        _ => Err(Errno::EINVAL),
    }
}

/// Advice that changes nothing here; the range is checked as Linux does.
fn hint(kernel: &mut Kernel, start: u64, length: u64) -> Result {
    let end = length.checked_next_multiple_of(PAGE_SIZE).and_then(|length| start.checked_add(length));
    let end = end.filter(|_| start.is_multiple_of(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
    let mut at = start;
    while at < end {
        let slot = kernel.process.space.vmas.containing(&kernel.mm, at).ok_or(Errno::ENOMEM)?;
        at = kernel.mm.vma(slot).end;
    }
    Ok(0)
}

/// The file behind a descriptor, if it can be mapped.
fn mappable(kernel: &mut Kernel, fd: u64) -> core::result::Result<FileId, Errno> {
    match kernel.process.open_files.get(fd)?.what {
        What::File(index) if !kernel.files.entry(index).is_directory() => {
            kernel.files.mappable(&mut kernel.mm, index).map_err(|OutOfMemory| Errno::ENOMEM)
        }
        // Only for writing.
        What::Console(_) => Err(Errno::EACCES),
        _ => Err(Errno::ENODEV),
    }
}

/// MAP_POPULATE: touches each page on the program's behalf. What cannot be had is left to a later fault.
fn populate(kernel: &mut Kernel, start: u64, length: u64, write: bool) {
    for address in (start..start + length).step_by(PAGE_SIZE as usize) {
        if user_copy::frame(kernel, address, write).is_err() {
            break;
        }
    }
}

pub(super) fn mincore(kernel: &mut Kernel, &[start, length, vector, ..]: &Args) -> Result {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if user_copy::check(start, length).is_err() {
        return Err(Errno::ENOMEM);
    }
    let pages = length.div_ceil(PAGE_SIZE);
    user_copy::check(vector, pages)?;
    // The answer goes out in pieces, since writing it may itself bring pages in.
    let mut answer = [0; 256];
    let mut done = 0;
    while done < pages {
        let count = (pages - done).min(answer.len() as u64);
        let from = start + done * PAGE_SIZE;
        let mut known = 0;
        let outcome = kernel.process.space.mincore(&kernel.mm, from, count * PAGE_SIZE, |page, resident| {
            answer[page as usize] = u8::from(resident);
            known = page as usize + 1;
        });
        // A hole is an error, but what lies before it is told.
        user_copy::write(kernel, vector + done, &answer[..known])?;
        outcome?;
        done += count;
    }
    Ok(0)
}
