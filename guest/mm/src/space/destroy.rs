//! The end of an address space.

use pagelab_abi::layout::TASK_SIZE;

use crate::{
    context::Context,
    machine::Machine,
    space::AddressSpace,
    trace::Trace,
    vma::{VmFlags, Vma},
};

impl AddressSpace {
    /// Gives everything back: VMAs, frames, page tables, the top one included. The CPU must not use these tables any
    /// more. No VMA events: the process's own end says it.
    pub fn destroy<M: Machine, T: Trace>(mut self, cx: &mut Context<M, T>) {
        // VMA by VMA: looking for pages and tables everywhere would take ten times as long. The tree goes as a whole.
        let mut slot = self.vmas.first;
        while slot != 0 {
            let vma = *cx.vma(slot);
            let Vma { start, end, next, .. } = vma;
            if vma.flags().contains(VmFlags::ACCOUNT) {
                cx.uncharge(vma.pages());
            }
            self.zap(cx, start, end);
            let ceiling = if next == 0 { TASK_SIZE } else { cx.vma(next).start };
            self.tables.free_tables(cx, start, end, 0, ceiling);
            cx.free_vma(slot);
            slot = next;
        }
        self.tables.destroy(cx);
    }
}
