//! Work on all entries of a range of pages, and the flushes it needs.

use core::ops::ControlFlow;

use pagelab_abi::layout::PAGE_SIZE;

use super::{LEAF_SPAN, Leaf, PageTables, Pte, TOP, index, span};
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
        let mut entries = Entries::new(start, end);
        while let Some((_, page, pte)) = entries.next(self, machine) {
            visit(page, pte);
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
        let mut entries = Entries::new(start, end);
        let mut taken = [(0, Pte::EMPTY); BATCH];
        loop {
            let mut count = 0;
            while count < BATCH {
                let Some((leaf, page, _)) = entries.next(self, &cx.machine) else { break };
                taken[count] = (page, Pte(cx.machine.swap_pte(leaf.table, leaf.index, 0)));
                count += 1;
            }
            if count == 0 {
                return;
            }
            flush(cx, self.root, &taken[..count]);
            for &(page, pte) in &taken[..count] {
                visit(cx, page, pte);
            }
        }
    }

    /// Gives the pages in `start..end` the rights of a VMA with these flags. Where it can be written, pages become
    /// writable at once if a write needs no copy: shared ones, and anonymous ones that nobody else has.
    pub fn protect_range<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        flags: VmFlags,
    ) {
        self.update_range(cx, start, end, |machine, pte| {
            let rights = pte.with_rights(flags);
            let write =
                flags.contains(VmFlags::WRITE) && (flags.contains(VmFlags::SHARED) || is_exclusive(machine, pte));
            if write { rights.writable() } else { rights }
        });
    }

    /// Clears the accessed bits of the pages in `start..end`. Returns how many were set.
    pub fn clear_accessed<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, start: u64, end: u64) -> u64 {
        self.update_range(cx, start, end, |_, pte| Pte(pte.0 & !Pte::ACCESSED))
    }

    /// Marks the pages in `start..end` as neither used nor written (MADV_FREE), as far as they are the process's own.
    pub fn clean_range<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, start: u64, end: u64) {
        self.update_range(cx, start, end, |machine, pte| {
            if is_exclusive(machine, pte) { Pte(pte.0 & !(Pte::ACCESSED | Pte::DIRTY)) } else { pte }
        });
    }

    /// Replaces each entry by what `update` makes of it and flushes what the CPU may have cached. Returns how many
    /// entries changed.
    fn update_range<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        update: impl Fn(&M, Pte) -> Pte,
    ) -> u64 {
        let mut entries = Entries::new(start, end);
        let mut changed = 0;
        let mut taken = [(0, Pte::EMPTY); FLUSH_CEILING + 1];
        let mut cached = 0;
        while let Some((leaf, page, pte)) = entries.next(self, &cx.machine) {
            if update(&cx.machine, pte) == pte {
                continue;
            }
            // Taken out for a moment, so that no accessed or dirty bit that the CPU sets meanwhile is lost.
            let old = Pte(cx.machine.swap_pte(leaf.table, leaf.index, 0));
            let new = update(&cx.machine, old);
            cx.machine.set_pte(leaf.table, leaf.index, new.0);
            changed += 1;
            if old.is_present() {
                taken[cached.min(FLUSH_CEILING)] = (page, old);
                cached += 1;
            }
        }
        flush(cx, self.root, &taken[..cached.min(FLUSH_CEILING + 1)]);
        changed
    }

    /// The level-0 table for `address`, or the first address above it that the missing table does not cover.
    fn table_at<M: Machine>(&self, machine: &M, address: u64) -> ControlFlow<Pfn, u64> {
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

/// Flushes the pages that were present: one by one, or all at once if they are many.
pub(super) fn flush<M: Machine, T: Trace>(cx: &mut Context<M, T>, root: Pfn, old: &[(u64, Pte)]) {
    if old.len() > FLUSH_CEILING {
        cx.machine.flush_all(root);
        return;
    }
    for &(page, pte) in old {
        if pte.is_present() {
            cx.machine.flush_page(root, page);
        }
    }
}

/// Whether an entry maps an anonymous frame that nobody else has a share in.
fn is_exclusive(machine: &impl Machine, pte: Pte) -> bool {
    !pte.is_special() && {
        let page = &machine.pages()[pte.pfn().index()];
        page.is_anonymous() && page.refcount == 1
    }
}

/// The entries of a range that are not empty, by address. A missing table costs one step, whatever it would cover.
pub(super) struct Entries {
    /// The page that is looked at next.
    page: u64,
    end: u64,
    /// The level-0 table for `page` while that is below `covered`.
    table: Pfn,
    /// Where the part of the range ends that `table` covers.
    covered: u64,
}

impl Entries {
    pub(super) fn new(start: u64, end: u64) -> Self {
        Entries { page: start, end, table: Pfn::NONE, covered: start }
    }

    /// The next entry: its place, its page and itself.
    #[inline]
    pub(super) fn next<M: Machine>(&mut self, tables: &PageTables, machine: &M) -> Option<(Leaf, u64, Pte)> {
        loop {
            while self.page < self.covered {
                let (page, index) = (self.page, index(self.page, 0));
                self.page += PAGE_SIZE;
                let pte = Pte(machine.pte(self.table, index));
                if pte != Pte::EMPTY {
                    return Some((Leaf { table: self.table, index }, page, pte));
                }
            }
            if self.page >= self.end {
                return None;
            }
            match tables.table_at(machine, self.page) {
                ControlFlow::Break(table) => {
                    self.table = table;
                    self.covered = self.end.min((self.page & !(LEAF_SPAN - 1)) + LEAF_SPAN);
                }
                ControlFlow::Continue(next) => {
                    self.page = next;
                    self.covered = next;
                }
            }
        }
    }
}
