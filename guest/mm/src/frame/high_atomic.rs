//! The HighAtomic reserve: pageblocks that keep free blocks for requests of more than one frame that cannot wait.
//!
//! The first such request of a zone turns the pageblock that it was met from into one of the reserve, up to a hundredth of
//! the zone. Others do not see what is free there, until one that may wait would fail: then a pageblock goes back. A zone
//! whose hundredth is less than a pageblock has no reserve. The bitmap allocator has no types, so none either.

use super::{
    Frames, Gfp, MAX_ORDER, Page, PageState,
    buddy::Buddy,
    pageblock::{HIGH_ATOMIC, PAGEBLOCK_FRAMES, PAGEBLOCK_ORDER, mergeable, pageblock_type},
    store::Blocks,
    zone::Zone,
};
use crate::machine::Machine;

/// A zone reserves one frame in this many.
const RESERVE_RATIO: u64 = 100;

impl Gfp {
    /// Whether a request cannot wait and may use a reserve: Linux's ALLOC_MIN_RESERVE with ALLOC_NON_BLOCK.
    pub(super) fn is_atomic(self) -> bool {
        self.contains(Gfp::HIGH) && !self.intersects(Gfp::DIRECT_RECLAIM | Gfp::NOMEMALLOC)
    }

    /// Whether what is free in the reserve counts as free for the request.
    fn sees_reserve(self) -> bool {
        self.contains(Gfp::HIGH)
    }
}

impl Zone {
    /// Free frames that the request may not have.
    pub(super) fn unusable(&self, gfp: Gfp) -> u64 {
        match &self.blocks {
            Blocks::Buddy(buddy) if self.high_atomic > 0 && !gfp.sees_reserve() => buddy.free_of(HIGH_ATOMIC),
            _ => 0,
        }
    }

    /// Takes a block from the reserve.
    pub(super) fn take_reserved<M: Machine>(&mut self, machine: &mut M, order: u8) -> Option<u32> {
        let Blocks::Buddy(buddy) = &mut self.blocks else { return None };
        let pfn = buddy.take_own(machine.pages_mut(), order, HIGH_ATOMIC)?;
        self.free -= 1 << order;
        Some(pfn)
    }

    /// Makes the pageblock around a block that was just taken part of the reserve, if that may grow.
    pub(super) fn reserve<M: Machine>(&mut self, machine: &mut M, pfn: u32, order: u8) {
        let share = self.managed / RESERVE_RATIO;
        let most = share.next_multiple_of(PAGEBLOCK_FRAMES.into());
        let Blocks::Buddy(buddy) = &mut self.blocks else { return };
        if share < PAGEBLOCK_FRAMES.into() || u64::from(self.high_atomic) >= most {
            return;
        }
        self.high_atomic += buddy.reserve(machine.pages_mut(), pfn, order);
        self.set_quick_mark();
    }

    /// Gives a pageblock of the reserve to requests of another type. Returns whether there was one with a free block.
    fn unreserve<M: Machine>(&mut self, machine: &mut M, migrate_type: usize) -> bool {
        let Blocks::Buddy(buddy) = &mut self.blocks else { return false };
        let given = buddy.unreserve(machine.pages_mut(), migrate_type);
        self.high_atomic -= given;
        self.set_quick_mark();
        given > 0
    }
}

impl Buddy {
    /// Free frames in the lists of a type.
    fn free_of(&self, migrate_type: usize) -> u64 {
        (0u32..).zip(&self.lists[migrate_type]).map(|(order, list)| u64::from(list.count) << order).sum()
    }

    /// Gives the pageblocks of a block that was just taken to the reserve; how many frames these are.
    fn reserve(&mut self, pages: &mut [Page], pfn: u32, order: u8) -> u32 {
        // It is no longer in a list, but still looks as if.
        let page = &mut pages[pfn as usize];
        (page.state, page.order) = (PageState::USED, order);
        if !mergeable(pageblock_type(pages, pfn)) || !self.has_whole_pageblock(pfn) {
            return 0;
        }
        if order >= PAGEBLOCK_ORDER {
            self.change_pageblocks(pages, pfn, order, HIGH_ATOMIC);
            return 1 << order;
        }
        self.move_pageblock(pages, pfn, HIGH_ATOMIC);
        PAGEBLOCK_FRAMES
    }

    /// Gives the pageblocks of one of the reserve's free blocks another type; how many frames these are.
    fn unreserve(&mut self, pages: &mut [Page], migrate_type: usize) -> u32 {
        let Some(order) = (0..=MAX_ORDER).find(|order| self.nonempty[HIGH_ATOMIC] >> order & 1 == 1) else { return 0 };
        if order < PAGEBLOCK_ORDER {
            let pfn = self.lists[HIGH_ATOMIC][usize::from(order)].head;
            self.move_pageblock(pages, pfn, migrate_type);
            return PAGEBLOCK_FRAMES;
        }
        let pfn = self.pop(pages, order, HIGH_ATOMIC);
        self.change_pageblocks(pages, pfn, order, migrate_type);
        self.link(pages, pfn, order, migrate_type);
        1 << order
    }
}

impl Frames {
    /// Gives back a pageblock of the reserve in one of the zones that a request may use.
    pub(super) fn unreserve<M: Machine>(&mut self, machine: &mut M, node: usize, gfp: Gfp) -> bool {
        let migrate_type = self.migrate_type(gfp);
        let Frames { zones, lists, .. } = self;
        let mut allowed = lists[node].allowed(gfp.highest_zone(), gfp.contains(Gfp::THISNODE));
        allowed.any(|id| zones[id].high_atomic > 0 && zones[id].unreserve(machine, migrate_type))
    }
}
