//! Giving tables back that map nothing any more: Linux's free_pgtables.

use pagelab_abi::layout::TASK_SIZE;

use super::{ENTRIES, NO_LEAF, PageTables, Pte, TOP, index, span};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::Trace,
};

/// End of the addresses that the user half of a top table covers.
const USER_END: u64 = 1 << 47;

/// The range whose tables go, and what around it is unmapped too.
struct Freed {
    start: u64,
    end: u64,
    floor: u64,
    ceiling: u64,
}

impl PageTables {
    /// Gives back the tables for `start..end` (unmapped before, not empty) that lie wholly within `floor..ceiling`.
    ///
    /// `floor` is the end of the mapping below (0 if there is none), `ceiling` the start of the one above
    /// ([`TASK_SIZE`] or more if there is none): between them nothing is mapped, so such tables are empty.
    pub fn free_tables<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        floor: u64,
        ceiling: u64,
    ) {
        // The last table reaches beyond the last address a program can map.
        let ceiling = if ceiling >= TASK_SIZE { USER_END } else { ceiling };
        self.leaf_base = NO_LEAF;
        self.free_below(cx, self.root, TOP, &Freed { start, end: end.min(USER_END), floor, ceiling });
    }

    /// Gives back the tables that the entries of `table` (of this level, at least 1) point to.
    fn free_below<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, table: Pfn, level: u32, freed: &Freed) {
        let mut start = freed.start;
        for index in index(freed.start, level)..ENTRIES {
            if start >= freed.end {
                break;
            }
            let (base, next) = (start & !(span(level) - 1), (start & !(span(level) - 1)) + span(level));
            let entry = Pte(cx.machine.pte(table, index));
            if entry.is_present() {
                if level > 1 {
                    let part = Freed { start, end: freed.end.min(next), ..*freed };
                    self.free_below(cx, entry.pfn(), level - 1, &part);
                }
                if base >= freed.floor && next <= freed.ceiling {
                    cx.machine.swap_pte(table, index, 0);
                    // Any flush of this address space also drops the table pointers the CPU has cached
                    // (SDM vol. 3A, 4.10.4.1).
                    cx.machine.flush_page(self.root, base);
                    self.tables -= 1;
                    cx.put_frame(entry.pfn()).expect("a table in use is an allocated frame");
                }
            }
            start = next;
        }
    }

    /// Gives back the top table, the last one left after [`PageTables::free_tables`] over everything. The CPU must not
    /// use it any more.
    pub fn destroy<M: Machine, T: Trace>(self, cx: &mut Context<M, T>) {
        debug_assert_eq!(self.tables, 1, "the tables below were freed before");
        cx.machine.flush_all(self.root);
        cx.put_frame(self.root).expect("a top table is an allocated frame");
    }
}
