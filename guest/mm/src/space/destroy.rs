//! The end of an address space.

use pagelab_abi::layout::TASK_SIZE;

use crate::{context::Context, machine::Machine, space::AddressSpace, trace::Trace};

impl AddressSpace {
    /// Gives everything back: VMAs, frames, page tables, the top one included. The CPU must not use these tables any
    /// more. No VMA events: the process's own end says it.
    pub fn destroy<M: Machine, T: Trace>(mut self, cx: &mut Context<M, T>) {
        self.zap(cx, 0, TASK_SIZE);
        while self.vmas.first != 0 {
            let slot = self.vmas.first;
            self.vmas.remove(cx, slot);
        }
        self.tables.free_tables(cx, 0, TASK_SIZE, 0, TASK_SIZE);
        self.tables.destroy(cx);
    }
}
