//! Giving objects back, and the mistakes that are caught instead of done.

use core::panic::Location;

use pagelab_abi::{
    boot::SlabDebug,
    code::{SlabAllocator, SlabOp},
};

use super::{CACHES, CacheId, Mistake, SlabError, THIS_CPU, cache::Cache, find::Place, memory, queued};
use crate::{
    context::Context,
    frame::Gfp,
    machine::Machine,
    trace::{CallSite, Trace},
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Gives an object back to its cache.
    ///
    /// # Errors
    /// A [`SlabError`], which is also noted in [`super::Slabs::reported`]. The object is as it was, unless the mistake is
    /// damage found around it ([`Mistake::RedZoneBefore`], [`Mistake::RedZoneAfter`]): then it was given back.
    #[inline]
    #[track_caller]
    pub fn kmem_cache_free(&mut self, cache: CacheId, object: u64) -> Result<(), SlabError> {
        if self.slabs.allocator != SlabAllocator::Freelist
            && let Some((index, entry)) = self.queued_find(object)
            && self.slabs.find(cache) == Some(index)
        {
            return self.queued_free(index, entry, object);
        }
        self.free_slowly(cache, object)
    }

    /// Gives an object back that is in a user's hands.
    #[inline(always)]
    #[track_caller]
    pub(super) fn queued_free(&mut self, index: usize, entry: (u32, u32), object: u64) -> Result<(), SlabError> {
        let cache = &mut self.slabs.caches[index % CACHES];
        if !cache.checks.is_empty() {
            return self.free_checked(object);
        }
        cache.active -= 1;
        if self.trace.wants_slab() {
            self.tell_free(index, object);
        }
        self.queued_give(index, entry, THIS_CPU, object);
        Ok(())
    }

    #[inline(never)]
    #[track_caller]
    fn tell_free(&mut self, index: usize, object: u64) {
        let Cache { size, stride, .. } = self.slabs.caches[index];
        self.slab_event(SlabOp::Free, index, object, size, stride, Gfp::empty());
    }

    /// Gives an object back, or tells why that cannot be done.
    #[inline(never)]
    #[track_caller]
    fn free_slowly(&mut self, cache: CacheId, object: u64) -> Result<(), SlabError> {
        match self.locate(object) {
            Ok(place) if self.slabs.find(cache) == Some(place.cache) => self.free_object(place, object),
            found => Err(self.refuse_free(cache, object, found)),
        }
    }

    /// Gives an object back of a cache with checks.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn free_checked(&mut self, object: u64) -> Result<(), SlabError> {
        match self.locate(object) {
            Ok(place) => self.free_object(place, object),
            Err(mistake) => Err(self.report_address(mistake, object)),
        }
    }

    /// Fails as [`Context::kmem_cache_free`] does where an object cannot be given back, and does no more than that.
    ///
    /// # Errors
    /// As [`Context::kmem_cache_free`]'s.
    #[track_caller]
    pub fn kmem_cache_check(&mut self, cache: CacheId, object: u64) -> Result<(), SlabError> {
        match self.locate(object) {
            Ok(place) if self.slabs.find(cache) == Some(place.cache) => {
                if self.is_live(place) {
                    Ok(())
                } else {
                    Err(self.report_object(Mistake::DoubleFree, place.cache, object))
                }
            }
            found => Err(self.refuse_free(cache, object, found)),
        }
    }

    /// Gives an object back whose place is known.
    #[inline(always)]
    #[track_caller]
    pub(super) fn free_object(&mut self, place: Place, object: u64) -> Result<(), SlabError> {
        if !self.is_live(place) {
            return Err(self.report_object(Mistake::DoubleFree, place.cache, object));
        }
        let cache = &mut self.slabs.caches[place.cache % CACHES];
        cache.active -= 1;
        let damage = if cache.checks.is_empty() { None } else { self.check_given(place, object) };
        self.tell_free(place.cache, object);
        match self.slabs.allocator {
            SlabAllocator::Freelist => self.freelist_give(place, object),
            _ => {
                let management = self.machine.pages()[place.slab as usize].private;
                self.queued_give(place.cache, queued::entry_of(management, place.index), THIS_CPU, object);
            }
        }
        damage.map_or(Ok(()), Err)
    }

    /// Whether an object is in a user's hands.
    #[inline(always)]
    pub(super) fn is_live(&self, place: Place) -> bool {
        match self.slabs.allocator {
            SlabAllocator::Freelist => self.freelist_is_live(place),
            _ => {
                let management = self.machine.pages()[place.slab as usize].private;
                queued::is_live(&self.machine, management, place.index)
            }
        }
    }

    /// Notes a free that cannot be done.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn refuse_free(&mut self, cache: CacheId, object: u64, found: Result<Place, Mistake>) -> SlabError {
        let noticed = Location::caller();
        let wanted = self.slabs.find(cache).map_or(Cache::NONE, |index| self.slabs.caches[index]);
        let mistake = match found {
            _ if self.slabs.find(cache).is_none() => Mistake::DestroyedCache,
            Ok(place) => Mistake::WrongCache { owner: self.slabs.caches[place.cache].name },
            Err(mistake) => mistake,
        };
        let mut error = SlabError::new(mistake, &wanted, object, noticed);
        if let Ok(place) = found {
            (error.allocated, error.freed) = self.sites(place.cache, object);
        }
        self.slabs.note(error)
    }

    /// Notes a mistake with an object of a cache.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn report_object(&mut self, mistake: Mistake, index: usize, object: u64) -> SlabError {
        let noticed = Location::caller();
        let mut error = SlabError::new(mistake, &self.slabs.caches[index], object, noticed);
        (error.allocated, error.freed) = self.sites(index, object);
        self.slabs.note(error)
    }

    /// Notes an address that no cache handed out.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn report_address(&mut self, mistake: Mistake, address: u64) -> SlabError {
        let noticed = Location::caller();
        self.slabs.note(SlabError::new(mistake, &Cache::NONE, address, noticed))
    }

    /// Who took an object and who gave it back, where that is kept.
    pub(super) fn sites(&self, index: usize, object: u64) -> (CallSite, CallSite) {
        let cache = &self.slabs.caches[index];
        if !cache.checks.contains(SlabDebug::TRACK) {
            return (CallSite::UNKNOWN, CallSite::UNKNOWN);
        }
        let word = memory::load(&self.machine, object + u64::from(cache.track()));
        (CallSite(word as u32), CallSite((word >> 32) as u32))
    }

    /// Calls `visit` with each object of a cache that is handed out, and who took it where that is kept.
    pub fn for_each_object(&self, cache: CacheId, mut visit: impl FnMut(u64, CallSite)) {
        let Some(index) = self.slabs.find(cache) else { return };
        let this = &self.slabs.caches[index];
        let in_hand = this.per_cpu.iter().map(|cpu| cpu.slab);
        in_hand.for_each(|slab| self.visit_slab(index, slab, &mut visit));
        for list in [this.partial, this.full] {
            let mut slab = list.head;
            while slab != 0 {
                self.visit_slab(index, slab, &mut visit);
                slab = self.machine.pages()[slab as usize].next;
            }
        }
    }

    fn visit_slab(&self, index: usize, slab: u32, visit: &mut impl FnMut(u64, CallSite)) {
        if slab == 0 {
            return;
        }
        let first = self.first_of(index, slab);
        for number in 0..u32::from(self.slabs.caches[index].objects) {
            if self.is_live(Place { cache: index, slab, index: number }) {
                let object = self.object_address(index, slab, first, number);
                visit(object, self.sites(index, object).0);
            }
        }
    }

    /// Where the places of a slab begin.
    pub(super) fn first_of(&self, index: usize, slab: u32) -> u32 {
        match self.slabs.allocator {
            SlabAllocator::Freelist => self.slabs.caches[index].first,
            _ => queued::first(&self.machine, self.machine.pages()[slab as usize].private),
        }
    }
}
