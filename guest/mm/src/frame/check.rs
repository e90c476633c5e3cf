//! A full check of the allocator's invariants, for tests.
//!
//! 1. Each free list holds aligned free blocks of its order and of pageblocks of its type, linked both ways, as many as it
//!    counts.
//! 2. Blocks neither overlap nor leave their zone; each list entry is a head, and each free head is in a list.
//! 3. No two free buddies are left unjoined, but for what is set aside.
//! 4. Each frame on a CPU's list is free there alone, and the list counts it.
//! 5. With the bitmap allocator: no frame of a block in use and none on a CPU's list has its bit set.
//! 6. What is free and what is handed out add up to what is managed, in each zone and over all owners.

use pagelab_abi::snapshot::OWNERS;

use super::{
    Frames, MAX_ORDER, Page, PageState,
    buddy::Buddy,
    owner_index,
    pageblock::{PAGEBLOCK_ORDER, mergeable, pageblock_type, pageblocks_in},
    store::Blocks,
    zone::Zone,
};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::Trace,
};

/// An invariant that does not hold, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inconsistency {
    /// A list entry is not a free block of the list's order, aligned, in the zone, in a pageblock of the list's type.
    BadEntry(Pfn),
    /// A list entry's `prev` is not the entry before it.
    BadLink(Pfn),
    /// The list of an order has more or fewer blocks than it counts, or its bit is wrong.
    BadCount {
        /// Number of the zone.
        zone: u8,
        /// Order of the list.
        order: u8,
    },
    /// A block begins inside another.
    Overlap(Pfn),
    /// A block is not aligned, reaches out of its zone, or has an impossible order.
    BadBlock(Pfn),
    /// A free block's buddy is free too.
    Unjoined(Pfn),
    /// A zone's free blocks and its own free count differ, or free and handed-out frames are not what it manages.
    BadTotal {
        /// Number of the zone.
        zone: u8,
    },
    /// The count of this owner (by code) is not what the `Page` array says.
    BadOwner(u8),
}

impl Frames {
    /// Checks every invariant over the whole `Page` array. Takes time in proportion to RAM.
    pub fn check(&self, pages: &[Page]) -> Result<(), Inconsistency> {
        for id in self.populated.iter() {
            let zone = &self.zones[id];
            let bad_total = Inconsistency::BadTotal { zone: id as u8 };
            let found = zone.check_blocks(pages, id as u8)?;
            if found.pcp != zone.check_pcp(pages, id as u8)? {
                return Err(bad_total);
            }
            if let Blocks::Buddy(buddy) = &zone.blocks {
                let listed = buddy.check_lists(pages)?;
                if found.free_blocks != listed || found.free + found.pcp != zone.free {
                    return Err(bad_total);
                }
            } else if found.free_blocks != 0 {
                return Err(bad_total);
            }
            if zone.free + found.used != zone.managed {
                return Err(bad_total);
            }
            if let Some(owner) = (0..OWNERS).find(|&owner| found.owned[owner] != zone.owned[owner]) {
                return Err(Inconsistency::BadOwner(owner as u8));
            }
        }
        Ok(())
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// [`Frames::check`], and the bits of the bitmap allocator.
    pub fn check_frames(&self) -> Result<(), Inconsistency> {
        let pages = self.machine.pages();
        self.frames.check(pages)?;
        for id in self.frames.populated.iter() {
            let zone = &self.frames.zones[id];
            if let Blocks::Bitmap(bitmap) = &zone.blocks {
                zone.check_bits(pages, id as u8, |pfn| bitmap.is_free(&self.machine, pfn))?;
            }
        }
        Ok(())
    }
}

impl Buddy {
    /// Walks all lists and returns how many blocks they have.
    fn check_lists(&self, pages: &[Page]) -> Result<u64, Inconsistency> {
        let mut listed = 0;
        for order in 0..=MAX_ORDER {
            for migrate_type in 0..self.lists.len() {
                listed += self.check_list(pages, order, migrate_type)?;
            }
        }
        let pageblocks: u32 = self.pageblocks.iter().sum();
        if pageblocks != pageblocks_in(self.start, self.end) {
            return Err(Inconsistency::BadTotal { zone: self.zone });
        }
        Ok(listed)
    }

    /// Walks one list and returns its length.
    fn check_list(&self, pages: &[Page], order: u8, migrate_type: usize) -> Result<u64, Inconsistency> {
        let list = &self.lists[migrate_type][usize::from(order)];
        let bad_count = Inconsistency::BadCount { zone: self.zone, order };
        let (mut at, mut before, mut count) = (list.head, 0, 0);
        while at != 0 {
            let page = pages.get(at as usize).ok_or(Inconsistency::BadEntry(Pfn(at)))?;
            let is_right = page.state == PageState::FREE && page.order == order && page.zone == self.zone;
            if !is_right || !(self.start..self.end).contains(&at) || pageblock_type(pages, at) != migrate_type {
                return Err(Inconsistency::BadEntry(Pfn(at)));
            }
            if page.prev != before {
                return Err(Inconsistency::BadLink(Pfn(at)));
            }
            count += 1;
            if count > list.count {
                return Err(bad_count);
            }
            (before, at) = (at, page.next);
        }
        if count != list.count || (self.nonempty[migrate_type] >> order & 1 == 1) != (count > 0) {
            return Err(bad_count);
        }
        Ok(count.into())
    }
}

/// What a walk over a zone's frames has found.
#[derive(Default)]
struct Found {
    free_blocks: u64,
    free: u64,
    pcp: u64,
    used: u64,
    owned: [u32; OWNERS],
}

impl Zone {
    /// Walks the CPUs' lists and returns how many frames they have.
    fn check_pcp(&self, pages: &[Page], id: u8) -> Result<u64, Inconsistency> {
        let mut total = 0;
        for pcp in &self.pcp {
            let mut count = 0;
            for head in pcp.heads {
                let mut at = head;
                while at != 0 {
                    let page = pages.get(at as usize).ok_or(Inconsistency::BadEntry(Pfn(at)))?;
                    if page.state != PageState::PCP || page.order != 0 || page.zone != id || count == pcp.count {
                        return Err(Inconsistency::BadEntry(Pfn(at)));
                    }
                    count += 1;
                    at = page.next;
                }
            }
            if count != pcp.count || count > pcp.high {
                return Err(Inconsistency::BadCount { zone: id, order: 0 });
            }
            total += u64::from(count);
        }
        Ok(total)
    }

    /// Compares the bits with the `Page` array.
    fn check_bits(&self, pages: &[Page], id: u8, is_free: impl Fn(u32) -> bool) -> Result<(), Inconsistency> {
        let (mut free, mut block_end) = (0, 0);
        for pfn in self.start..self.start + self.spanned {
            let page = &pages[pfn as usize];
            if page.zone == id && matches!(page.state, PageState::USED | PageState::PCP) {
                block_end = pfn + (1 << page.order);
            }
            if is_free(pfn) {
                free += 1;
                if pfn < block_end {
                    return Err(Inconsistency::Overlap(Pfn(pfn)));
                }
            }
        }
        let listed: u32 = self.pcp.iter().map(|pcp| pcp.count).sum();
        if free + u64::from(listed) != self.free {
            return Err(Inconsistency::BadTotal { zone: id });
        }
        Ok(())
    }

    /// Walks the zone's frames.
    fn check_blocks(&self, pages: &[Page], id: u8) -> Result<Found, Inconsistency> {
        let mut found = Found::default();
        let mut block_end = 0;
        for pfn in self.start..self.start + self.spanned {
            let page = &pages[pfn as usize];
            if page.state == PageState::TAIL {
                continue;
            }
            if pfn < block_end {
                return Err(Inconsistency::Overlap(Pfn(pfn)));
            }
            if page.zone != id {
                // Another node's RAM may lie between this one's.
                continue;
            }
            if page.order > MAX_ORDER || pfn % (1 << page.order) != 0 {
                return Err(Inconsistency::BadBlock(Pfn(pfn)));
            }
            let frames = 1 << page.order;
            block_end = pfn + frames;
            if !self.spans(block_end - 1) {
                return Err(Inconsistency::BadBlock(Pfn(pfn)));
            }
            if page.state == PageState::USED {
                found.used += u64::from(frames);
                found.owned[owner_index(page.owner)] += frames;
                continue;
            }
            if page.state == PageState::PCP {
                found.pcp += 1;
                continue;
            }
            found.free_blocks += 1;
            found.free += u64::from(frames);
            let buddy = pfn ^ frames;
            let is_free = |page: &Page, order| page.state == PageState::FREE && page.order == order && page.zone == id;
            if page.order < MAX_ORDER && pages.get(buddy as usize).is_some_and(|other| is_free(other, page.order)) {
                let types = [pfn, buddy].map(|pfn| pageblock_type(pages, pfn));
                if page.order < PAGEBLOCK_ORDER || types[0] == types[1] || types.into_iter().all(mergeable) {
                    return Err(Inconsistency::Unjoined(Pfn(pfn)));
                }
            }
        }
        Ok(found)
    }
}
