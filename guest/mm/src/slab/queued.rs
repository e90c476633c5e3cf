//! Slabs whose free objects are numbers in a management of their own, and an array of objects for each CPU.
//!
//! The management is a run of 16-bit numbers: a header and one entry an object. What an entry says is what the object
//! is, so that no object is handed out or given back twice. A slab whose `fresh` is below its objects has some that
//! nobody has had yet; their entries mean nothing.

use zerocopy::{transmute_mut, transmute_ref};

use super::{CACHES, Mistake, SlabError, cache::Cache, find::Place, memory};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Frame, Machine, Pfn},
    trace::Trace,
};
use core::panic::Location;

/// Header: objects of the slab that are not free in it.
const INUSE: usize = 0;
/// Header: first free object, or [`END`].
const FREE: usize = 1;
/// Header: objects that were ever used.
const FRESH: usize = 2;
/// Header: where object 0's place begins, in words of 8 bytes from the slab's start.
const FIRST: usize = 3;
/// Where the entries begin.
const ENTRIES: usize = 4;

/// No further free object.
const END: u16 = u16::MAX;
/// The object is handed out.
const HANDED_OUT: u16 = END - 1;
/// The object is in a CPU's array.
const KEPT: u16 = END - 2;

/// A frame as 16-bit numbers.
type Halves = [u16; 2048];

/// Bytes of memory that a management's place counts.
const UNIT: u64 = 64;

/// A management's place from its guest-physical address, which is a multiple of 64.
pub(super) fn management_at(physical: u64) -> u32 {
    (physical / UNIT) as u32
}

/// The guest-physical address of a management.
pub(super) fn physical_of(management: u32) -> u64 {
    u64::from(management) * UNIT
}

#[inline(always)]
fn place_of(management: u32) -> (Pfn, usize) {
    (Pfn(management / 64), (management % 64) as usize * 32)
}

#[inline(always)]
fn halves(machine: &impl Machine, management: u32) -> (&Halves, usize) {
    let (pfn, start) = place_of(management);
    let frame: &Frame = machine.frame(pfn);
    (transmute_ref!(&frame.0), start)
}

#[inline(always)]
fn halves_mut(machine: &mut impl Machine, management: u32) -> (&mut Halves, usize) {
    let (pfn, start) = place_of(management);
    let frame: &mut Frame = machine.frame_mut(pfn);
    (transmute_mut!(&mut frame.0), start)
}

/// Bytes from a slab's start to object 0's place.
#[inline(always)]
pub(super) fn first(machine: &impl Machine, management: u32) -> u32 {
    let (halves, start) = halves(machine, management);
    u32::from(halves[(start + FIRST) & 2047]) * 8
}

/// Writes the management of a new slab.
pub(super) fn prepare(machine: &mut impl Machine, management: u32, first: u32) {
    let (halves, start) = halves_mut(machine, management);
    halves[start + INUSE] = 0;
    halves[start + FREE] = END;
    halves[start + FRESH] = 0;
    halves[start + FIRST] = (first / 8) as u16;
}

/// Whether an object is in a user's hands.
#[inline(always)]
pub(super) fn is_live(machine: &impl Machine, management: u32, index: u32) -> bool {
    let (halves, start) = halves(machine, management);
    index < u32::from(halves[start + FRESH]) && halves[start + ENTRIES + index as usize] == HANDED_OUT
}

/// Whether the chain of free objects is as long as the header says. `objects` is how many the slab has.
pub(super) fn is_sound(machine: &impl Machine, management: u32, objects: u16) -> bool {
    let (halves, start) = halves(machine, management);
    let (inuse, fresh) = (halves[start + INUSE], halves[start + FRESH]);
    if fresh > objects || inuse > fresh {
        return false;
    }
    let (mut at, mut left) = (halves[start + FREE], fresh - inuse);
    while at != END && left > 0 {
        if at >= fresh {
            return false;
        }
        at = halves[start + ENTRIES + usize::from(at)];
        left -= 1;
    }
    at == END && left == 0
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes an object.
    #[inline(always)]
    #[track_caller]
    pub(super) fn queued_take(&mut self, cache: usize, cpu: usize, gfp: Gfp) -> Result<u64, OutOfMemory> {
        loop {
            let queue = &mut self.slabs.caches[cache % CACHES].per_cpu[cpu];
            if queue.available == 0 {
                return self.queued_take_slowly(cache, cpu, gfp);
            }
            queue.available -= 1;
            let entry = queue.entries + 8 * u64::from(queue.available);
            let object = memory::load(&self.machine, entry);
            if self.queued_hand_out(cache, object) {
                return Ok(object);
            }
        }
    }

    /// Notes that an object of the array is handed out. False where it is none that a CPU keeps.
    #[inline(always)]
    #[track_caller]
    fn queued_hand_out(&mut self, cache: usize, object: u64) -> bool {
        if let Ok(place) = self.locate(object)
            && place.cache == cache
        {
            let management = self.machine.pages()[place.slab as usize].private;
            let (halves, start) = halves_mut(&mut self.machine, management);
            let entry = &mut halves[start + ENTRIES + place.index as usize];
            if *entry == KEPT {
                *entry = HANDED_OUT;
                return true;
            }
        }
        self.report_free_list(cache, object);
        false
    }

    /// Takes an object where the CPU keeps none: fills its array, if it has one.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn queued_take_slowly(&mut self, cache: usize, cpu: usize, gfp: Gfp) -> Result<u64, OutOfMemory> {
        loop {
            if let Some(object) = self.queued_take_from_slab(cache, HANDED_OUT) {
                let Cache { batch, per_cpu, .. } = self.slabs.caches[cache];
                if per_cpu[cpu].entries != 0 {
                    for _ in 1..batch {
                        let Some(more) = self.queued_take_from_slab(cache, KEPT) else { break };
                        self.queued_push(cache, cpu, more);
                    }
                }
                return Ok(object);
            }
            self.grow(cache, gfp)?;
            self.queued_enable_array(cache, cpu);
        }
    }

    /// Takes an object out of a slab that has one free, for a user or for a CPU's array.
    #[track_caller]
    fn queued_take_from_slab(&mut self, cache: usize, state: u16) -> Option<u64> {
        loop {
            let this = &mut self.slabs.caches[cache];
            let slab = if this.partial.head != 0 { this.partial.head } else { this.empty.head };
            if slab == 0 {
                return None;
            }
            let objects = this.objects;
            let management = self.machine.pages()[slab as usize].private;
            let (halves, start) = halves_mut(&mut self.machine, management);
            let (free, fresh, before) = (halves[start + FREE], halves[start + FRESH], halves[start + INUSE]);
            let (index, is_fresh) = if free != END { (free, false) } else { (fresh, true) };
            let limit = if is_fresh { objects } else { fresh };
            if index >= limit || fresh > objects {
                self.queued_give_up(cache, slab);
                continue;
            }
            let entry = start + ENTRIES + usize::from(index);
            if is_fresh {
                halves[start + FRESH] = fresh + 1;
            } else {
                halves[start + FREE] = halves[entry];
            }
            halves[entry] = state;
            halves[start + INUSE] = before + 1;
            let first = u32::from(halves[start + FIRST]) * 8;
            self.queued_move(cache, slab, before, before + 1);
            self.slabs.caches[cache].free -= 1;
            let object = self.object_address(cache, slab, first, index.into());
            if is_fresh {
                self.prepare_fresh(cache, object);
            }
            return Some(object);
        }
    }

    /// A slab whose chain leads nowhere has nothing more to hand out; it counts as full.
    #[cold]
    #[track_caller]
    pub(super) fn queued_give_up(&mut self, cache: usize, slab: u32) {
        let management = self.machine.pages()[slab as usize].private;
        let objects = self.slabs.caches[cache].objects;
        let (halves, start) = halves_mut(&mut self.machine, management);
        let inuse = halves[start + INUSE].min(objects);
        halves[start + INUSE] = objects;
        halves[start + FRESH] = objects;
        halves[start + FREE] = END;
        self.queued_move(cache, slab, inuse, objects);
        let this = &mut self.slabs.caches[cache];
        this.free = this.free.saturating_sub(u32::from(objects - inuse));
        self.report_free_list(cache, self.object_address(cache, slab, 0, 0));
    }

    /// Puts a slab into the list it belongs to, now that `after` of its objects are in use and not `before`.
    #[inline]
    fn queued_move(&mut self, cache: usize, slab: u32, before: u16, after: u16) {
        let this = &mut self.slabs.caches[cache];
        let objects = this.objects;
        let which = |inuse| usize::from(inuse > 0) + usize::from(inuse == objects);
        let (from, to) = (which(before), which(after));
        if from != to {
            let lists = [&mut this.empty, &mut this.partial, &mut this.full];
            lists[from].remove(self.machine.pages_mut(), slab);
            lists[to].push(self.machine.pages_mut(), slab);
        }
    }

    /// Takes an object back, into the CPU's array if it has one.
    #[inline(always)]
    #[track_caller]
    pub(super) fn queued_give(&mut self, place: Place, cpu: usize, object: u64) {
        let Cache { per_cpu, limit, .. } = &self.slabs.caches[place.cache];
        let queue = per_cpu[cpu];
        if queue.entries == 0 {
            self.queued_give_to_slab(place);
            return;
        }
        if queue.available >= u32::from(*limit) {
            let batch = u32::from(self.slabs.caches[place.cache].batch);
            self.queued_flush(place.cache, cpu, batch);
        }
        let management = self.machine.pages()[place.slab as usize].private;
        let (halves, start) = halves_mut(&mut self.machine, management);
        halves[start + ENTRIES + place.index as usize] = KEPT;
        self.queued_push(place.cache, cpu, object);
    }

    #[inline(always)]
    fn queued_push(&mut self, cache: usize, cpu: usize, object: u64) {
        let queue = &mut self.slabs.caches[cache].per_cpu[cpu];
        let entry = queue.entries + 8 * u64::from(queue.available);
        queue.available += 1;
        memory::store(&mut self.machine, entry, object);
    }

    /// Gives the objects that a CPU has kept longest back to their slabs: `count`, or all there are.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn queued_flush(&mut self, cache: usize, cpu: usize, count: u32) {
        let queue = self.slabs.caches[cache].per_cpu[cpu];
        let count = count.min(queue.available);
        for entry in 0..count {
            let object = memory::load(&self.machine, queue.entries + 8 * u64::from(entry));
            match self.locate(object) {
                Ok(place) if place.cache == cache && self.queued_is_kept(place) => self.queued_give_to_slab(place),
                _ => self.report_free_list(cache, object),
            }
        }
        let rest = queue.available - count;
        memory::copy(&mut self.machine, queue.entries, queue.entries + 8 * u64::from(count), rest.into());
        self.slabs.caches[cache].per_cpu[cpu].available = rest;
    }

    fn queued_is_kept(&self, place: Place) -> bool {
        let (halves, start) = halves(&self.machine, self.machine.pages()[place.slab as usize].private);
        halves[start + ENTRIES + place.index as usize] == KEPT
    }

    /// Puts an object back into its slab; a slab that is empty then goes, if the cache has enough without it.
    #[track_caller]
    fn queued_give_to_slab(&mut self, place: Place) {
        let management = self.machine.pages()[place.slab as usize].private;
        let (halves, start) = halves_mut(&mut self.machine, management);
        halves[start + ENTRIES + place.index as usize] = halves[start + FREE];
        halves[start + FREE] = place.index as u16;
        let before = halves[start + INUSE];
        halves[start + INUSE] = before - 1;
        self.queued_move(place.cache, place.slab, before, before - 1);
        let this = &mut self.slabs.caches[place.cache];
        this.free += 1;
        let kept = if this.per_cpu[0].entries == 0 { 0 } else { 2 * u32::from(this.batch) };
        if before == 1 && this.free > kept + u32::from(this.objects) {
            this.empty.remove(self.machine.pages_mut(), place.slab);
            self.reap(place.cache, place.slab);
        }
    }

    /// Gives the CPU an array from the general caches, once the cache has a second slab.
    #[track_caller]
    fn queued_enable_array(&mut self, cache: usize, cpu: usize) {
        let this = &self.slabs.caches[cache];
        let (limit, wanted) = (u64::from(this.limit), this.per_cpu[cpu].entries == 0 && this.slabs() > 1);
        if !wanted || limit <= 1 {
            return;
        }
        if let Ok(entries) = self.kmalloc(8 * limit, Gfp::KERNEL | Gfp::NOWARN | Gfp::NORETRY) {
            // The general cache may be this one, which has got its array meanwhile.
            if self.slabs.caches[cache].per_cpu[cpu].entries == 0 {
                self.slabs.caches[cache].per_cpu[cpu].entries = entries;
            } else {
                self.kfree(entries).expect("it was taken just now");
            }
        }
    }

    /// Notes that what says which objects are free was written over.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn report_free_list(&mut self, cache: usize, object: u64) {
        let noticed = Location::caller();
        self.slabs.note(SlabError::new(Mistake::FreeList, &self.slabs.caches[cache], object, noticed));
    }
}
