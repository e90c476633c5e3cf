//! The buddy allocator of one zone: free lists by order and migrate type, which run through the `Page` array.
//!
//! ```text
//!   lists[type][order]          Page array
//!   Movable, 3: head ---------> [FREE, order 3] <-next/prev-> [FREE, order 3]
//!                               7 frames behind each head, TAIL
//! ```
//!
//! A free block is in the list of its pageblock's type, and two free buddies are always joined, whatever they were taken
//! for. Only what is set aside (HighAtomic, Isolate) is not joined with others to more than a pageblock.

use pagelab_abi::snapshot::{MIGRATE_TYPES, ORDERS};

use super::{
    MAX_ORDER, Page, PageState,
    pageblock::{MOVABLE, PAGEBLOCK_ORDER, mergeable, pageblock_type, pageblocks_in, set_pageblock_type},
    store::{BlockCounts, BlockStore},
};
use crate::machine::Machine;

/// The free blocks of one order and type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FreeList {
    /// First frame of the first block; 0 = none.
    pub(super) head: u32,
    /// Blocks in the list.
    pub(super) count: u32,
}

/// The free lists of a zone. Frame numbers are absolute.
#[derive(Clone, Debug, Default)]
pub(super) struct Buddy {
    /// One list an order, for each migrate type.
    pub(super) lists: [[FreeList; ORDERS]; MIGRATE_TYPES],
    /// Bit `n` is set if `lists[type][n]` has a block.
    pub(super) nonempty: [u16; MIGRATE_TYPES],
    /// The zone's number.
    pub(super) zone: u8,
    /// First frame of the zone's RAM.
    pub(super) start: u32,
    /// First frame after its last.
    pub(super) end: u32,
    /// Pageblocks by type.
    pub(super) pageblocks: [u32; MIGRATE_TYPES],
}

impl Buddy {
    /// The zone of this number that spans `start..end`, without a free block. All its pageblocks are Movable.
    pub(super) fn new(zone: u8, start: u32, end: u32) -> Buddy {
        let mut pageblocks = [0; MIGRATE_TYPES];
        pageblocks[MOVABLE] = pageblocks_in(start, end);
        Buddy { zone, start, end, pageblocks, ..Buddy::default() }
    }

    /// Puts a free block at the end of a list, whose last block so far is `last`, at boot.
    pub(super) fn append(&mut self, pages: &mut [Page], pfn: u32, order: u8, last: &mut u32) {
        let list = &mut self.lists[MOVABLE][usize::from(order)];
        list.count += 1;
        self.nonempty[MOVABLE] |= 1 << order;
        pages[pfn as usize].set_free(order, self.zone, 0, *last);
        if *last == 0 {
            list.head = pfn;
        } else {
            pages[*last as usize].next = pfn;
        }
        *last = pfn;
    }

    /// Takes a block of `order` and `migrate_type` out of the free lists, splitting a larger one if need be, and returns
    /// its first frame.
    #[inline(always)]
    pub(super) fn take_own(&mut self, pages: &mut [Page], order: u8, migrate_type: usize) -> Option<u32> {
        let orders = self.nonempty[migrate_type] >> order;
        if orders == 0 {
            return None;
        }
        let mut found = order + orders.trailing_zeros() as u8;
        let pfn = self.pop(pages, found, migrate_type);
        while found > order {
            found -= 1;
            self.start_list(pages, pfn + (1 << found), found, migrate_type);
        }
        Some(pfn)
    }

    /// Takes the first block out of a list that has one. Its state is left as it was.
    #[inline]
    pub(super) fn pop(&mut self, pages: &mut [Page], order: u8, migrate_type: usize) -> u32 {
        let list = &mut self.lists[migrate_type][usize::from(order)];
        let pfn = list.head;
        let next = pages[pfn as usize].next;
        list.head = next;
        list.count -= 1;
        if next == 0 {
            self.nonempty[migrate_type] ^= 1 << order;
        } else {
            pages[next as usize].prev = 0;
        }
        pfn
    }

    /// Makes a frame the head of a free block, alone in its list: the upper half of a split goes where no block was.
    #[inline]
    fn start_list(&mut self, pages: &mut [Page], pfn: u32, order: u8, migrate_type: usize) {
        self.lists[migrate_type][usize::from(order)] = FreeList { head: pfn, count: 1 };
        self.nonempty[migrate_type] |= 1 << order;
        pages[pfn as usize].set_free(order, self.zone, 0, 0);
    }

    /// Takes a free buddy as large as a pageblock or larger out of its list and gives it this type; not if either is set
    /// aside and the other is not.
    #[cold]
    fn join_pageblock(&mut self, pages: &mut [Page], buddy: u32, order: u8, migrate_type: usize) -> bool {
        let other = pageblock_type(pages, buddy);
        if other != migrate_type && !(mergeable(other) && mergeable(migrate_type)) {
            return false;
        }
        self.unlink(pages, buddy, order, other);
        self.change_pageblocks(pages, buddy, order, migrate_type);
        true
    }

    /// Gives the pageblocks of a block of at least their size another type.
    pub(super) fn change_pageblocks(&mut self, pages: &mut [Page], pfn: u32, order: u8, migrate_type: usize) {
        for start in (pfn..pfn + (1 << order)).step_by(1 << PAGEBLOCK_ORDER) {
            self.change_pageblock(pages, start, migrate_type);
        }
    }

    /// Gives a pageblock another type. The caller sees to the free blocks in it.
    pub(super) fn change_pageblock(&mut self, pages: &mut [Page], pfn: u32, migrate_type: usize) {
        self.pageblocks[pageblock_type(pages, pfn)] -= 1;
        self.pageblocks[migrate_type] += 1;
        set_pageblock_type(pages, pfn, migrate_type);
    }

    /// Makes a frame the head of a free block, first in its list.
    #[inline]
    pub(super) fn link(&mut self, pages: &mut [Page], pfn: u32, order: u8, migrate_type: usize) {
        let list = &mut self.lists[migrate_type][usize::from(order)];
        let next = list.head;
        list.head = pfn;
        list.count += 1;
        self.nonempty[migrate_type] |= 1 << order;
        pages[pfn as usize].set_free(order, self.zone, next, 0);
        if next != 0 {
            pages[next as usize].prev = pfn;
        }
    }

    /// Takes a block out of its list. Its state is left as it was.
    #[inline]
    pub(super) fn unlink(&mut self, pages: &mut [Page], pfn: u32, order: u8, migrate_type: usize) {
        let Page { next, prev, .. } = pages[pfn as usize];
        let list = &mut self.lists[migrate_type][usize::from(order)];
        list.count -= 1;
        if prev == 0 {
            list.head = next;
            if next == 0 {
                self.nonempty[migrate_type] ^= 1 << order;
            }
        } else {
            pages[prev as usize].next = next;
        }
        if next != 0 {
            pages[next as usize].prev = prev;
        }
    }
}

impl BlockStore for Buddy {
    #[inline(always)]
    fn take<M: Machine>(&mut self, machine: &mut M, order: u8, migrate_type: usize) -> Option<u32> {
        let pages = machine.pages_mut();
        match self.take_own(pages, order, migrate_type) {
            Some(pfn) => Some(pfn),
            None => self.steal(pages, order, migrate_type),
        }
    }

    /// From the smallest block there is, as taking single frames would.
    fn take_run<M: Machine>(
        &mut self,
        machine: &mut M,
        migrate_type: usize,
        most: u32,
        strict: bool,
    ) -> Option<(u32, u32)> {
        let pages = machine.pages_mut();
        let orders = self.nonempty[migrate_type];
        if orders == 0 {
            return if strict { None } else { self.steal(pages, 0, migrate_type).map(|pfn| (pfn, 1)) };
        }
        let order = orders.trailing_zeros().min(most.ilog2()) as u8;
        self.take_own(pages, order, migrate_type).map(|pfn| (pfn, 1 << order))
    }

    /// Joined with its free buddies.
    #[inline(always)]
    fn put<M: Machine>(&mut self, machine: &mut M, mut pfn: u32, mut order: u8) {
        let pages = machine.pages_mut();
        let migrate_type = pageblock_type(pages, pfn);
        while order < MAX_ORDER {
            let buddy = pfn ^ (1 << order);
            let Some(page) = pages.get(buddy as usize) else { break };
            if page.state != PageState::FREE || page.order != order || page.zone != self.zone {
                break;
            }
            if order < PAGEBLOCK_ORDER {
                self.unlink(pages, buddy, order, migrate_type);
            } else if !self.join_pageblock(pages, buddy, order, migrate_type) {
                break;
            }
            pages[buddy as usize].state = PageState::TAIL;
            pages[pfn as usize].state = PageState::TAIL;
            pfn &= buddy;
            order += 1;
        }
        self.link(pages, pfn, order, migrate_type);
    }

    fn counts<M: Machine>(&self, _machine: &M) -> BlockCounts {
        self.lists.map(|lists| lists.map(|list| list.count.into()))
    }
}
