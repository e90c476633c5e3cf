//! `/proc/PID/pagemap`: a word for each page (Linux's Documentation/admin-guide/mm/pagemap.rst).

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_SHIFT, PAGE_SIZE, TASK_SIZE},
};
use pagelab_mm::{frame::Page, machine::Machine, page_table::Pte};

use crate::state::Kernel;

/// Bytes of a word.
pub(super) const WORD: u64 = 8;
/// Bytes of the file.
pub(super) const LENGTH: u64 = (TASK_SIZE >> PAGE_SHIFT) * WORD;
/// Nothing else maps the page.
const EXCLUSIVE: u64 = 1 << 56;
/// A page of a file or of shared memory.
const FILE: u64 = 1 << 61;
/// A frame is mapped.
const PRESENT: u64 = 1 << 63;

/// The words from byte `offset` on, which is a multiple of 8; beyond the end they are 0. As in a Linux without CONFIG_MEM_SOFT_DIRTY, bit 55 is never set.
pub(super) fn pagemap(kernel: &Kernel, offset: u64, words: &mut [u64]) {
    let first = offset / WORD;
    let count = (TASK_SIZE >> PAGE_SHIFT).saturating_sub(first).min(words.len() as u64);
    words.fill(0);
    let start = first << PAGE_SHIFT;
    let pages = kernel.mm.machine.pages();
    kernel.process.space.tables.walk_range(&kernel.mm.machine, start, start + count * PAGE_SIZE, |page, pte| {
        words[((page - start) >> PAGE_SHIFT) as usize] = word(pte, &pages[pte.pfn().index()]);
    });
}

fn word(pte: Pte, page: &Page) -> u64 {
    let mut word = PRESENT | u64::from(pte.pfn().0);
    if !pte.is_special() {
        if matches!(page.owner, Owner::File | Owner::Shmem) {
            word |= FILE;
        }
        if page.mapcount == 1 {
            word |= EXCLUSIVE;
        }
    }
    word
}
