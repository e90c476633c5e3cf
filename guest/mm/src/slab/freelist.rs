//! Slabs whose free objects are a list through themselves, and for each CPU a slab that it takes from.
//!
//! ```text
//! Page of the slab: mapping = cache + 1 | (first free + 1) << 16, private = fresh | inuse << 16, index = bits
//! free object: the address of the next, or 0; bits: which objects are handed out (in front of the objects where a
//! slab has more than 32)
//! ```
//!
//! The bits are what counts: the list only says which free object is next, and is made anew when it is not one.

use super::{CPUS, Mistake, SlabError, cache::Cache, find::Place, geometry, memory};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory, Page},
    machine::Machine,
    trace::Trace,
};
use core::panic::Location;
use pagelab_abi::layout::{PAGE_OFFSET, PAGE_SHIFT};

/// Slabs with free objects that a cache keeps although one of them is empty (Linux's min_partial).
const MIN_PARTIAL: u32 = 5;

impl Page {
    /// First free object of a slab; `None` for no chain.
    #[inline(always)]
    fn slab_free(&self) -> Option<u32> {
        (self.mapping >> 16).checked_sub(1)
    }

    #[inline(always)]
    fn set_slab_free(&mut self, free: Option<u32>) {
        self.mapping = self.mapping & 0xffff | free.map_or(0, |index| index + 1) << 16;
    }

    /// Objects that were ever used, objects handed out.
    #[inline(always)]
    fn slab_counts(&self) -> (u32, u32) {
        (self.private & 0xffff, self.private >> 16)
    }

    #[inline(always)]
    fn set_slab_counts(&mut self, fresh: u32, inuse: u32) {
        self.private = fresh | inuse << 16;
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Readies the bits of a new slab.
    pub(super) fn freelist_prepare(&mut self, index: usize, slab: u32) {
        let objects = u32::from(self.slabs.caches[index].objects);
        if objects > geometry::BITS_IN_PAGE {
            memory::fill(&mut self.machine, slab_address(slab), u64::from(objects.div_ceil(64)), 0);
        }
    }

    /// Where the bit of an object is: the word's address, or `None` for the slab's `Page`.
    #[inline(always)]
    fn freelist_bit(&self, place: Place) -> (Option<u64>, u64) {
        if u32::from(self.slabs.caches[place.cache].objects) > geometry::BITS_IN_PAGE {
            (Some(slab_address(place.slab) + u64::from(place.index / 64) * 8), 1 << (place.index % 64))
        } else {
            (None, 1 << place.index)
        }
    }

    /// Whether an object is in a user's hands.
    #[inline(always)]
    pub(super) fn freelist_is_live(&self, place: Place) -> bool {
        let (word, bit) = self.freelist_bit(place);
        let bits = match word {
            Some(address) => memory::load(&self.machine, address),
            None => u64::from(self.machine.pages()[place.slab as usize].index),
        };
        bits & bit != 0
    }

    #[inline(always)]
    fn freelist_flip(&mut self, place: Place) {
        let (word, bit) = self.freelist_bit(place);
        match word {
            Some(address) => {
                let bits = memory::load(&self.machine, address);
                memory::store(&mut self.machine, address, bits ^ bit);
            }
            None => self.machine.pages_mut()[place.slab as usize].index ^= bit as u32,
        }
    }

    /// Takes an object from the CPU's slab, or makes another slab the CPU's.
    #[inline(always)]
    #[track_caller]
    pub(super) fn freelist_take(&mut self, cache: usize, cpu: usize, gfp: Gfp) -> Result<u64, OutOfMemory> {
        loop {
            let slab = self.slabs.caches[cache].per_cpu[cpu].slab;
            if slab != 0
                && let Some(object) = self.freelist_pop(cache, slab)
            {
                return Ok(object);
            }
            self.freelist_refill(cache, cpu, gfp)?;
        }
    }

    /// Gives the CPU a slab that has free objects.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn freelist_refill(&mut self, cache: usize, cpu: usize, gfp: Gfp) -> Result<(), OutOfMemory> {
        if self.slabs.caches[cache].partial.head == 0 {
            self.grow(cache, gfp)?;
        }
        let pages = self.machine.pages_mut();
        let this = &mut self.slabs.caches[cache];
        let old = core::mem::replace(&mut this.per_cpu[cpu].slab, 0);
        if old != 0 {
            this.full.push(pages, old);
        }
        let slab = this.partial.head;
        this.partial.remove(pages, slab);
        this.per_cpu[cpu].slab = slab;
        Ok(())
    }

    /// Takes the first free object of a slab; `None` if it has none.
    #[inline(always)]
    #[track_caller]
    fn freelist_pop(&mut self, cache: usize, slab: u32) -> Option<u64> {
        let page = &self.machine.pages()[slab as usize];
        let (fresh, inuse) = page.slab_counts();
        let Cache { objects, first, link, .. } = self.slabs.caches[cache];
        let (index, is_fresh) = match page.slab_free() {
            Some(index) => (index, false),
            None if fresh < u32::from(objects) => (fresh, true),
            None => return None,
        };
        let place = Place { cache, slab, index };
        let object = self.object_address(cache, slab, first, index);
        self.freelist_flip(place);
        let page = &mut self.machine.pages_mut()[slab as usize];
        page.set_slab_counts(fresh + u32::from(is_fresh), inuse + 1);
        self.slabs.caches[cache].free -= 1;
        if is_fresh {
            self.prepare_fresh(cache, object);
            return Some(object);
        }
        let next = memory::load(&self.machine, object + u64::from(link));
        match self.freelist_next(place, next) {
            Ok(next) => self.machine.pages_mut()[slab as usize].set_slab_free(next),
            Err(()) => {
                self.freelist_mend(cache, slab);
                self.report_chain(cache, object, link, next);
            }
        }
        Some(object)
    }

    /// The object that a link leads to: a free one of the same slab, or the end.
    #[inline(always)]
    fn freelist_next(&self, from: Place, next: u64) -> Result<Option<u32>, ()> {
        if next == 0 {
            return Ok(None);
        }
        let cache = &self.slabs.caches[from.cache];
        let offset = next.wrapping_sub(slab_address(from.slab) + u64::from(cache.first + cache.before));
        let index = offset / u64::from(cache.stride);
        let (fresh, _) = self.machine.pages()[from.slab as usize].slab_counts();
        let is_free = index < u64::from(fresh)
            && index * u64::from(cache.stride) == offset
            && !self.freelist_is_live(Place { index: index as u32, ..from });
        if is_free { Ok(Some(index as u32)) } else { Err(()) }
    }

    /// Makes the chain of a slab's free objects anew, from the bits.
    #[cold]
    #[inline(never)]
    fn freelist_mend(&mut self, cache: usize, slab: u32) {
        let (fresh, _) = self.machine.pages()[slab as usize].slab_counts();
        self.machine.pages_mut()[slab as usize].set_slab_free(None);
        for index in (0..fresh).rev() {
            let place = Place { cache, slab, index };
            if !self.freelist_is_live(place) {
                self.freelist_link(place);
            }
        }
    }

    /// Puts a free object first in its slab's chain.
    #[inline(always)]
    fn freelist_link(&mut self, place: Place) {
        let Cache { first, link, .. } = self.slabs.caches[place.cache];
        let object = self.object_address(place.cache, place.slab, first, place.index);
        let page = &mut self.machine.pages_mut()[place.slab as usize];
        let next = page.slab_free();
        page.set_slab_free(Some(place.index));
        let next = next.map_or(0, |index| self.object_address(place.cache, place.slab, first, index));
        memory::store(&mut self.machine, object + u64::from(link), next);
    }

    /// Takes an object back.
    #[inline(always)]
    #[track_caller]
    pub(super) fn freelist_give(&mut self, place: Place, _object: u64) {
        self.freelist_flip(place);
        self.freelist_link(place);
        let page = &mut self.machine.pages_mut()[place.slab as usize];
        let (fresh, inuse) = page.slab_counts();
        page.set_slab_counts(fresh, inuse - 1);
        let this = &mut self.slabs.caches[place.cache];
        this.free += 1;
        let in_hand = this.per_cpu.iter().any(|cpu| cpu.slab == place.slab);
        if !in_hand && (inuse == u32::from(this.objects) || inuse == 1) {
            self.freelist_settle(place, inuse);
        }
    }

    /// Moves a slab of which `inuse` objects were handed out, and now one less, to the list it belongs to.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn freelist_settle(&mut self, place: Place, inuse: u32) {
        let pages = self.machine.pages_mut();
        let this = &mut self.slabs.caches[place.cache];
        if inuse == u32::from(this.objects) {
            this.full.remove(pages, place.slab);
            this.partial.push(pages, place.slab);
        }
        if inuse == 1 && this.partial.count > MIN_PARTIAL {
            this.partial.remove(pages, place.slab);
            self.reap(place.cache, place.slab);
        }
    }

    /// Takes the CPUs' slabs from them, and puts those that are empty into the list of empty ones.
    pub(super) fn freelist_retire_all(&mut self, index: usize) {
        for cpu in 0..CPUS {
            let pages = self.machine.pages_mut();
            let this = &mut self.slabs.caches[index];
            let slab = core::mem::replace(&mut this.per_cpu[cpu].slab, 0);
            if slab != 0 {
                let (_, inuse) = pages[slab as usize].slab_counts();
                let list = if inuse == u32::from(this.objects) { &mut this.full } else { &mut this.partial };
                list.push(pages, slab);
            }
        }
        let mut slab = self.slabs.caches[index].partial.head;
        while slab != 0 {
            let pages = self.machine.pages_mut();
            let next = pages[slab as usize].next;
            if pages[slab as usize].slab_counts().1 == 0 {
                let this = &mut self.slabs.caches[index];
                this.partial.remove(pages, slab);
                this.empty.push(pages, slab);
            }
            slab = next;
        }
    }

    /// Whether the chain has every free object of the slab, once.
    pub(super) fn freelist_is_sound(&self, place: Place) -> bool {
        let page = &self.machine.pages()[place.slab as usize];
        let (fresh, inuse) = page.slab_counts();
        let Cache { first, link, .. } = self.slabs.caches[place.cache];
        let (mut at, mut left) = (page.slab_free(), fresh.saturating_sub(inuse));
        while let Some(index) = at
            && left > 0
        {
            let object = self.object_address(place.cache, place.slab, first, index);
            let next = memory::load(&self.machine, object + u64::from(link));
            let Ok(next) = self.freelist_next(Place { index, ..place }, next) else { return false };
            at = next;
            left -= 1;
        }
        at.is_none() && left == 0
    }

    /// Makes the chain of a slab anew that was found unsound.
    pub(super) fn freelist_repair(&mut self, place: Place) {
        self.freelist_mend(place.cache, place.slab);
    }

    /// Notes a link that leads to no free object.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn report_chain(&mut self, cache: usize, object: u64, link: u32, found: u64) {
        let noticed = Location::caller();
        let error = SlabError::new(Mistake::FreeList, &self.slabs.caches[cache], object, noticed);
        self.slabs.note(error.at(link as i32, found, 0));
    }
}

fn slab_address(slab: u32) -> u64 {
    PAGE_OFFSET + (u64::from(slab) << PAGE_SHIFT)
}
