//! Checks that a cache can be asked for: red zones, poison, who took and gave back, whole slabs.
//!
//! Each damage is reported once and then mended, so that it is not found again.

use core::panic::Location;

use pagelab_abi::{boot::SlabDebug, code::SlabAllocator};

use super::{Mistake, SlabError, cache::Cache, find::Place, memory, queued};
use crate::{
    context::Context,
    machine::Machine,
    trace::{CallSite, Trace},
};

/// Red zone of a free object (Linux's value).
pub(super) const RED_INACTIVE: u64 = 0x09f9_1102_9d74_e35b;
/// Red zone of an object that is handed out.
pub(super) const RED_ACTIVE: u64 = 0xd841_56c5_6356_88c0;
/// A free object's bytes.
const POISON_FREE: u64 = 0x6b6b_6b6b_6b6b_6b6b;
/// The bytes of an object that was just handed out.
const POISON_INUSE: u64 = 0x5a5a_5a5a_5a5a_5a5a;
/// A poisoned object's last byte.
const POISON_END: u64 = 0xa5;

/// Word `word` of a poisoned object of `words`.
const fn poison(fill: u64, word: u64, words: u64) -> u64 {
    if word + 1 == words { fill & (u64::MAX >> 8) | POISON_END << 56 } else { fill }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Marks an object that nobody has had yet as a free one.
    pub(super) fn mark_fresh(&mut self, index: usize, object: u64) {
        let cache = self.slabs.caches[index];
        self.set_red_zones(&cache, object, RED_INACTIVE);
        if cache.checks.contains(SlabDebug::POISON) {
            self.set_poison(&cache, object, POISON_FREE);
        }
        if cache.checks.contains(SlabDebug::TRACK) {
            memory::store(&mut self.machine, object + u64::from(cache.track()), 0);
        }
    }

    /// Looks at a free object that is about to be handed out, and marks it as such.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn check_taken(&mut self, index: usize, object: u64) {
        let by = Location::caller();
        let cache = self.slabs.caches[index];
        self.check_red_zones(index, object, RED_INACTIVE, RED_ACTIVE, by);
        if cache.checks.contains(SlabDebug::POISON) {
            self.check_poison(index, object, by);
            self.set_poison(&cache, object, POISON_INUSE);
            self.construct(index, object);
        }
        if cache.checks.contains(SlabDebug::TRACK) {
            memory::store(&mut self.machine, object + u64::from(cache.track()), CallSite::of(by).0.into());
        }
    }

    /// Looks at an object that is about to be given back, and marks it as free. Returns the first damage.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn check_given(&mut self, place: Place, object: u64) -> Option<SlabError> {
        let by = Location::caller();
        let cache = self.slabs.caches[place.cache];
        if cache.checks.contains(SlabDebug::CHECKS) {
            self.check_slab(place, object);
        }
        let damage = self.check_red_zones(place.cache, object, RED_ACTIVE, RED_INACTIVE, by);
        if cache.checks.contains(SlabDebug::POISON) {
            self.set_poison(&cache, object, POISON_FREE);
        }
        if cache.checks.contains(SlabDebug::TRACK) {
            let track = object + u64::from(cache.track());
            let taken = memory::load(&self.machine, track) & u64::from(u32::MAX);
            memory::store(&mut self.machine, track, taken | u64::from(CallSite::of(by).0) << 32);
        }
        damage
    }

    /// Checks both red zones and sets them anew. Returns the first damage; the second is only noted.
    fn check_red_zones(
        &mut self,
        index: usize,
        object: u64,
        expected: u64,
        next: u64,
        by: &'static Location<'static>,
    ) -> Option<SlabError> {
        let cache = self.slabs.caches[index];
        if !cache.checks.contains(SlabDebug::RED_ZONE) {
            return None;
        }
        let after = i32::try_from(cache.after()).unwrap_or(i32::MAX);
        let zones = [(Mistake::RedZoneBefore, -8), (Mistake::RedZoneAfter, after)];
        let mut first = None;
        for (mistake, offset) in zones {
            let found = memory::load(&self.machine, object.wrapping_add_signed(offset.into()));
            if found != expected {
                let error = self.damage(mistake, index, object, by).at(offset, found, expected);
                let error = self.slabs.note(error);
                first = first.or(Some(error));
            }
        }
        self.set_red_zones(&cache, object, next);
        first
    }

    fn set_red_zones(&mut self, cache: &Cache, object: u64, value: u64) {
        if cache.checks.contains(SlabDebug::RED_ZONE) {
            memory::store(&mut self.machine, object - 8, value);
            memory::store(&mut self.machine, object + u64::from(cache.after()), value);
        }
    }

    fn set_poison(&mut self, cache: &Cache, object: u64, fill: u64) {
        let words = u64::from(cache.after()) / 8;
        for word in 0..words {
            memory::store(&mut self.machine, object + 8 * word, poison(fill, word, words));
        }
    }

    /// Looks for the first byte of a free object that is not poison.
    fn check_poison(&mut self, index: usize, object: u64, by: &'static Location<'static>) {
        let words = u64::from(self.slabs.caches[index].after()) / 8;
        for word in 0..words {
            let (found, expected) = (memory::load(&self.machine, object + 8 * word), poison(POISON_FREE, word, words));
            if found != expected {
                let byte = (found ^ expected).trailing_zeros() / 8;
                let value = |word: u64| word >> (8 * byte) & 0xff;
                let offset = (8 * word + u64::from(byte)) as i32;
                let error = self.damage(Mistake::Poison, index, object, by);
                self.slabs.note(error.at(offset, value(found), value(expected)));
                return;
            }
        }
    }

    /// Looks at a whole slab: whether the chain of its free objects is what its count says.
    #[track_caller]
    fn check_slab(&mut self, place: Place, object: u64) {
        let page = &self.machine.pages()[place.slab as usize];
        let sound = match self.slabs.allocator {
            SlabAllocator::Freelist => self.freelist_is_sound(place),
            _ => queued::is_sound(&self.machine, page.private, self.slabs.caches[place.cache].objects),
        };
        if !sound && self.slabs.allocator == SlabAllocator::Freelist {
            self.freelist_repair(place);
            self.report_free_list(place.cache, object);
        } else if !sound {
            self.queued_give_up(place.cache, place.slab);
        }
    }

    fn damage(&self, mistake: Mistake, index: usize, object: u64, by: &'static Location<'static>) -> SlabError {
        let (allocated, freed) = self.sites(index, object);
        SlabError { allocated, freed, ..SlabError::new(mistake, &self.slabs.caches[index], object, by) }
    }
}
