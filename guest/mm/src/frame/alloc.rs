//! Taking frames: zone fallback, watermarks, and what is noted of a block that is handed out.

use core::panic::Location;

use pagelab_abi::{
    code::{FrameOp, MigrateType, Owner, Zone as ZoneCode},
    event,
    vmstat::Counter,
};

use super::{Frames, Gfp, MAX_ORDER, OutOfMemory, Page, PageState, Refused, ZONES, owner_index};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::Trace,
};

/// The counter of frames handed out, by zone.
const PGALLOC: [Counter; ZONES] = [Counter::PgallocDma, Counter::PgallocDma32, Counter::PgallocNormal];

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes one frame; see [`Context::alloc_frames`].
    #[inline]
    #[track_caller]
    pub fn alloc_frame(&mut self, gfp: Gfp, owner: Owner) -> Result<Pfn, OutOfMemory> {
        self.alloc_single_at(gfp, owner, Location::caller())
    }

    /// Takes `1 << order` contiguous frames, aligned to their number, for `owner`, with one reference.
    ///
    /// The request starts in the highest zone that `gfp` allows and falls back to lower ones. It first leaves every
    /// zone its low watermark, then goes down to the min watermark, or below it with [`Gfp::ATOMIC`].
    #[track_caller]
    pub fn alloc_frames(&mut self, order: u8, gfp: Gfp, owner: Owner) -> Result<Pfn, OutOfMemory> {
        self.alloc_frames_at(order, gfp, owner, Location::caller())
    }

    /// A compiled copy for order 0, the one that faults take.
    #[inline(never)]
    fn alloc_single_at(
        &mut self,
        gfp: Gfp,
        owner: Owner,
        call_site: &'static Location<'static>,
    ) -> Result<Pfn, OutOfMemory> {
        self.alloc_frames_at(0, gfp, owner, call_site)
    }

    #[inline(always)]
    fn alloc_frames_at(
        &mut self,
        order: u8,
        gfp: Gfp,
        owner: Owner,
        call_site: &'static Location<'static>,
    ) -> Result<Pfn, OutOfMemory> {
        let Ok(zone) = self.frames.choose_zone(order, gfp) else {
            return Err(self.refuse(order, gfp, owner));
        };
        let pages = self.machine.pages_mut();
        let first = self.frames.zones[zone].take(pages, order).ok_or(OutOfMemory)?;
        pages[first as usize] =
            Page { state: PageState::USED, order, owner, zone: zone as u8, refcount: 1, ..Page::default() };
        self.frames.zones[zone].owned[owner_index(owner)] += 1 << order;
        self.stats.add(PGALLOC[zone], 1 << order);
        let event = event::Frame {
            pfn: first,
            frames: 1 << order,
            op: FrameOp::Alloc,
            order,
            zone: ZoneCode(zone as u8),
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
                self.machine.zero_frame(Pfn(pfn));
            }
        }
        Ok(Pfn(first))
    }

    /// Notes a request that cannot be met.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, order: u8, gfp: Gfp, owner: Owner) -> OutOfMemory {
        self.refused = Some(Refused { order, gfp, owner });
        OutOfMemory
    }
}

impl Frames {
    /// The zone a request is met from.
    #[inline(always)]
    fn choose_zone(&self, order: u8, gfp: Gfp) -> Result<usize, OutOfMemory> {
        let highest = gfp.highest_zone();
        // The usual case at once: the first zone of the list has plenty.
        let first = highest.min(self.highest);
        if order <= MAX_ORDER && self.zones[first].leaves(self.zones[first].watermarks.low, order, highest) {
            return Ok(first);
        }
        self.choose_zone_slowly(order, gfp, first, highest)
    }

    #[cold]
    #[inline(never)]
    fn choose_zone_slowly(&self, order: u8, gfp: Gfp, first: usize, highest: usize) -> Result<usize, OutOfMemory> {
        if order > MAX_ORDER {
            return Err(OutOfMemory);
        }
        let list = || (0..=first).rev();
        list()
            .find(|&zone| self.zones[zone].leaves(self.zones[zone].watermarks.low, order, highest))
            .or_else(|| {
                list().find(|&zone| self.zones[zone].leaves(self.zones[zone].watermarks.last_mark(gfp), order, highest))
            })
            .ok_or(OutOfMemory)
    }
}

impl Gfp {
    /// Index of the highest zone the request may use.
    #[inline]
    fn highest_zone(self) -> usize {
        if !self.intersects(Gfp::DMA.union(Gfp::DMA32)) {
            2
        } else if self.contains(Gfp::DMA) {
            0
        } else {
            1
        }
    }

    /// The migrate type the request asks for.
    #[inline]
    pub fn migrate_type(self) -> MigrateType {
        if self.contains(Gfp::RECLAIMABLE) {
            MigrateType::Reclaimable
        } else if self.contains(Gfp::MOVABLE) {
            MigrateType::Movable
        } else {
            MigrateType::Unmovable
        }
    }
}
