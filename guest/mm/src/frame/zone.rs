//! One zone: how much it has, what it must keep, and who has the rest.

use pagelab_abi::{
    code::Zone as ZoneCode,
    snapshot::{ORDERS, OWNERS, ZoneEntry},
};

use super::{Page, buddy::Buddy, watermark::Watermarks};

/// A zone of a node. Frame numbers are absolute.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    /// Its free blocks.
    pub(super) blocks: Buddy,
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
    pub(super) owned: [u32; OWNERS],
    /// Which zone it is.
    pub(super) code: ZoneCode,
    /// Its node.
    pub(super) node: u8,
}

impl Zone {
    /// Whether a frame is between the zone's first and last.
    #[inline]
    pub(super) fn spans(&self, pfn: u32) -> bool {
        pfn.wrapping_sub(self.start) < self.spanned
    }

    /// Whether a request for a block of `order` that may use zones up to `highest` leaves `mark` frames here.
    #[inline(always)]
    pub(super) fn leaves(&self, mark: u64, order: u8, highest: usize) -> bool {
        self.free >= mark + self.watermarks.lowmem_reserve[highest] + (1 << order)
    }

    /// Takes a block, of another migrate type where there is none of this one. The caller writes its `Page` afresh.
    #[inline(always)]
    pub(super) fn take(&mut self, pages: &mut [Page], order: u8, migrate_type: usize) -> Option<u32> {
        let pfn = match self.blocks.take(pages, order, migrate_type) {
            Some(pfn) => pfn,
            None => self.blocks.steal(pages, order, migrate_type)?,
        };
        self.free -= 1 << order;
        Some(pfn)
    }

    /// Puts a block back.
    #[inline(always)]
    pub(super) fn put(&mut self, pages: &mut [Page], pfn: u32, order: u8) {
        self.free += 1 << order;
        self.blocks.put(pages, pfn, order);
    }

    /// The zone as a snapshot shows it.
    pub(super) fn entry(&self) -> ZoneEntry {
        let blocks_by_type = self.blocks.blocks_by_type();
        let mut free_blocks = [0; ORDERS];
        for blocks in blocks_by_type {
            free_blocks.iter_mut().zip(blocks).for_each(|(sum, count)| *sum += count);
        }
        ZoneEntry {
            zone: self.code,
            node: self.node,
            start_pfn: self.start.into(),
            spanned: self.spanned.into(),
            present: self.present,
            managed: self.managed,
            free: self.free,
            watermark: [self.watermarks.min, self.watermarks.low, self.watermarks.high],
            lowmem_reserve: self.watermarks.lowmem_reserve,
            free_blocks,
            blocks_by_type,
            pageblocks: self.blocks.pageblocks.map(u64::from),
            owned: self.owned.map(u64::from),
            ..ZoneEntry::default()
        }
    }
}
