//! Work on all entries of a range of pages, and the flushes it needs.

use core::ops::ControlFlow;

use pagelab_abi::layout::PAGE_SIZE;

use super::{ENTRIES, Leaf, PageTables, Pte, TOP, index, span};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::Trace,
    vma::VmFlags,
};

/// Up to so many pages are flushed one by one; more are worth a full flush (Linux's tlb_single_page_flush_ceiling).
pub const FLUSH_CEILING: usize = 33;
/// Pages that [`PageTables::unmap_range`] takes out of the tables before it flushes.
const BATCH: usize = 64;

impl PageTables {
    /// Calls `visit` for each entry of the pages in `start..end` that is not empty, by address.
    pub fn walk_range<M: Machine>(&self, machine: &M, start: u64, end: u64, mut visit: impl FnMut(u64, Pte)) {
        let mut address = start;
        while let Some((_, page, pte)) = self.next_mapped(machine, address, end) {
            visit(page, pte);
            address = page + PAGE_SIZE;
        }
    }

    /// Takes every page in `start..end` out of the tables. `visit` gets each old entry after its translation was
    /// flushed, so it may give the frame back. The tables stay: see [`PageTables::free_tables`].
    pub fn unmap_range<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        mut visit: impl FnMut(&mut Context<M, T>, u64, Pte),
    ) {
        let mut address = start;
        let mut taken = [(0, Pte::EMPTY); BATCH];
        loop {
            let mut count = 0;
            while count < BATCH {
                let Some((leaf, page, _)) = self.next_mapped(&cx.machine, address, end) else { break };
                taken[count] = (page, Pte(cx.machine.swap_pte(leaf.table, leaf.index, 0)));
                count += 1;
                address = page + PAGE_SIZE;
            }
            if count == 0 {
                return;
            }
            self.flush(cx, &taken[..count]);
            for &(page, pte) in &taken[..count] {
                visit(cx, page, pte);
            }
        }
    }

    /// Gives the pages in `start..end` the rights of a VMA with these flags (only READ, WRITE and EXEC count), except
    /// that none becomes writable: see [`Pte::with_rights`].
    pub fn protect_range<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        flags: VmFlags,
    ) {
        self.update_range(cx, start, end, |pte| pte.with_rights(flags));
    }

    /// Clears the accessed bits of the pages in `start..end`. Returns how many were set.
    pub fn clear_accessed<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, start: u64, end: u64) -> u64 {
        self.update_range(cx, start, end, |pte| Pte(pte.0 & !Pte::ACCESSED))
    }

    /// Replaces each entry by what `update` makes of it and flushes what the CPU may have cached. Returns how many
    /// entries changed.
    fn update_range<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        update: impl Fn(Pte) -> Pte,
    ) -> u64 {
        let mut address = start;
        let mut changed = 0;
        let mut taken = [(0, Pte::EMPTY); FLUSH_CEILING + 1];
        let mut cached = 0;
        while let Some((leaf, page, pte)) = self.next_mapped(&cx.machine, address, end) {
            address = page + PAGE_SIZE;
            if update(pte) == pte {
                continue;
            }
            // Taken out for a moment, so that no accessed or dirty bit that the CPU sets meanwhile is lost.
            let old = Pte(cx.machine.swap_pte(leaf.table, leaf.index, 0));
            cx.machine.set_pte(leaf.table, leaf.index, update(old).0);
            changed += 1;
            if old.is_present() {
                taken[cached.min(FLUSH_CEILING)] = (page, old);
                cached += 1;
            }
        }
        self.flush(cx, &taken[..cached.min(FLUSH_CEILING + 1)]);
        changed
    }

    /// Flushes the pages that were present: one by one, or all at once if they are many.
    fn flush<M: Machine, T: Trace>(&self, cx: &mut Context<M, T>, old: &[(u64, Pte)]) {
        if old.len() > FLUSH_CEILING {
            cx.machine.flush_all(self.root);
            return;
        }
        for &(page, pte) in old {
            if pte.is_present() {
                cx.machine.flush_page(self.root, page);
            }
        }
    }

    /// The first entry that is not empty of the pages in `address..end`: its place, its page and itself.
    /// A missing table costs one step, whatever it would cover.
    fn next_mapped<M: Machine>(&self, machine: &M, mut address: u64, end: u64) -> Option<(Leaf, u64, Pte)> {
        while address < end {
            let table = match self.table_at(machine, address) {
                ControlFlow::Break(table) => table,
                ControlFlow::Continue(next) => {
                    address = next;
                    continue;
                }
            };
            for index in index(address, 0)..ENTRIES {
                if address >= end {
                    return None;
                }
                let pte = Pte(machine.pte(table, index));
                if pte != Pte::EMPTY {
                    return Some((Leaf { table, index }, address, pte));
                }
                address += PAGE_SIZE;
            }
        }
        None
    }

    /// The level-0 table for `address`, or the first address above it that the missing table does not cover.
    fn table_at<M: Machine>(&self, machine: &M, address: u64) -> ControlFlow<Pfn, u64> {
        if let Some(leaf) = self.remembered(address) {
            return ControlFlow::Break(leaf.table);
        }
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            let entry = Pte(machine.pte(table, index(address, level)));
            if !entry.is_present() {
                return ControlFlow::Continue((address & !(span(level) - 1)) + span(level));
            }
            table = entry.pfn();
        }
        ControlFlow::Break(table)
    }
}
