//! Slabs whose free objects are numbers in a management of their own, and an array of objects for each CPU.
//!
//! The management is a run of 16-bit numbers: a header and one entry an object. What an entry says is what the object
//! is, so that no object is handed out or given back twice. A slab whose `fresh` is below its objects has some that
//! nobody has had yet; their entries mean nothing.

use zerocopy::{transmute_mut, transmute_ref};

use super::{
    CACHES, Mistake, SlabError,
    cache::{Cache, FRONT, Kept},
    find,
    find::Place,
    memory,
};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Frame, Machine, Pfn},
    trace::Trace,
};
use core::panic::Location;
use pagelab_abi::layout::{PAGE_OFFSET, PAGE_SHIFT};

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

/// Where an object's entry is: frame, and number of the 16-bit word in it.
pub(super) fn entry_of(management: u32, index: u32) -> (u32, u32) {
    let (pfn, start) = place_of(management);
    (pfn.0, (start + ENTRIES) as u32 + index)
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

/// Bytes of an object's place in an array.
const KEPT_BYTES: u64 = 16;

/// An object of an array. Its second word says where its entry is, scrambled by the first, so that one that was
/// written over leads to no entry.
#[inline(always)]
fn load_kept(machine: &impl Machine, entries: u64, index: u32) -> Kept {
    let address = entries + KEPT_BYTES * u64::from(index);
    let object = memory::load(machine, address);
    let entry = memory::load(machine, address + 8) ^ object;
    Kept { object, entry: (entry as u32, (entry >> 32) as u32) }
}

#[inline(always)]
fn store_kept(machine: &mut impl Machine, entries: u64, index: u32, kept: Kept) {
    let address = entries + KEPT_BYTES * u64::from(index);
    let (frame, half) = kept.entry;
    memory::store(machine, address, kept.object);
    memory::store(machine, address + 8, (u64::from(frame) | u64::from(half) << 32) ^ kept.object);
}

/// An object's entry in the management, if there can be one.
#[inline(always)]
fn entry_mut(machine: &mut impl Machine, (frame, half): (u32, u32)) -> Option<&mut u16> {
    if frame as usize >= machine.pages().len() {
        return None;
    }
    let halves: &mut Halves = transmute_mut!(&mut machine.frame_mut(Pfn(frame)).0);
    halves.get_mut(half as usize)
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
        let queue = &mut self.slabs.caches[cache % CACHES].per_cpu[cpu];
        if queue.available > 0 {
            queue.available -= 1;
            let kept = if queue.entries == 0 {
                queue.front[queue.available as usize % FRONT]
            } else {
                load_kept(&self.machine, queue.entries, queue.available)
            };
            if let Some(entry) = entry_mut(&mut self.machine, kept.entry)
                && *entry == KEPT
            {
                *entry = HANDED_OUT;
                return Ok(kept.object);
            }
            self.report_free_list(cache, kept.object);
        }
        self.queued_take_slowly(cache, cpu, gfp)
    }

    /// Takes an object where the CPU keeps none, or none that it should: fills its array.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn queued_take_slowly(&mut self, cache: usize, cpu: usize, gfp: Gfp) -> Result<u64, OutOfMemory> {
        loop {
            if let Some(taken) = self.queued_take_from_slab(cache, HANDED_OUT) {
                for _ in 1..self.queued_batch(cache, cpu) {
                    let Some(more) = self.queued_take_from_slab(cache, KEPT) else { break };
                    self.queued_push(cache, cpu, more);
                }
                return Ok(taken.object);
            }
            self.grow(cache, gfp)?;
            if self.slabs.caches[cache].slabs() > 1 {
                self.queued_enable_array(cache, cpu);
            }
        }
    }

    /// Objects that the CPU takes or gives back at a time.
    fn queued_batch(&self, cache: usize, cpu: usize) -> u32 {
        let Cache { batch, per_cpu, .. } = &self.slabs.caches[cache];
        if per_cpu[cpu].entries == 0 { FRONT as u32 / 2 } else { (*batch).into() }
    }

    /// Takes an object out of a slab that has one free, for a user or for a CPU's array.
    #[track_caller]
    fn queued_take_from_slab(&mut self, cache: usize, state: u16) -> Option<Kept> {
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
            return Some(Kept { object, entry: (place_of(management).0.0, entry as u32) });
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

    /// The object that begins at an address, if a user has it: its cache, and its entry in the management. The way of
    /// [`Context::locate`], as short as it can be; what it does not find, that one tells more of.
    #[inline(always)]
    pub(super) fn queued_find(&self, object: u64) -> Option<(usize, (u32, u32))> {
        let pages = self.machine.pages();
        let (slab, index) = find::slab_of(pages, object)?;
        let (halves, start) = halves(&self.machine, pages[slab as usize].private);
        let cache = &self.slabs.caches[index % CACHES];
        let in_slab = (object - PAGE_OFFSET - (u64::from(slab) << PAGE_SHIFT)) as u32;
        let offset = in_slab.wrapping_sub(u32::from(halves[start + FIRST]) * 8 + cache.before);
        let stride = cache.stride.max(1);
        let number = offset / stride;
        if !offset.is_multiple_of(stride) || number >= u32::from(halves[start + FRESH]) {
            return None;
        }
        let entry = start + ENTRIES + number as usize;
        (*halves.get(entry)? == HANDED_OUT).then(|| (index, (place_of(pages[slab as usize].private).0.0, entry as u32)))
    }

    /// Takes an object back that a user has, into the CPU's array.
    #[inline(always)]
    #[track_caller]
    pub(super) fn queued_give(&mut self, cache: usize, entry: (u32, u32), cpu: usize, object: u64) {
        let this = &mut self.slabs.caches[cache % CACHES];
        let queue = &mut this.per_cpu[cpu];
        if let Some(entry) = entry_mut(&mut self.machine, entry) {
            *entry = KEPT;
        }
        let kept = Kept { object, entry };
        if queue.entries == 0 && (queue.available as usize) < FRONT {
            queue.front[queue.available as usize] = kept;
            queue.available += 1;
        } else if queue.entries != 0 && queue.available < u32::from(this.limit) {
            store_kept(&mut self.machine, queue.entries, queue.available, kept);
            queue.available += 1;
        } else {
            self.queued_give_slowly(cache, cpu, kept);
        }
    }

    /// Makes room in the CPU's array first.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn queued_give_slowly(&mut self, cache: usize, cpu: usize, kept: Kept) {
        self.queued_flush(cache, cpu, self.queued_batch(cache, cpu));
        self.queued_push(cache, cpu, kept);
    }

    fn queued_push(&mut self, cache: usize, cpu: usize, kept: Kept) {
        let queue = &mut self.slabs.caches[cache].per_cpu[cpu];
        if queue.entries == 0 {
            queue.front[queue.available as usize % FRONT] = kept;
        } else {
            store_kept(&mut self.machine, queue.entries, queue.available, kept);
        }
        queue.available += 1;
    }

    /// Gives the objects that a CPU has kept longest back to their slabs: `count`, or all there are.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn queued_flush(&mut self, cache: usize, cpu: usize, count: u32) {
        let queue = self.slabs.caches[cache].per_cpu[cpu];
        let count = count.min(queue.available);
        for index in 0..count {
            let kept = match queue.entries {
                0 => queue.front[index as usize % FRONT],
                entries => load_kept(&self.machine, entries, index),
            };
            match self.locate(kept.object) {
                Ok(place) if place.cache == cache && self.queued_is_kept(place) => self.queued_give_to_slab(place),
                _ => self.report_free_list(cache, kept.object),
            }
        }
        let rest = queue.available - count;
        let this = &mut self.slabs.caches[cache].per_cpu[cpu];
        this.available = rest;
        if queue.entries == 0 {
            this.front.copy_within(count as usize..queue.available as usize, 0);
        } else {
            let from = queue.entries + KEPT_BYTES * u64::from(count);
            memory::copy(&mut self.machine, queue.entries, from, KEPT_BYTES / 8 * u64::from(rest));
        }
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

    /// Gives the CPU an array from the general caches: once the cache has a second slab, or for many objects at once.
    #[cold]
    #[track_caller]
    pub(super) fn queued_enable_array(&mut self, cache: usize, cpu: usize) {
        let this = &self.slabs.caches[cache];
        if this.per_cpu[cpu].entries != 0 {
            return;
        }
        let bytes = KEPT_BYTES * u64::from(this.limit);
        let Ok(entries) = self.kmalloc(bytes, Gfp::KERNEL | Gfp::NOWARN | Gfp::NORETRY) else { return };
        let queue = &mut self.slabs.caches[cache].per_cpu[cpu];
        if queue.entries != 0 {
            // The general cache is this one, and has got its array meanwhile.
            self.kfree(entries).expect("it was taken just now");
            return;
        }
        queue.entries = entries;
        for index in 0..queue.available {
            store_kept(&mut self.machine, entries, index, queue.front[index as usize % FRONT]);
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
