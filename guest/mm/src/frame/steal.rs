//! What a request does when its own migrate type has no block left: it takes one of another type, and as a rule that
//! block's whole pageblock with it, so that types stay apart.
//!
//! ```text
//! largest free block of another type, types in the order of FALLBACKS
//!   as large as a pageblock ------> its pageblocks change their type
//!   claimable (order >= 4, or the request is not Movable)
//!     half of the pageblock or more is free or alike --> the pageblock changes its type, its free blocks move over
//!     else ---------------------------------------------> this block alone is used, what is left of it stays
//!   else: the smallest block that will do is used alone
//! ```
//!
//! See Linux's mm/page_alloc.c: `__rmqueue_fallback` and `steal_suitable_fallback`.

use super::{
    MAX_ORDER, Page, PageFlags, PageState,
    buddy::Buddy,
    pageblock::{
        MOVABLE, PAGEBLOCK_FRAMES, PAGEBLOCK_ORDER, RECLAIMABLE, REQUEST_TYPES, UNMOVABLE, pageblock_start,
        pageblock_type,
    },
};

/// The types a request turns to when its own has nothing left, by its own type.
const FALLBACKS: [[usize; 2]; REQUEST_TYPES] = [[RECLAIMABLE, MOVABLE], [RECLAIMABLE, UNMOVABLE], [UNMOVABLE, MOVABLE]];
/// A block of this order or above is worth its whole pageblock to a Movable request too.
const CLAIM_ORDER: u8 = PAGEBLOCK_ORDER / 2;

/// What a pageblock holds, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Contents {
    free: u32,
    movable: u32,
}

impl Buddy {
    /// Takes a block of `order` for a request whose own type has none.
    #[cold]
    #[inline(never)]
    pub(super) fn steal(&mut self, pages: &mut [Page], order: u8, migrate_type: usize) -> Option<u32> {
        let (found, other) = (order..=MAX_ORDER).rev().find_map(|at| Some((at, self.fallback(at, migrate_type)?)))?;
        let claimable = found >= CLAIM_ORDER || migrate_type != MOVABLE;
        if found >= PAGEBLOCK_ORDER {
            let pfn = self.pop(pages, found, other);
            self.change_pageblocks(pages, pfn, found, migrate_type);
            return Some(self.split(pages, pfn, found, order, migrate_type));
        }
        if claimable && self.claim(pages, self.lists[other][usize::from(found)].head, other, migrate_type) {
            return self.take_own(pages, order, migrate_type);
        }
        let (found, other) = if claimable {
            (found, other)
        } else {
            (order..=MAX_ORDER).find_map(|at| Some((at, self.fallback(at, migrate_type)?)))?
        };
        let pfn = self.pop(pages, found, other);
        Some(self.split(pages, pfn, found, order, other))
    }

    /// The type that a request may take a block of exactly this order from.
    fn fallback(&self, order: u8, migrate_type: usize) -> Option<usize> {
        FALLBACKS[migrate_type].into_iter().find(|&other| self.nonempty[other] >> order & 1 == 1)
    }

    /// Gives back all of a block that is out of the lists but its first `1 << order` frames.
    fn split(&mut self, pages: &mut [Page], pfn: u32, mut found: u8, order: u8, migrate_type: usize) -> u32 {
        while found > order {
            found -= 1;
            self.link(pages, pfn + (1 << found), found, migrate_type);
        }
        pfn
    }

    /// Makes the pageblock around a free block one of `migrate_type`, if enough of it is free or of that type already.
    fn claim(&mut self, pages: &mut [Page], pfn: u32, other: usize, migrate_type: usize) -> bool {
        if !self.has_whole_pageblock(pfn) {
            return false;
        }
        let Contents { free, movable } = contents(pages, pageblock_start(pfn));
        let alike = match (migrate_type, other) {
            (MOVABLE, _) => movable,
            // What is not movable in a Movable pageblock is like what asks now.
            (_, MOVABLE) => PAGEBLOCK_FRAMES - free - movable,
            _ => 0,
        };
        if free + alike < PAGEBLOCK_FRAMES / 2 {
            return false;
        }
        self.move_pageblock(pages, pfn, migrate_type);
        true
    }

    /// Whether the pageblock around a frame is all within the zone: another zone has no part of it.
    pub(super) fn has_whole_pageblock(&self, pfn: u32) -> bool {
        let start = pageblock_start(pfn);
        self.start <= start && start + PAGEBLOCK_FRAMES <= self.end
    }

    /// Gives a pageblock of the zone another type and moves its free blocks to that type's lists. Returns how many frames
    /// these are.
    pub(super) fn move_pageblock(&mut self, pages: &mut [Page], pfn: u32, migrate_type: usize) -> u32 {
        let before = pageblock_type(pages, pfn);
        self.change_pageblock(pages, pfn, migrate_type);
        let (mut at, mut moved) = (pageblock_start(pfn), 0);
        let end = at + PAGEBLOCK_FRAMES;
        while at < end {
            let page = pages[at as usize];
            if page.state == PageState::FREE {
                self.unlink(pages, at, page.order, before);
                self.link(pages, at, page.order, migrate_type);
                moved += 1 << page.order;
            }
            at += step(&page);
        }
        moved
    }
}

/// Counts a pageblock's frames from block to block.
fn contents(pages: &[Page], start: u32) -> Contents {
    let (mut at, mut contents) = (start, Contents::default());
    while at < start + PAGEBLOCK_FRAMES {
        let page = &pages[at as usize];
        let frames = step(page).min(PAGEBLOCK_FRAMES);
        match page.state {
            PageState::FREE => contents.free += frames,
            PageState::USED if page.flags.contains(PageFlags::MOVABLE) => contents.movable += frames,
            _ => {}
        }
        at += frames;
    }
    contents
}

/// Frames to the next that can head a block.
fn step(page: &Page) -> u32 {
    match page.state {
        PageState::FREE | PageState::USED => 1 << page.order,
        _ => 1,
    }
}
