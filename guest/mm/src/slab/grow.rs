//! Slabs in and out: frames taken for a cache, and given back.

use core::panic::Location;

use pagelab_abi::{
    code::{SlabAllocator, SlabOp},
    event,
    layout::{PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE},
    name,
};

use super::{CacheFlags, CacheId, cache::Cache, create, geometry, queued};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Adds a slab to a cache, empty, and makes the cache first if it is one that is made at its first use.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn grow(&mut self, index: usize, gfp: Gfp) -> Result<(), OutOfMemory> {
        if self.slabs.caches[index].objects == 0 {
            self.create_builtin(index)?;
        }
        let Cache { order, flags, objects, first, on_slab, .. } = self.slabs.caches[index];
        let linked = self.slabs.allocator == SlabAllocator::Freelist;
        // What is elsewhere is taken first, so that a failure leaves nothing to undo but this.
        let management = if linked || on_slab {
            0
        } else {
            let bytes = geometry::management_size(objects.into()).max(geometry::CACHE_LINE);
            self.kmalloc(bytes.into(), gfp)?
        };
        let mut request = gfp - Gfp::ZERO - Gfp::MOVABLE - Gfp::HIGHMEM;
        if flags.contains(CacheFlags::RECLAIM_ACCOUNT) {
            request |= Gfp::RECLAIMABLE;
        }
        let Ok(Pfn(slab)) = self.alloc_frames(order, request, create::owner(index)) else {
            if management != 0 {
                self.kfree(management).expect("it was taken just now");
            }
            return Err(OutOfMemory);
        };
        self.slab_event(SlabOp::Grow, index, PAGE_OFFSET + Pfn(slab).address(), 0, (PAGE_SIZE as u32) << order, gfp);
        let this = &mut self.slabs.caches[index];
        this.free += u32::from(objects);
        let colour = u32::from(this.next_colour) * u32::from(this.colour_step);
        this.next_colour = if this.next_colour + 1 < this.colours { this.next_colour + 1 } else { 0 };
        if flags.contains(CacheFlags::RECLAIM_ACCOUNT) {
            self.slabs.reclaimable += 1 << order;
        }
        let pages = self.machine.pages_mut();
        for tail in 1..1 << order {
            let page = &mut pages[(slab + tail) as usize];
            (page.mapping, page.private) = (index as u32 + 1, slab);
        }
        let page = &mut pages[slab as usize];
        page.mapping = index as u32 + 1;
        if linked {
            (page.index, page.private) = (0, 0);
            self.freelist_prepare(index, slab);
            self.slabs.caches[index].partial.push(self.machine.pages_mut(), slab);
            return Ok(());
        }
        let physical = if on_slab { Pfn(slab).address() + u64::from(colour) } else { management - PAGE_OFFSET };
        page.private = queued::management_at(physical);
        self.slabs.caches[index].empty.push(pages, slab);
        queued::prepare(&mut self.machine, queued::management_at(physical), colour + first);
        Ok(())
    }

    /// Gives a slab back that is in no list and whose objects are all free.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn reap(&mut self, index: usize, slab: u32) {
        let Cache { order, flags, on_slab, .. } = self.slabs.caches[index];
        let this = &mut self.slabs.caches[index];
        this.free -= u32::from(this.objects);
        if flags.contains(CacheFlags::RECLAIM_ACCOUNT) {
            self.slabs.reclaimable -= 1 << order;
        }
        self.slab_event(
            SlabOp::Reap,
            index,
            PAGE_OFFSET + (u64::from(slab) << PAGE_SHIFT),
            0,
            (PAGE_SIZE as u32) << order,
            Gfp::empty(),
        );
        let page = &mut self.machine.pages_mut()[slab as usize];
        let management = page.private;
        page.mapping = 0;
        if !on_slab {
            let address = PAGE_OFFSET + queued::physical_of(management);
            self.kfree(address).expect("a slab's management is its own");
        }
        self.free_frames(Pfn(slab), order).expect("a slab's frames are the cache's own");
    }

    /// Tells the trace. `size` is what was asked for, `taken` the bytes it takes.
    #[inline(always)]
    #[track_caller]
    pub(super) fn slab_event(&mut self, op: SlabOp, index: usize, address: u64, size: u32, taken: u32, gfp: Gfp) {
        if self.trace.wants_slab() {
            self.tell(op, index, address, size, taken, gfp);
        }
    }

    #[inline(never)]
    #[track_caller]
    fn tell(&mut self, op: SlabOp, index: usize, address: u64, size: u32, taken: u32, gfp: Gfp) {
        let event = event::Slab {
            address,
            bytes_requested: size,
            bytes_allocated: taken,
            cache: name::FIRST_CACHE + index as u32,
            call_site: 0,
            gfp: gfp.bits(),
            op,
            padding: [0; 3],
            reserved: 0,
        };
        self.trace.slab(event, Location::caller());
    }

    /// Gives every slab back that is wholly free, after the CPUs have put back what they keep. Returns how many frames
    /// came free.
    #[track_caller]
    pub fn kmem_cache_shrink(&mut self, cache: CacheId) -> u32 {
        self.slabs.find(cache).map_or(0, |index| self.shrink(index))
    }

    #[track_caller]
    pub(super) fn shrink(&mut self, index: usize) -> u32 {
        let before = self.slabs.caches[index].slabs();
        if self.slabs.allocator == SlabAllocator::Freelist {
            self.freelist_retire_all(index);
        } else {
            for cpu in 0..super::CPUS {
                self.queued_flush(index, cpu, u32::MAX);
            }
        }
        loop {
            let this = &mut self.slabs.caches[index];
            let slab = this.empty.head;
            if slab == 0 {
                return (before - this.slabs()) * this.frames();
            }
            this.empty.remove(self.machine.pages_mut(), slab);
            self.reap(index, slab);
        }
    }

    /// Gives the slabs back of which nothing is handed out but not everything can be told.
    #[track_caller]
    pub(super) fn reap_rest(&mut self, index: usize) {
        loop {
            let this = &mut self.slabs.caches[index];
            let list = if this.partial.head != 0 { &mut this.partial } else { &mut this.full };
            let slab = list.head;
            if slab == 0 {
                return;
            }
            list.remove(self.machine.pages_mut(), slab);
            this.free += u32::from(this.objects);
            self.reap(index, slab);
        }
    }
}
