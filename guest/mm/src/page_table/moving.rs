//! Taking pages from one place of an address space to another, with their frames: what mremap needs.

use super::{
    FLUSH_CEILING, PageTables, Pte,
    range::{Entries, flush},
};
use crate::{context::Context, frame::OutOfMemory, machine::Machine, trace::Trace};

impl PageTables {
    /// Makes the tables that [`PageTables::move_range`] needs at the new place.
    ///
    /// # Errors
    /// No frame for a table. The tables made so far stay; [`PageTables::free_tables`] finds them.
    pub fn prepare_move<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        from: u64,
        to: u64,
        length: u64,
    ) -> Result<(), OutOfMemory> {
        let mut entries = Entries::new(from, from + length);
        while let Some((_, page, _)) = entries.next(self, &cx.machine) {
            self.leaf(cx, page - from + to)?;
        }
        Ok(())
    }

    /// Moves the entries of the pages in `from..from + length` to `to`, where nothing is mapped and
    /// [`PageTables::prepare_move`] has made the tables. The ranges do not overlap.
    pub fn move_range<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, from: u64, to: u64, length: u64) {
        let mut entries = Entries::new(from, from + length);
        let mut taken = [(0, Pte::EMPTY); FLUSH_CEILING + 1];
        let mut cached = 0;
        while let Some((leaf, page, _)) = entries.next(self, &cx.machine) {
            let Some(place) = self.find_leaf(&cx.machine, page - from + to) else { continue };
            // In one step, so that no accessed or dirty bit that the CPU sets meanwhile is lost.
            let pte = Pte(cx.machine.swap_pte(leaf.table, leaf.index, 0));
            cx.machine.set_pte(place.table, place.index, pte.0);
            if pte.is_present() {
                taken[cached.min(FLUSH_CEILING)] = (page, pte);
                cached += 1;
            }
        }
        flush(cx, self.root, &taken[..cached.min(FLUSH_CEILING + 1)]);
    }
}
