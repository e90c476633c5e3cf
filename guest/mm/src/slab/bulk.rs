//! Many objects at once.

use pagelab_abi::code::SlabAllocator;

use super::{CacheId, SlabError, THIS_CPU, cache::FRONT};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::Machine,
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes as many objects as `objects` has room for.
    ///
    /// # Errors
    /// There are not that many; none was taken.
    #[track_caller]
    pub fn kmem_cache_alloc_bulk(&mut self, cache: CacheId, gfp: Gfp, objects: &mut [u64]) -> Result<(), OutOfMemory> {
        if objects.len() > FRONT
            && self.slabs.allocator == SlabAllocator::Queued
            && let Some(index) = self.slabs.find(cache)
        {
            self.queued_enable_array(index, THIS_CPU);
        }
        for taken in 0..objects.len() {
            match self.kmem_cache_alloc(cache, gfp) {
                Ok(object) => objects[taken] = object,
                Err(OutOfMemory) => {
                    // What was taken a moment ago can be wrong only if damage was found around it, which is noted.
                    let _ = self.kmem_cache_free_bulk(cache, &objects[..taken]);
                    return Err(OutOfMemory);
                }
            }
        }
        Ok(())
    }

    /// Gives objects back; those that are wrong are left out.
    ///
    /// # Errors
    /// What was wrong with the first of these.
    #[track_caller]
    pub fn kmem_cache_free_bulk(&mut self, cache: CacheId, objects: &[u64]) -> Result<(), SlabError> {
        let mut first = Ok(());
        for &object in objects {
            let result = self.kmem_cache_free(cache, object);
            if first.is_ok() {
                first = result;
            }
        }
        first
    }
}
