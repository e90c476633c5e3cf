//! The seam between a zone and what keeps its free blocks: two implementations, chosen at boot.
//!
//! A store knows only which frames are free and how to find an aligned block of them. Watermarks, CPUs' lists, owners and
//! mistakes are the zone's and the context's affair, and the same over every store.

use pagelab_abi::snapshot::{MIGRATE_TYPES, ORDERS};

use super::{bitmap::Bitmap, buddy::Buddy};
use crate::machine::Machine;

/// Free blocks by order, by migrate type.
pub(super) type BlockCounts = [[u64; ORDERS]; MIGRATE_TYPES];

/// What keeps the free blocks of a zone.
pub(super) trait BlockStore {
    /// Takes an aligned block of `order`, from another migrate type where there is none of this one. The caller writes its
    /// first frame's `Page` afresh.
    fn take<M: Machine>(&mut self, machine: &mut M, order: u8, migrate_type: usize) -> Option<u32>;

    /// Takes up to `most` (at least 1) frames that follow each other, of this migrate type if there are any or if `strict`.
    /// Returns the first and how many.
    fn take_run<M: Machine>(
        &mut self,
        machine: &mut M,
        migrate_type: usize,
        most: u32,
        strict: bool,
    ) -> Option<(u32, u32)>;

    /// Takes back a block that is not in the store.
    fn put<M: Machine>(&mut self, machine: &mut M, pfn: u32, order: u8);

    /// Free blocks by order, the largest aligned ones, and type.
    fn counts<M: Machine>(&self, machine: &M) -> BlockCounts;
}

/// The store of a zone.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "zones lie in one array, and Buddy, the large one, is the usual one")]
pub(super) enum Blocks {
    Buddy(Buddy),
    Bitmap(Bitmap),
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks::Buddy(Buddy::default())
    }
}

impl BlockStore for Blocks {
    #[inline(always)]
    fn take<M: Machine>(&mut self, machine: &mut M, order: u8, migrate_type: usize) -> Option<u32> {
        match self {
            Blocks::Buddy(buddy) => buddy.take(machine, order, migrate_type),
            Blocks::Bitmap(bitmap) => bitmap.take(machine, order, migrate_type),
        }
    }

    #[inline]
    fn take_run<M: Machine>(
        &mut self,
        machine: &mut M,
        migrate_type: usize,
        most: u32,
        strict: bool,
    ) -> Option<(u32, u32)> {
        match self {
            Blocks::Buddy(buddy) => buddy.take_run(machine, migrate_type, most, strict),
            Blocks::Bitmap(bitmap) => bitmap.take_run(machine, migrate_type, most, strict),
        }
    }

    #[inline(always)]
    fn put<M: Machine>(&mut self, machine: &mut M, pfn: u32, order: u8) {
        match self {
            Blocks::Buddy(buddy) => buddy.put(machine, pfn, order),
            Blocks::Bitmap(bitmap) => bitmap.put(machine, pfn, order),
        }
    }

    fn counts<M: Machine>(&self, machine: &M) -> BlockCounts {
        match self {
            Blocks::Buddy(buddy) => buddy.counts(machine),
            Blocks::Bitmap(bitmap) => bitmap.counts(machine),
        }
    }
}
