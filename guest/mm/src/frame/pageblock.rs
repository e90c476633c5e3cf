//! Pageblocks: runs of 512 aligned frames that hold contents of one migrate type, as far as that can be kept up.
//!
//! A pageblock's type is in the flags of its first frame's `Page`; 0, the state at boot, is Movable.

use pagelab_abi::{code::MigrateType, snapshot::MIGRATE_TYPES};

use super::{Page, PageFlags};

/// Order of a pageblock: 512 frames, 2 MiB.
pub const PAGEBLOCK_ORDER: u8 = 9;
/// Frames in a pageblock.
pub(super) const PAGEBLOCK_FRAMES: u32 = 1 << PAGEBLOCK_ORDER;

/// Migrate types by index, with Linux's values.
pub(super) const UNMOVABLE: usize = MigrateType::Unmovable.0 as usize;
pub(super) const MOVABLE: usize = MigrateType::Movable.0 as usize;
pub(super) const RECLAIMABLE: usize = MigrateType::Reclaimable.0 as usize;
pub(super) const HIGH_ATOMIC: usize = MigrateType::HighAtomic.0 as usize;
/// Types that requests ask for, which are also those that CPUs keep lists of.
pub(super) const REQUEST_TYPES: usize = 3;

/// Inverted in what is stored.
const STORED_XOR: u32 = MigrateType::Movable.0 as u32;

const _: () = assert!(MIGRATE_TYPES <= PageFlags::PAGEBLOCK_TYPE.bits() as usize + 1);

/// The pageblock's first frame.
#[inline]
pub(super) fn pageblock_start(pfn: u32) -> u32 {
    pfn & !(PAGEBLOCK_FRAMES - 1)
}

/// Pageblocks that a range of frames touches.
pub(super) fn pageblocks_in(start: u32, end: u32) -> u32 {
    end.div_ceil(PAGEBLOCK_FRAMES) - start / PAGEBLOCK_FRAMES
}

/// The migrate type of the pageblock that a frame is in.
#[inline(always)]
pub(super) fn pageblock_type(pages: &[Page], pfn: u32) -> usize {
    let flags = pages[pageblock_start(pfn) as usize].flags;
    ((flags.bits() ^ STORED_XOR) & PageFlags::PAGEBLOCK_TYPE.bits()) as usize
}

/// Gives the pageblock that a frame is in another migrate type.
pub(super) fn set_pageblock_type(pages: &mut [Page], pfn: u32, migrate_type: usize) {
    let flags = &mut pages[pageblock_start(pfn) as usize].flags;
    let others = flags.bits() & !PageFlags::PAGEBLOCK_TYPE.bits();
    *flags = PageFlags::from_bits_retain(others | migrate_type as u32 ^ STORED_XOR);
}

/// Whether blocks of two types may be joined to one that is larger than a pageblock: what is set aside stays apart.
#[inline]
pub(super) fn mergeable(migrate_type: usize) -> bool {
    migrate_type < REQUEST_TYPES
}
