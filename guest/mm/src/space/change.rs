//! Other flags for a part of a VMA: what mprotect, mlock and madvise share.

use pagelab_abi::{code::VmaOp, layout::PAGE_SHIFT};

use crate::{
    context::Context, errno::Errno, frame::OutOfMemory, machine::Machine, slab::Slot, space::AddressSpace,
    trace::Trace, vma::VmFlags,
};

impl AddressSpace {
    /// Gives `start..end`, a part of the VMA in `slot`, these flags: joins it with its neighbours or cuts it out.
    /// Counts it and says so; the page tables are the caller's business, and so is what was promised.
    ///
    /// # Errors
    /// ENOMEM: too many mappings, no memory. Then no flags have changed, but the VMA may have been cut.
    pub(super) fn change_flags<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        slot: Slot,
        (start, end): (u64, u64),
        flags: VmFlags,
        op: VmaOp,
    ) -> Result<(), Errno> {
        let vma = *cx.vma(slot);
        let pages = (end - start) >> PAGE_SHIFT;
        let merged = self.vmas.merge_changed(cx, slot, start, end, flags);
        if merged.is_none() {
            let slot = self.isolate(cx, slot, start, end)?;
            cx.vma_mut(slot).set_flags(flags);
        }
        self.usage.remove_pages(vma.flags(), pages);
        self.usage.add_pages(flags, pages);
        let mut changed = vma;
        changed.set_flags(flags);
        self.emit(cx, op, &changed, start, end);
        if let Some(slot) = merged {
            self.emit_vma(cx, VmaOp::Merge, slot);
        }
        Ok(())
    }

    /// Makes `start..end`, a part of the VMA in `slot`, a VMA of its own: cuts at the start, then at the end. As in Linux a
    /// first cut stays where the second cannot be made.
    fn isolate<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        mut slot: Slot,
        start: u64,
        end: u64,
    ) -> Result<Slot, Errno> {
        if cx.vma(slot).start < start {
            slot = self.cut(cx, slot, start)?;
        }
        if end < cx.vma(slot).end {
            self.cut(cx, slot, end)?;
        }
        Ok(slot)
    }

    /// Cuts a VMA in two, if there may be one more, and returns the upper part.
    fn cut<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, slot: Slot, at: u64) -> Result<Slot, Errno> {
        if self.vmas.count >= self.limits.max_map_count {
            return Err(Errno::ENOMEM);
        }
        let vma = *cx.vma(slot);
        let upper = self.vmas.split(cx, slot, at).map_err(|OutOfMemory| Errno::ENOMEM)?;
        self.emit(cx, VmaOp::Split, &vma, vma.start, at);
        Ok(upper)
    }
}
