//! One zone: a buddy allocator whose free lists run through the `Page` array.

use pagelab_abi::snapshot::{ORDERS, OWNERS, ZoneEntry};

use super::{MAX_ORDER, Page, PageState, watermark::Watermarks};

/// The free blocks of one order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FreeList {
    /// First frame of the first block; 0 = none.
    pub(super) head: u32,
    /// Blocks in the list.
    pub(super) count: u32,
}

/// A zone. Frame numbers are absolute.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    /// One list an order.
    pub(super) lists: [FreeList; ORDERS],
    /// Bit `n` is set if `lists[n]` has a block.
    pub(super) nonempty: u32,
    /// Free frames.
    pub(super) free: u64,
    /// What requests must leave.
    pub(super) watermarks: Watermarks,
    /// First frame of RAM.
    pub(super) start: u32,
    /// Frames from the first of RAM to the last.
    pub(super) spanned: u32,
    /// Frames of RAM.
    pub(super) present: u64,
    /// Frames given to the allocator.
    pub(super) managed: u64,
    /// Frames handed out, by owner.
    pub(super) owned: [u64; OWNERS],
}

impl Zone {
    /// Whether a frame is between the zone's first and last.
    #[inline]
    pub(super) fn spans(&self, pfn: u32) -> bool {
        pfn.wrapping_sub(self.start) < self.spanned
    }

    /// The smallest order, `order` or above, that has a free block.
    #[inline]
    pub(super) fn order_with_block(&self, order: u8) -> Option<u8> {
        let orders = self.nonempty >> order;
        (orders != 0).then(|| order + orders.trailing_zeros() as u8)
    }

    /// Takes a block of `order` out of the free lists, splitting a larger one if need be, and returns its first frame.
    /// The caller writes that frame's `Page` afresh.
    #[inline(always)]
    pub(super) fn take(&mut self, pages: &mut [Page], order: u8) -> Option<u32> {
        let mut found = self.order_with_block(order)?;
        let pfn = self.pop(pages, found);
        self.free -= 1 << order;
        while found > order {
            found -= 1;
            self.start_list(pages, pfn + (1 << found), found);
        }
        Some(pfn)
    }

    /// Takes the first block out of a list that has one.
    #[inline]
    fn pop(&mut self, pages: &mut [Page], order: u8) -> u32 {
        let list = &mut self.lists[usize::from(order)];
        let pfn = list.head;
        let next = pages[pfn as usize].next;
        list.head = next;
        list.count -= 1;
        if next == 0 {
            self.nonempty ^= 1 << order;
        } else {
            pages[next as usize].prev = 0;
        }
        pfn
    }

    /// Makes a frame the head of a free block, alone in its list: the upper half of a split goes where no block was.
    #[inline]
    fn start_list(&mut self, pages: &mut [Page], pfn: u32, order: u8) {
        self.lists[usize::from(order)] = FreeList { head: pfn, count: 1 };
        self.nonempty |= 1 << order;
        pages[pfn as usize].set_free(order, super::zone_index(pfn) as u8, 0, 0);
    }

    /// Puts a block into the free lists, joined with its free buddies.
    #[inline(always)]
    pub(super) fn put(&mut self, pages: &mut [Page], mut pfn: u32, mut order: u8) {
        self.free += 1 << order;
        while order < MAX_ORDER {
            let buddy = pfn ^ (1 << order);
            if !self.spans(buddy) {
                break;
            }
            let page = &mut pages[buddy as usize];
            if page.state != PageState::FREE || page.order != order {
                break;
            }
            page.state = PageState::TAIL;
            self.unlink(pages, buddy, order);
            pages[pfn as usize].state = PageState::TAIL;
            pfn &= buddy;
            order += 1;
        }
        self.link(pages, pfn, order);
    }

    /// Makes a frame the head of a free block, first in its list.
    #[inline]
    fn link(&mut self, pages: &mut [Page], pfn: u32, order: u8) {
        let list = &mut self.lists[usize::from(order)];
        let next = list.head;
        list.head = pfn;
        list.count += 1;
        self.nonempty |= 1 << order;
        let zone = super::zone_index(pfn) as u8;
        pages[pfn as usize].set_free(order, zone, next, 0);
        if next != 0 {
            pages[next as usize].prev = pfn;
        }
    }

    /// Takes a block out of its list. Its state is left as it was.
    #[inline]
    fn unlink(&mut self, pages: &mut [Page], pfn: u32, order: u8) {
        let Page { next, prev, .. } = pages[pfn as usize];
        let list = &mut self.lists[usize::from(order)];
        list.count -= 1;
        if prev == 0 {
            list.head = next;
            if next == 0 {
                self.nonempty ^= 1 << order;
            }
        } else {
            pages[prev as usize].next = next;
        }
        if next != 0 {
            pages[next as usize].prev = prev;
        }
    }

    /// The zone as a snapshot shows it.
    pub(super) fn entry(&self, zone: pagelab_abi::code::Zone) -> ZoneEntry {
        ZoneEntry {
            zone,
            start_pfn: self.start.into(),
            spanned: self.spanned.into(),
            present: self.present,
            managed: self.managed,
            free: self.free,
            watermark: [self.watermarks.min, self.watermarks.low, self.watermarks.high],
            // Zone Movable has no frames, so that it adds nothing.
            lowmem_reserve: {
                let [dma, dma32, normal] = self.watermarks.lowmem_reserve;
                [dma, dma32, normal, normal, normal]
            },
            free_blocks: self.lists.map(|list| list.count.into()),
            owned: self.owned,
            ..ZoneEntry::default()
        }
    }
}
