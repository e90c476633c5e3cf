//! System calls about memory: arguments in, `pagelab-mm` does the work.

use pagelab_abi::layout::{PAGE_SIZE, TASK_SIZE};
use pagelab_mm::{
    errno::Errno,
    fault::Access,
    space::{self, Advice, MmapRequest, MremapRequest, huge_page_error, map},
};

use super::{Args, Result};
use crate::{
    fs::{Kind, contents::SEAL_WRITES, mapped, path::Found},
    state::Kernel,
    user_copy,
};

/// MLOCK_ONFAULT.
const MLOCK_ONFAULT: u32 = 1;

pub(super) fn mmap(kernel: &mut Kernel, &[addr, length, prot, flags, fd, offset]: &Args) -> Result {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let huge = flags & map::HUGETLB != 0;
    let mut request = MmapRequest { addr, length, prot, flags, ..MmapRequest::default() };
    if flags & map::ANONYMOUS == 0 {
        map_file(kernel, fd, offset, &mut request)?;
        if huge {
            return Err(Errno::EINVAL);
        }
    } else if huge && length != 0 {
        return Err(huge_page_error(flags));
    }
    let mapped = kernel.process.space.map(&mut kernel.mm, &request)?;
    if mapped.populate {
        populate(kernel, mapped.address, mapped.address + length.next_multiple_of(PAGE_SIZE));
    }
    Ok(mapped.address)
}

pub(super) fn munmap(kernel: &mut Kernel, &[start, length, ..]: &Args) -> Result {
    kernel.process.space.munmap(&mut kernel.mm, start, length).map(|()| 0)
}

pub(super) fn mprotect(kernel: &mut Kernel, &[start, length, prot, ..]: &Args) -> Result {
    let outcome = kernel.process.space.mprotect(&mut kernel.mm, start, length, prot);
    if let Some((mut at, end)) = kernel.process.space.take_made_writable() {
        while let Some(part) = kernel.process.space.next_to_populate(&kernel.mm, at, end) {
            if part.locked {
                let _ = bring_in(kernel, &part);
            }
            at = part.end;
        }
    }
    outcome.map(|()| 0)
}

pub(super) fn mremap(kernel: &mut Kernel, &[addr, old_length, new_length, flags, new_addr, _]: &Args) -> Result {
    let request = MremapRequest { addr, old_length, new_length, flags, new_addr };
    let remapped = kernel.process.space.mremap(&mut kernel.mm, &request)?;
    if let Some((start, end)) = remapped.populate {
        populate(kernel, start, end);
    }
    Ok(remapped.address)
}

pub(super) fn brk(kernel: &mut Kernel, &[end, ..]: &Args) -> Result {
    let before = kernel.process.space.brk.next_multiple_of(PAGE_SIZE);
    let now = kernel.process.space.brk(&mut kernel.mm, end);
    if kernel.process.space.brings_in_new_memory() && now > before {
        populate(kernel, before, now.next_multiple_of(PAGE_SIZE));
    }
    Ok(now)
}

pub(super) fn madvise(kernel: &mut Kernel, &[start, length, advice, ..]: &Args) -> Result {
    // A C int: the high half of the register says nothing.
    let advice = Advice::from_number(advice as u32).ok_or(Errno::EINVAL)?;
    match advice {
        Advice::PopulateRead => populate_advised(kernel, start, length, Access::Read),
        Advice::PopulateWrite => populate_advised(kernel, start, length, Access::Write),
        _ => kernel.process.space.madvise(&mut kernel.mm, start, length, advice),
    }
    .map(|()| 0)
}

pub(super) fn msync(kernel: &mut Kernel, &[start, length, flags, ..]: &Args) -> Result {
    kernel.process.space.msync(&kernel.mm, start, length, u64::from(flags as u32)).map(|()| 0)
}

pub(super) fn mlock(kernel: &mut Kernel, &[start, length, ..]: &Args) -> Result {
    lock(kernel, start, length, false)
}

pub(super) fn mlock2(kernel: &mut Kernel, &[start, length, flags, ..]: &Args) -> Result {
    match flags as u32 {
        0 => lock(kernel, start, length, false),
        MLOCK_ONFAULT => lock(kernel, start, length, true),
        _ => Err(Errno::EINVAL),
    }
}

fn lock(kernel: &mut Kernel, start: u64, length: u64, on_fault: bool) -> Result {
    let (start, end) = kernel.process.space.mlock(&mut kernel.mm, start, length, on_fault)?;
    populate_or_fail(kernel, start, end).map(|()| 0).map_err(|errno| match errno {
        Errno::ENOMEM => Errno::EAGAIN,
        _ => Errno::ENOMEM,
    })
}

pub(super) fn munlock(kernel: &mut Kernel, &[start, length, ..]: &Args) -> Result {
    kernel.process.space.munlock(&mut kernel.mm, start, length).map(|()| 0)
}

pub(super) fn mlockall(kernel: &mut Kernel, &[flags, ..]: &Args) -> Result {
    if kernel.process.space.mlockall(&mut kernel.mm, u64::from(flags as u32))? {
        populate(kernel, 0, TASK_SIZE);
    }
    Ok(0)
}

pub(super) fn munlockall(kernel: &mut Kernel) -> Result {
    kernel.process.space.munlockall(&mut kernel.mm);
    Ok(0)
}

/// Asks for the file behind a descriptor, if it can be mapped.
fn map_file(kernel: &mut Kernel, fd: u64, offset: u64, request: &mut MmapRequest) -> core::result::Result<(), Errno> {
    let (_, open) = kernel.opened(fd)?;
    let inode = *kernel.inode(open.inode);
    match inode.kind() {
        Kind::Regular => {
            let id = mapped::file(kernel, Found { dentry: open.dentry, inode: open.inode })?;
            request.file = Some((id, offset));
            request.writable = open.is_writable() && inode.seals & SEAL_WRITES == 0;
            request.write_only = !open.is_readable();
            Ok(())
        }
        _ if !open.is_readable() => Err(Errno::EACCES),
        // What is mapped of it is fresh memory.
        Kind::Zero => Ok(()),
        _ => Err(Errno::ENODEV),
    }
}

/// Brings pages in; what cannot be had is left to a later fault.
fn populate(kernel: &mut Kernel, start: u64, end: u64) {
    let mut at = start;
    while let Some(part) = kernel.process.space.next_to_populate(&kernel.mm, at, end) {
        let _ = bring_in(kernel, &part);
        at = part.end;
    }
}

/// Brings pages in; the first that cannot be had is an error.
fn populate_or_fail(kernel: &mut Kernel, start: u64, end: u64) -> core::result::Result<(), Errno> {
    let mut at = start;
    while let Some(part) = kernel.process.space.next_to_populate(&kernel.mm, at, end) {
        bring_in(kernel, &part)?;
        at = part.end;
    }
    Ok(())
}

fn bring_in(kernel: &mut Kernel, part: &space::Populate) -> core::result::Result<(), Errno> {
    let Some(access) = part.access else { return Ok(()) };
    if part.forbidden {
        return Err(Errno::EFAULT);
    }
    for page in space::pages(part) {
        user_copy::frame(kernel, page, access == Access::Write)?;
    }
    Ok(())
}

/// MADV_POPULATE_READ and MADV_POPULATE_WRITE.
fn populate_advised(kernel: &mut Kernel, start: u64, length: u64, access: Access) -> core::result::Result<(), Errno> {
    let Some(end) = space::advised_end(start, length)? else { return Ok(()) };
    let mut at = start;
    while at < end {
        let part = kernel.process.space.advised_to_populate(&kernel.mm, at, end, access)?;
        bring_in(kernel, &part)?;
        at = part.end;
    }
    Ok(())
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
