//! `munmap`, and the unmapping that mmap, brk and the end of a process share.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE, TASK_SIZE},
};

use crate::{
    context::Context,
    errno::Errno,
    frame::OutOfMemory,
    machine::Machine,
    space::{AddressSpace, place::Place},
    trace::Trace,
    vma::VmFlags,
};

impl AddressSpace {
    /// Unmaps a range. A range where nothing is mapped is fine.
    ///
    /// # Errors
    /// EINVAL: an address inside a page, length 0, or a range that leaves the user half; ENOMEM: it would cut a hole
    /// into a mapping and there are too many, or no memory for one more. Then nothing has changed.
    pub fn munmap<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
    ) -> Result<(), Errno> {
        if !start.is_multiple_of(PAGE_SIZE) || start > TASK_SIZE || length > TASK_SIZE - start || length == 0 {
            return Err(Errno::EINVAL);
        }
        self.unmap(cx, start, start + length.next_multiple_of(PAGE_SIZE))
    }

    /// Unmaps `start..end`, page aligned: VMAs, page-table entries, frames, and tables that no VMA needs any more.
    /// On an error nothing has changed.
    pub(super) fn unmap<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
    ) -> Result<(), Errno> {
        let Some(mut slot) = self.vmas.find_intersection(cx, start, end) else {
            return Ok(());
        };
        let first = *cx.vma(slot);
        if first.start < start && end < first.end && self.vmas.count >= self.limits.max_map_count {
            return Err(Errno::ENOMEM);
        }
        let low = start.max(first.start);
        let mut high = low;
        while slot != 0 {
            let vma = *cx.vma(slot);
            if vma.start >= end {
                break;
            }
            let (from, to) = (vma.start.max(start), vma.end.min(end));
            // Only a hole in the middle can fail, and then this VMA is the only one.
            let split = vma.start < from && to < vma.end;
            if split {
                self.vmas.split(cx, slot, to).map_err(|OutOfMemory| Errno::ENOMEM)?;
                self.emit(cx, VmaOp::Split, &vma, vma.start, to);
            }
            let pages = (to - from) >> PAGE_SHIFT;
            self.usage.remove_pages(vma.flags(), pages);
            if vma.flags().contains(VmFlags::ACCOUNT) {
                cx.uncharge(pages);
            }
            // Told while its file is still there.
            self.emit(cx, VmaOp::Unmap, &vma, from, to);
            self.vmas.carve(cx, slot, from, to).expect("no hole is left to cut");
            high = to;
            slot = if split { 0 } else { vma.next };
        }
        self.zap(cx, low, high);
        let Place { floor, ceiling } = self.room_around(cx, low);
        self.tables.free_tables(cx, low, high, floor, ceiling);
        Ok(())
    }

    /// Takes every page of `start..end` out of the page tables and lets go of its frame.
    pub(super) fn zap<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, start: u64, end: u64) {
        let usage = &mut self.usage;
        self.tables.unmap_range(cx, start, end, |cx, _, pte| usage.release(cx, pte));
    }
}
