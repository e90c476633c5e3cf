//! `brk`: moving the end of the heap.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE, STACK_GUARD_GAP, TASK_SIZE},
};

use crate::{
    context::Context,
    frame::OutOfMemory,
    machine::Machine,
    space::{AddressSpace, Limit},
    trace::Trace,
    vma::{VmFlags, Vma},
};

impl AddressSpace {
    /// Says where the heap begins: the page after the program's bss. It is empty at first.
    pub fn set_brk_start(&mut self, address: u64) {
        let start = address.next_multiple_of(PAGE_SIZE);
        (self.brk_start, self.brk) = (start, start);
    }

    /// Moves the break to `brk` and returns it, or returns the break as it is if that cannot be done (or if `brk` is
    /// below the start of the heap, as 0 is: that asks where the break is).
    ///
    /// The heap keeps a page free between itself and the next mapping, and a stack's guard gap.
    pub fn brk<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, brk: u64) -> u64 {
        let old = self.brk;
        if brk >= self.brk_start && brk <= TASK_SIZE && self.within_data_limit(brk) {
            // Set first, so that events name the heap rightly.
            self.brk = brk;
            if self.move_brk(cx, old, brk).is_none() {
                self.brk = old;
            }
        }
        self.brk
    }

    fn within_data_limit(&self, brk: u64) -> bool {
        let limit = self.limits.data.soft;
        limit == Limit::INFINITY || brk - self.brk_start + self.data_bytes <= limit
    }

    /// Maps or unmaps what lies between the old and the new break. `None` if that fails; then nothing has changed.
    fn move_brk<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, from: u64, to: u64) -> Option<()> {
        let (old, new) = (from.next_multiple_of(PAGE_SIZE), to.next_multiple_of(PAGE_SIZE));
        if new == old {
            return Some(());
        }
        if new < old {
            // The program may have unmapped or replaced parts of the heap: then there may be nothing left of it.
            self.vmas.find_intersection(cx, new, old)?;
            self.unmap(cx, new, old).ok()?;
        } else {
            self.grow_heap(cx, old, new)?;
        }
        let heap = Vma::new(self.brk_start, new, self.brk_start >> PAGE_SHIFT, heap_flags(), 0);
        self.emit(cx, VmaOp::Brk, &heap, heap.start, heap.end);
        Some(())
    }

    fn grow_heap<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, old: u64, new: u64) -> Option<()> {
        let flags = heap_flags() | self.future_locks;
        if new > TASK_SIZE || !self.may_lock(flags, new - old) {
            return None;
        }
        let pages = (new - old) >> PAGE_SHIFT;
        let top = new + PAGE_SIZE;
        if let Some(next) = self.vmas.find_intersection(cx, old, top + STACK_GUARD_GAP)
            && top > cx.vma(next).start_gap()
        {
            return None;
        }
        if !self.may_expand(flags, pages as i64) || self.vmas.count > self.limits.max_map_count {
            return None;
        }
        cx.charge(pages, self.usage.total_vm).ok()?;
        let vma = Vma::new(old, new, old >> PAGE_SHIFT, flags, 0);
        // The heap's own VMA grows; what lies below the heap, such as the bss, never does.
        let added = if old == self.brk_start {
            self.insert_vma(cx, vma).inspect(|_| self.usage.add_pages(flags, pages))
        } else {
            self.add_vma(cx, vma, VmaOp::Map)
        };
        added.map_err(|OutOfMemory| cx.uncharge(pages)).ok()?;
        Some(())
    }
}

fn heap_flags() -> VmFlags {
    VmFlags::READ | VmFlags::WRITE | VmFlags::MAY | VmFlags::ACCOUNT
}
