//! Tests of a program's memory on the real CPU: its page tables, TLB and #PF error codes.
//!
//! Ring 0 may touch a program's pages (there is no SMAP), so a probe stands for the program.

use pagelab_abi::{code::FaultKind, layout::PAGE_SIZE};
use pagelab_mm::{
    fault::{self, Access},
    page_table::Pte,
    space::{MmapRequest, map, prot},
};

use x86_64::registers::control::{Cr4, Cr4Flags};

use super::{
    check::{Failure, Outcome, ensure, ensure_eq},
    entry::test,
    probe::{self, FETCH, Fault, PRESENT, WRITE},
};
use crate::state::Kernel;

/// Maps private anonymous memory.
pub(super) fn map_anonymous(kernel: &mut Kernel, pages: u64, prot: u64) -> Result<u64, Failure> {
    let request =
        MmapRequest { length: pages * PAGE_SIZE, prot, flags: map::PRIVATE | map::ANONYMOUS, ..MmapRequest::default() };
    Ok(kernel.process.space.mmap(&mut kernel.mm, &request)?)
}

/// Unmaps pages.
pub(super) fn unmap(kernel: &mut Kernel, address: u64, pages: u64) -> Outcome {
    Ok(kernel.process.space.munmap(&mut kernel.mm, address, pages * PAGE_SIZE)?)
}

/// Resolves a fault as the trap does.
pub(super) fn resolve(kernel: &mut Kernel, address: u64, access: Access) -> FaultKind {
    fault::handle(&mut kernel.mm, &mut kernel.process.space, fault::Fault { address, access, user: true }).kind
}

/// A page's entry.
pub(super) fn entry(kernel: &Kernel, address: u64) -> Pte {
    kernel.process.space.tables.get(&kernel.mm.machine, address)
}

test!(zero_page_then_copy, "paging/zero_page_then_copy");
fn zero_page_then_copy(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 1, prot::READ | prot::WRITE)?;
    ensure_eq!(probe::read(page), Err(Fault::page(0, page)));
    ensure_eq!(resolve(kernel, page, Access::Read), FaultKind::AnonRead);
    ensure_eq!(probe::read(page + 8), Ok(0));
    ensure!(entry(kernel, page).is_special(), "not the zero page: {:?}", entry(kernel, page));
    // Ring 0 obeys read-only entries too (CR0.WP).
    ensure_eq!(probe::write(page, 7), Err(Fault::page(PRESENT | WRITE, page)));
    ensure_eq!(resolve(kernel, page, Access::Write), FaultKind::Cow);
    ensure_eq!(probe::write(page, 7), Ok(()));
    ensure_eq!(probe::read(page), Ok(7));
    unmap(kernel, page, 1)?;
    ensure_eq!(probe::read(page), Err(Fault::page(0, page)));
    give_zero_page_back(kernel)
}

/// The zero page is the kernel's for ever once it was used, which is no leak.
fn give_zero_page_back(kernel: &mut Kernel) -> Outcome {
    let zero = core::mem::replace(&mut kernel.mm.zero_page, pagelab_mm::machine::Pfn::NONE);
    kernel.mm.free_frames(zero, 0)?;
    Ok(())
}

test!(first_write, "paging/first_write");
fn first_write(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 2, prot::READ | prot::WRITE)?;
    for address in [page, page + PAGE_SIZE] {
        ensure_eq!(probe::write(address, address), Err(Fault::page(WRITE, address)));
        ensure_eq!(resolve(kernel, address, Access::Write), FaultKind::AnonWrite);
        ensure_eq!(probe::read(address), Ok(0));
        ensure_eq!(probe::write(address, address), Ok(()));
    }
    ensure_eq!(probe::read(page), Ok(page));
    ensure!(entry(kernel, page).pfn() != entry(kernel, page + PAGE_SIZE).pfn());
    ensure_eq!(kernel.process.space.usage.rss_anon, 2);
    unmap(kernel, page, 2)
}

test!(unmapped_is_gone, "paging/unmapped_is_gone");
fn unmapped_is_gone(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 3, prot::READ | prot::WRITE)?;
    for address in (page..page + 3 * PAGE_SIZE).step_by(PAGE_SIZE as usize) {
        resolve(kernel, address, Access::Write);
        ensure_eq!(probe::write(address, 1), Ok(()));
    }
    // The translation of the middle one is in the TLB by now: only a flush makes this fault.
    let middle = page + PAGE_SIZE;
    unmap(kernel, middle, 1)?;
    ensure_eq!(probe::read(middle), Err(Fault::page(0, middle)));
    ensure_eq!(probe::read(page), Ok(1));
    ensure_eq!(resolve(kernel, middle, Access::Read), FaultKind::SegvMapErr);
    unmap(kernel, page, 3)
}

test!(read_only_after_mprotect, "paging/read_only_after_mprotect");
fn read_only_after_mprotect(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 1, prot::READ | prot::WRITE)?;
    resolve(kernel, page, Access::Write);
    ensure_eq!(probe::write(page, 5), Ok(()));
    kernel.process.space.mprotect(&mut kernel.mm, page, PAGE_SIZE, prot::READ)?;
    ensure_eq!(probe::write(page, 6), Err(Fault::page(PRESENT | WRITE, page)));
    ensure_eq!(resolve(kernel, page, Access::Write), FaultKind::SegvAccErr);
    kernel.process.space.mprotect(&mut kernel.mm, page, PAGE_SIZE, 0)?;
    ensure_eq!(probe::read(page), Err(Fault::page(0, page)));
    kernel.process.space.mprotect(&mut kernel.mm, page, PAGE_SIZE, prot::READ | prot::WRITE)?;
    resolve(kernel, page, Access::Write);
    ensure_eq!(probe::read(page), Ok(5));
    unmap(kernel, page, 1)
}

test!(cpu_sets_accessed_and_dirty, "paging/cpu_sets_accessed_and_dirty");
fn cpu_sets_accessed_and_dirty(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 1, prot::READ | prot::WRITE)?;
    resolve(kernel, page, Access::Write);
    probe::write(page, 1)?;
    let tables = &mut kernel.process.space.tables;
    tables.clear_accessed(&mut kernel.mm, page, page + PAGE_SIZE);
    tables.clean_range(&mut kernel.mm, page, page + PAGE_SIZE);
    let bits = |kernel: &Kernel| (entry(kernel, page).is_accessed(), entry(kernel, page).is_dirty());
    ensure_eq!(bits(kernel), (false, false));
    probe::read(page)?;
    ensure_eq!(bits(kernel), (true, false));
    // Cleaning made it read-only, so that the next write is noticed.
    resolve(kernel, page, Access::Write);
    probe::write(page, 2)?;
    ensure_eq!(bits(kernel), (true, true));
    unmap(kernel, page, 1)
}

test!(user_pages_are_not_executed, "paging/user_pages_are_not_executed");
fn user_pages_are_not_executed(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 1, prot::READ | prot::WRITE)?;
    resolve(kernel, page, Access::Write);
    // A `ret`.
    probe::write(page, 0xc3)?;
    ensure!(entry(kernel, page).is_nx());
    ensure_eq!(probe::execute(page), Err(Fault::page(PRESENT | FETCH, page)));
    unmap(kernel, page, 1)
}

test!(supervisor_does_not_execute_user_pages, "paging/supervisor_does_not_execute_user_pages");
fn supervisor_does_not_execute_user_pages(kernel: &mut Kernel) -> Outcome {
    if !Cr4::read().contains(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION) {
        return Err(Failure::skip(format_args!("this CPU has no SMEP")));
    }
    let page = map_anonymous(kernel, 1, prot::READ | prot::WRITE | prot::EXEC)?;
    resolve(kernel, page, Access::Write);
    // A `ret`, which ring 3 could execute.
    probe::write(page, 0xc3)?;
    ensure!(!entry(kernel, page).is_nx());
    ensure_eq!(probe::execute(page), Err(Fault::page(PRESENT | FETCH, page)));
    unmap(kernel, page, 1)
}
