//! Taking objects.

use pagelab_abi::code::{SlabAllocator, SlabOp};

use super::{CACHES, CacheId, THIS_CPU, memory};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::Machine,
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes an object of a cache; its address in the direct map. With [`Gfp::ZERO`] it is filled with zeros.
    ///
    /// # Errors
    /// The cache has no free object and there are no frames for another slab, or the cache was destroyed.
    #[inline]
    #[track_caller]
    pub fn kmem_cache_alloc(&mut self, cache: CacheId, gfp: Gfp) -> Result<u64, OutOfMemory> {
        let index = self.slabs.find(cache).ok_or(OutOfMemory)?;
        self.alloc_object(index, 0, gfp)
    }

    /// Takes an object for so many bytes, or as many as the cache's objects have where that is 0.
    #[inline(always)]
    #[track_caller]
    pub(super) fn alloc_object(&mut self, index: usize, bytes: u32, gfp: Gfp) -> Result<u64, OutOfMemory> {
        let object = match self.slabs.allocator {
            SlabAllocator::Freelist => self.freelist_take(index, THIS_CPU, gfp)?,
            _ => self.queued_take(index, THIS_CPU, gfp)?,
        };
        let cache = &mut self.slabs.caches[index % CACHES];
        cache.active += 1;
        if !cache.checks.is_empty() || gfp.contains(Gfp::ZERO) || self.trace.wants_slab() {
            self.dress(index, bytes, object, gfp);
        }
        Ok(object)
    }

    /// Does to an object that was just taken what only some are in need of.
    #[inline(never)]
    #[track_caller]
    fn dress(&mut self, index: usize, bytes: u32, object: u64, gfp: Gfp) {
        let cache = &self.slabs.caches[index];
        let (size, stride) = (cache.size, cache.stride);
        if !cache.checks.is_empty() {
            self.check_taken(index, object);
        }
        if gfp.contains(Gfp::ZERO) {
            memory::fill(&mut self.machine, object, u64::from(size.div_ceil(8)), 0);
        }
        self.slab_event(SlabOp::Alloc, index, object, if bytes == 0 { size } else { bytes }, stride, gfp);
    }

    /// Readies an object that is handed out for the first time.
    #[inline]
    pub(super) fn prepare_fresh(&mut self, index: usize, object: u64) {
        let cache = &self.slabs.caches[index];
        if !cache.checks.is_empty() || cache.constructor.is_some() {
            self.prepare_fresh_slowly(index, object);
        }
    }

    #[cold]
    #[inline(never)]
    fn prepare_fresh_slowly(&mut self, index: usize, object: u64) {
        self.construct(index, object);
        if !self.slabs.caches[index].checks.is_empty() {
            self.mark_fresh(index, object);
        }
    }

    /// Runs the cache's constructor on an object.
    pub(super) fn construct(&mut self, index: usize, object: u64) {
        let cache = &self.slabs.caches[index];
        if let Some(constructor) = cache.constructor {
            for word in 0..cache.size.div_ceil(8) as usize {
                let value = constructor(object, word);
                memory::store(&mut self.machine, object + 8 * word as u64, value);
            }
        }
    }
}
