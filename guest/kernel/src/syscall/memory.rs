//! System calls about memory: arguments in, `pagelab-mm` does the work.

use pagelab_abi::layout::PAGE_SIZE;
use pagelab_mm::{errno::Errno, space::MmapRequest};

use super::{Args, Result};
use crate::{state::Kernel, user_copy};

const MAP_ANONYMOUS: u64 = 0x20;

pub(super) fn mmap(kernel: &mut Kernel, &[addr, length, prot, flags, fd, offset]: &Args) -> Result {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if flags & MAP_ANONYMOUS == 0 {
        // Standard input, output and error are the only descriptors, and none of them can be mapped.
        return Err(if fd < 3 { Errno::ENODEV } else { Errno::EBADF });
    }
    let request = MmapRequest { addr, length, prot, flags, file: None };
    kernel.process.space.mmap(&mut kernel.mm, &request)
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
    kernel.process.space.madvise(&mut kernel.mm, start, length, advice).map(|()| 0)
}

pub(super) fn mincore(kernel: &mut Kernel, &[start, length, vector, ..]: &Args) -> Result {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let pages = length.div_ceil(PAGE_SIZE);
    // The answer goes out in pieces, since writing it may itself bring pages in.
    let mut answer = [0; 256];
    let mut done = 0;
    while done < pages {
        let count = (pages - done).min(answer.len() as u64);
        let from = start + done * PAGE_SIZE;
        let part = &mut answer[..count as usize];
        kernel.process.space.mincore(&mut kernel.mm, from, count * PAGE_SIZE, |page, resident| {
            part[page] = u8::from(resident);
        })?;
        user_copy::write(kernel, vector + done, part)?;
        done += count;
    }
    Ok(0)
}
