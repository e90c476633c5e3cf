//! A full check of the caches' invariants, for tests.
//!
//! 1. Each slab of a list has as many objects in use as its list is for, and its frames name its cache.
//! 2. The chain of each slab has every free object, once.
//! 3. Objects handed out, kept and free add up to the objects of all slabs.

use pagelab_abi::code::SlabAllocator;

use super::{CACHES, cache::Cache, find, find::Place, queued};
use crate::{context::Context, frame::PageState, machine::Machine, trace::Trace};

/// An invariant that does not hold, and in which cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlabInconsistency {
    /// A list has another length than it counts, or a slab in it does not belong there.
    List(&'static str),
    /// A frame of a slab does not lead to its cache.
    Page(&'static str),
    /// A slab's chain of free objects is not what its counts say.
    Chain(&'static str),
    /// The cache's counts do not add up.
    Count(&'static str),
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Checks every cache.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_slabs(&self) -> Result<(), SlabInconsistency> {
        (0..CACHES).filter(|&index| self.slabs.caches[index].objects > 0).try_for_each(|index| self.check_cache(index))
    }

    fn check_cache(&self, index: usize) -> Result<(), SlabInconsistency> {
        let cache = &self.slabs.caches[index];
        let Cache { name, objects, per_cpu, .. } = *cache;
        let mut live = 0;
        let lists = [(cache.empty, false), (cache.partial, true), (cache.full, true)];
        for (list, in_use) in lists {
            let (mut slab, mut before, mut count) = (list.head, 0, 0);
            while slab != 0 {
                let page = &self.machine.pages()[slab as usize];
                let here = self.check_one_slab(index, slab)?;
                if page.prev != before || count >= list.count || here > 0 && !in_use {
                    return Err(SlabInconsistency::List(name));
                }
                live += here;
                count += 1;
                (before, slab) = (slab, page.next);
            }
            if count != list.count {
                return Err(SlabInconsistency::List(name));
            }
        }
        for cpu in per_cpu {
            if cpu.slab != 0 {
                live += self.check_one_slab(index, cpu.slab)?;
            }
        }
        let kept: u32 = per_cpu.iter().map(|cpu| cpu.available).sum();
        let all = cache.slabs() * u32::from(objects);
        if live != cache.active || live + kept + cache.free != all {
            return Err(SlabInconsistency::Count(name));
        }
        Ok(())
    }

    /// Checks a slab; returns how many of its objects are handed out.
    fn check_one_slab(&self, index: usize, slab: u32) -> Result<u32, SlabInconsistency> {
        let Cache { name, objects, order, .. } = self.slabs.caches[index];
        let pages = self.machine.pages();
        let head = &pages[slab as usize];
        let tails = (1..1 << order).map(|tail| &pages[(slab + tail) as usize]);
        let mut tails_lead = tails.map(|page| page.state == PageState::TAIL && page.private == slab);
        if head.state != PageState::USED || find::cache_of(head) != Some(index) || !tails_lead.all(|leads| leads) {
            return Err(SlabInconsistency::Page(name));
        }
        let place = |number| Place { cache: index, slab, index: number };
        let sound = match self.slabs.allocator {
            SlabAllocator::Freelist => self.freelist_is_sound(place(0)),
            _ => queued::is_sound(&self.machine, head.private, objects),
        };
        if !sound {
            return Err(SlabInconsistency::Chain(name));
        }
        Ok((0..u32::from(objects)).filter(|&number| self.is_live(place(number))).count() as u32)
    }
}
