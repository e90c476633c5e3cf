//! A full check of the allocator's invariants, for tests.
//!
//! 1. Each free list holds aligned free blocks of its order, linked both ways, as many as it counts.
//! 2. Blocks neither overlap nor leave their zone; each list entry is a head, and each free head is in a list.
//! 3. No two free buddies are left unjoined.
//! 4. What is free and what is handed out add up to what is managed, in each zone and over all owners.

use pagelab_abi::snapshot::OWNERS;

use super::{Frames, MAX_ORDER, Page, PageState, ZONES, owner_index, zone::Zone, zone_index};
use crate::machine::Pfn;

/// An invariant that does not hold, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inconsistency {
    /// A list entry is not a free block of the list's order, aligned, in the zone.
    BadEntry(Pfn),
    /// A list entry's `prev` is not the entry before it.
    BadLink(Pfn),
    /// The list of an order has more or fewer blocks than it counts, or its bit is wrong.
    BadCount {
        /// Index of the zone.
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
        /// Index of the zone.
        zone: u8,
    },
    /// The count of this owner (by code) is not what the `Page` array says.
    BadOwner(u8),
}

impl Frames {
    /// Checks every invariant over the whole `Page` array. Takes time in proportion to RAM.
    pub fn check(&self, pages: &[Page]) -> Result<(), Inconsistency> {
        let mut listed = [0u64; ZONES];
        for (index, zone) in self.zones.iter().enumerate() {
            for order in 0..=MAX_ORDER {
                listed[index] += u64::from(zone.check_list(pages, index as u8, order)?);
            }
        }
        let mut owned = [0u64; OWNERS];
        for (index, zone) in self.zones.iter().enumerate() {
            let (blocks, free, used) = zone.check_blocks(pages, &mut owned)?;
            if blocks != listed[index] || free != zone.free || free + used != zone.managed {
                return Err(Inconsistency::BadTotal { zone: index as u8 });
            }
        }
        match (0..OWNERS).find(|&owner| owned[owner] != self.zones.iter().map(|zone| zone.owned[owner]).sum()) {
            Some(owner) => Err(Inconsistency::BadOwner(owner as u8)),
            None => Ok(()),
        }
    }
}

impl Zone {
    /// Walks one list and returns its length.
    fn check_list(&self, pages: &[Page], zone: u8, order: u8) -> Result<u32, Inconsistency> {
        let list = &self.lists[usize::from(order)];
        let bad_count = Inconsistency::BadCount { zone, order };
        let (mut at, mut before, mut count) = (list.head, 0, 0);
        while at != 0 {
            let page = pages.get(at as usize).ok_or(Inconsistency::BadEntry(Pfn(at)))?;
            if page.state != PageState::FREE || page.order != order || page.zone != zone || !self.spans(at) {
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
        if count != list.count || (self.nonempty >> order & 1 == 1) != (count > 0) {
            return Err(bad_count);
        }
        Ok(count)
    }

    /// Walks the zone's frames; returns free blocks, free frames and used frames, and adds to the owners' counts.
    fn check_blocks(&self, pages: &[Page], owned: &mut [u64; OWNERS]) -> Result<(u64, u64, u64), Inconsistency> {
        let (mut free_blocks, mut free, mut used) = (0, 0, 0);
        let mut block_end = 0;
        for pfn in self.start..self.start + self.spanned {
            let page = &pages[pfn as usize];
            if page.state == PageState::TAIL {
                continue;
            }
            if pfn < block_end {
                return Err(Inconsistency::Overlap(Pfn(pfn)));
            }
            if page.order > MAX_ORDER || pfn % (1 << page.order) != 0 {
                return Err(Inconsistency::BadBlock(Pfn(pfn)));
            }
            let frames = 1 << page.order;
            block_end = pfn + frames;
            if !self.spans(block_end - 1) || zone_index(pfn) != usize::from(page.zone) {
                return Err(Inconsistency::BadBlock(Pfn(pfn)));
            }
            if page.state == PageState::USED {
                used += u64::from(frames);
                owned[owner_index(page.owner)] += u64::from(frames);
                continue;
            }
            free_blocks += 1;
            free += u64::from(frames);
            let buddy = pfn ^ frames;
            let joinable = page.order < MAX_ORDER && self.spans(buddy);
            if joinable && pages[buddy as usize].state == PageState::FREE && pages[buddy as usize].order == page.order {
                return Err(Inconsistency::Unjoined(Pfn(pfn)));
            }
        }
        Ok((free_blocks, free, used))
    }
}
