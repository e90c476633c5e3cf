//! Taking frames: zone fallback, watermarks, and what is noted of a block that is handed out.

use core::panic::Location;

use pagelab_abi::{
    code::{FrameOp, Owner},
    event,
    snapshot::ZONES,
    vmstat::Counter,
};

use super::{
    Frames, Gfp, LOCAL_CPU, LOCAL_NODE, MAX_ORDER, OutOfMemory, Page, PageFlags, PageState, Refused, owner_index,
};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::{CallSite, Trace},
};

/// The counter of frames handed out, by the zone's index in its node. Linux's counter of HighMem has no place in ours.
const PGALLOC: [Counter; ZONES] = [
    Counter::PgallocDma,
    Counter::PgallocDma32,
    Counter::PgallocNormal,
    Counter::PgallocNormal,
    Counter::PgallocMovable,
];

// The flag of a movable block has the same bit in both.
const _: () = assert!(Gfp::MOVABLE.bits() == PageFlags::MOVABLE.bits());

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes one frame; see [`Context::alloc_frames`].
    #[inline]
    #[track_caller]
    pub fn alloc_frame(&mut self, gfp: Gfp, owner: Owner) -> Result<Pfn, OutOfMemory> {
        self.alloc_single_at(gfp, owner, Location::caller())
    }

    /// Takes `1 << order` contiguous frames, aligned to their number, for `owner`, with one reference.
    ///
    /// The request starts in the highest zone that `gfp` allows and falls back to lower ones, then to other nodes. It
    /// first leaves every zone its low watermark, then goes down to the min watermark, or below it as `gfp` allows.
    #[track_caller]
    pub fn alloc_frames(&mut self, order: u8, gfp: Gfp, owner: Owner) -> Result<Pfn, OutOfMemory> {
        self.alloc_frames_at(LOCAL_NODE, order, gfp, owner, Location::caller())
    }

    /// [`Context::alloc_frames`] from the zones of this node, or the nearest ones: Linux's `alloc_pages_node`.
    ///
    /// # Errors
    /// Also a node that does not exist.
    #[track_caller]
    pub fn alloc_frames_node(&mut self, node: usize, order: u8, gfp: Gfp, owner: Owner) -> Result<Pfn, OutOfMemory> {
        if node >= self.frames.lists.len() {
            return Err(self.refuse(order, gfp, owner));
        }
        self.alloc_frames_at(node, order, gfp, owner, Location::caller())
    }

    /// A compiled copy for order 0, the one that faults take.
    #[inline(never)]
    fn alloc_single_at(
        &mut self,
        gfp: Gfp,
        owner: Owner,
        call_site: &'static Location<'static>,
    ) -> Result<Pfn, OutOfMemory> {
        self.alloc_frames_at(LOCAL_NODE, 0, gfp, owner, call_site)
    }

    #[inline(always)]
    fn alloc_frames_at(
        &mut self,
        node: usize,
        order: u8,
        gfp: Gfp,
        owner: Owner,
        call_site: &'static Location<'static>,
    ) -> Result<Pfn, OutOfMemory> {
        let Some((id, first)) = self.frames.take(&mut self.machine, node, order, gfp) else {
            return Err(self.refuse(order, gfp, owner));
        };
        let page = &mut self.machine.pages_mut()[first as usize];
        let movable = PageFlags::from_bits_retain((gfp & Gfp::MOVABLE).bits());
        let flags = page.flags.of_pageblock() | movable;
        *page = Page {
            state: PageState::USED,
            order,
            owner,
            zone: id as u8,
            refcount: 1,
            flags,
            site: CallSite::of(call_site),
            ..Page::default()
        };
        let zone = &mut self.frames.zones[id];
        zone.owned[owner_index(owner)] += 1 << order;
        self.stats.add(PGALLOC[id % ZONES], 1 << order);
        let event = event::Frame {
            pfn: first,
            frames: 1 << order,
            op: FrameOp::Alloc,
            order,
            zone: zone.code,
            migratetype: gfp.migrate_type(),
            owner,
            padding: [0; 3],
            gfp: gfp.bits(),
            call_site: 0,
            reserved: [0; 2],
        };
        // The event comes before the first touch, so that a host fault in it finds its owner.
        self.trace.frame(event, call_site);
        if gfp.contains(Gfp::ZERO) {
            for pfn in first..first + (1 << order) {
                self.zero_frame(Pfn(pfn));
            }
        }
        Ok(Pfn(first))
    }

    /// Gives all frames on the CPUs' lists to the zones' free blocks: Linux's `drain_all_pages`.
    pub fn drain_all_pages(&mut self) {
        self.frames.drain(&mut self.machine);
    }

    /// Notes a request that cannot be met.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, order: u8, gfp: Gfp, owner: Owner) -> OutOfMemory {
        if !gfp.contains(Gfp::NOWARN) {
            self.refused = Some(Refused { order, gfp, owner });
        }
        OutOfMemory
    }
}

impl Frames {
    /// Takes a block out of the zone that the request is met from; the zone's number and the block's first frame.
    #[inline(always)]
    fn take<M: Machine>(&mut self, machine: &mut M, node: usize, order: u8, gfp: Gfp) -> Option<(usize, u32)> {
        let highest = gfp.highest_zone();
        // The usual case at once: the first zone of the list has plenty.
        let id = usize::from(self.first[node][highest]);
        let migrate_type = self.migrate_type(gfp);
        let zone = &mut self.zones[id];
        if !is_refused(order, gfp)
            && zone.has_plenty(order, highest)
            && (order == 0 || !gfp.is_atomic())
            && let Some(pfn) = zone.take(machine, LOCAL_CPU, order, migrate_type)
        {
            return Some((id, pfn));
        }
        self.take_slowly(machine, node, order, gfp)
    }

    /// Looks at all zones that the request may use: down to low, then down to what `gfp` leaves, then at all there is.
    #[cold]
    #[inline(never)]
    fn take_slowly<M: Machine>(&mut self, machine: &mut M, node: usize, order: u8, gfp: Gfp) -> Option<(usize, u32)> {
        if is_refused(order, gfp) {
            return None;
        }
        let mut taken = self.take_leaving(machine, node, order, gfp, Leave::Low);
        let mut leave = Leave::LastMark;
        if taken.is_none() {
            taken = self.take_leaving(machine, node, order, gfp, leave);
        }
        if taken.is_none() && gfp.ignores_watermarks() {
            leave = Leave::Nothing;
            taken = self.take_leaving(machine, node, order, gfp, leave);
        }
        // What is on the CPUs' lists may make a block. A single frame would have been found there.
        if taken.is_none() && order > 0 && !gfp.contains(Gfp::NORETRY) {
            self.drain(machine);
            taken = self.take_leaving(machine, node, order, gfp, leave);
        }
        while taken.is_none() && gfp.contains(Gfp::DIRECT_RECLAIM) && self.unreserve(machine, node, gfp) {
            taken = self.take_leaving(machine, node, order, gfp, leave);
        }
        taken
    }

    /// Gives all frames on the CPUs' lists to their zones' blocks.
    pub(super) fn drain<M: Machine>(&mut self, machine: &mut M) {
        let Frames { zones, populated, .. } = self;
        populated.iter().for_each(|id| zones[id].drain(machine));
    }

    /// Takes a block from the first zone of the list that keeps what it must.
    fn take_leaving<M: Machine>(
        &mut self,
        machine: &mut M,
        node: usize,
        order: u8,
        gfp: Gfp,
        leave: Leave,
    ) -> Option<(usize, u32)> {
        let migrate_type = self.migrate_type(gfp);
        let Frames { zones, lists, .. } = self;
        lists[node].allowed(gfp.highest_zone(), gfp.contains(Gfp::THISNODE)).find_map(|id| {
            let zone = &mut zones[id];
            let leaves = match leave {
                Leave::Low => zone.leaves(zone.watermarks.low, order, gfp),
                Leave::LastMark => zone.leaves(zone.watermarks.last_mark(gfp), order, gfp),
                Leave::Nothing => true,
            };
            Some((id, leaves.then(|| zone.take_as(machine, LOCAL_CPU, order, migrate_type, gfp))??))
        })
    }
}

/// Whether a request is not even looked at: for more than the largest block, or for more than two frames that must not
/// fail, of which Linux warns and promises nothing.
#[inline(always)]
fn is_refused(order: u8, gfp: Gfp) -> bool {
    order > MAX_ORDER || order > 1 && gfp.must_not_fail()
}

/// What a request leaves a zone.
#[derive(Clone, Copy)]
enum Leave {
    /// The low watermark.
    Low,
    /// The min watermark, or the part of it that the request may not use.
    LastMark,
    /// Nothing.
    Nothing,
}
