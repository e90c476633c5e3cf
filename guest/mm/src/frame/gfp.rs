//! What a request may do and where it may come from: Linux's gfp flags, with Linux's values.

use pagelab_abi::code::MigrateType;

use super::{ZONE_DMA, ZONE_DMA32, ZONE_HIGHMEM, ZONE_MOVABLE, ZONE_NORMAL};

bitflags::bitflags! {
    /// Flags of a frame request. The names without a zone or a modifier in them are the sets that callers use.
    ///
    /// | flag | Linux | what it does |
    /// | --- | --- | --- |
    /// | `DMA` | `__GFP_DMA`, `GFP_DMA` | zone DMA only |
    /// | `DMA32` | `__GFP_DMA32` | zone DMA32 or below |
    /// | `HIGHMEM` | `__GFP_HIGHMEM` | zone HighMem too: the caller does without the direct map |
    /// | `MOVABLE` | `__GFP_MOVABLE` | migrate type Movable; with `HIGHMEM` zone Movable too |
    /// | `RECLAIMABLE` | `__GFP_RECLAIMABLE` | migrate type Reclaimable |
    /// | `HIGH` | `__GFP_HIGH` | may use half of the min watermark, and with order > 0 and no `DIRECT_RECLAIM` the HighAtomic reserve |
    /// | `DIRECT_RECLAIM` | `__GFP_DIRECT_RECLAIM` | may wait; who may not, and has `HIGH`, gets a quarter of the other half too |
    /// | `KSWAPD_RECLAIM`, `IO`, `FS`, `HARDWALL` | the same | nothing: there is no reclaim and there are no cpusets. They tell the sets apart in the trace |
    /// | `ZERO` | `__GFP_ZERO` | filled with zeros |
    /// | `NOWARN` | `__GFP_NOWARN` | a failure is not noted for the out-of-memory report |
    /// | `NORETRY` | `__GFP_NORETRY` | fails rather than have the CPUs' lists drained for it |
    /// | `NOFAIL` | `__GFP_NOFAIL` | the watermarks do not hold; order 0 or 1 only, and not without `DIRECT_RECLAIM` |
    /// | `MEMALLOC` | `__GFP_MEMALLOC` | the watermarks do not hold: the caller frees memory with it |
    /// | `NOMEMALLOC` | `__GFP_NOMEMALLOC` | neither `MEMALLOC` nor that quarter |
    /// | `THISNODE` | `__GFP_THISNODE` | no other node's zones |
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Gfp: u32 {
        /// Only from zone DMA.
        const DMA = 1 << 0;
        /// May come from zone HighMem.
        const HIGHMEM = 1 << 1;
        /// From zone DMA32 or below.
        const DMA32 = 1 << 2;
        /// The contents can be moved: migrate type Movable.
        const MOVABLE = 1 << 3;
        /// The contents can be dropped: migrate type Reclaimable.
        const RECLAIMABLE = 1 << 4;
        /// May use a part of the reserve.
        const HIGH = 1 << 5;
        /// May start input and output.
        const IO = 1 << 6;
        /// May call into file systems.
        const FS = 1 << 7;
        /// Hand the frames out filled with zeros.
        const ZERO = 1 << 8;
        /// May wait for reclaim.
        const DIRECT_RECLAIM = 1 << 10;
        /// May wake the reclaimer.
        const KSWAPD_RECLAIM = 1 << 11;
        /// Do not report a failure.
        const NOWARN = 1 << 13;
        /// Must not fail.
        const NOFAIL = 1 << 15;
        /// Fail early.
        const NORETRY = 1 << 16;
        /// May use all reserves.
        const MEMALLOC = 1 << 17;
        /// May not use all reserves.
        const NOMEMALLOC = 1 << 19;
        /// Keeps to the task's cpuset.
        const HARDWALL = 1 << 20;
        /// Only from the node asked for.
        const THISNODE = 1 << 21;

        /// Both kinds of reclaim.
        const RECLAIM = Self::DIRECT_RECLAIM.bits() | Self::KSWAPD_RECLAIM.bits();
        /// For who cannot wait.
        const ATOMIC = Self::HIGH.bits() | Self::KSWAPD_RECLAIM.bits();
        /// Ordinary kernel memory.
        const KERNEL = Self::RECLAIM.bits() | Self::IO.bits() | Self::FS.bits();
        /// User memory that the kernel reaches directly.
        const USER = Self::KERNEL.bits() | Self::HARDWALL.bits();
        /// User memory.
        const HIGHUSER = Self::USER.bits() | Self::HIGHMEM.bits();
        /// User memory that can be moved.
        const HIGHUSER_MOVABLE = Self::HIGHUSER.bits() | Self::MOVABLE.bits();
    }
}

/// The highest zone by the four zone bits. Linux calls more than one of `DMA`, `HIGHMEM` and `DMA32` a bug; here such a
/// request is met from the lowest zone it names.
const HIGHEST_ZONE: [u8; 16] = {
    let mut table = [ZONE_NORMAL as u8; 16];
    let mut bits = 0;
    while bits < table.len() {
        table[bits] = if has_bit(bits, Gfp::DMA) {
            ZONE_DMA
        } else if has_bit(bits, Gfp::DMA32) {
            ZONE_DMA32
        } else if !has_bit(bits, Gfp::HIGHMEM) {
            ZONE_NORMAL
        } else if has_bit(bits, Gfp::MOVABLE) {
            ZONE_MOVABLE
        } else {
            ZONE_HIGHMEM
        } as u8;
        bits += 1;
    }
    table
};

const fn has_bit(bits: usize, flag: Gfp) -> bool {
    bits as u32 & flag.bits() != 0
}

impl Gfp {
    /// Index of the highest zone the request may use: Linux's `gfp_zone`.
    #[inline(always)]
    pub(super) fn highest_zone(self) -> usize {
        usize::from(HIGHEST_ZONE[self.bits() as usize & 15])
    }

    /// The migrate type the request asks for. Asking for both Movable and Reclaimable, a bug in Linux, means Reclaimable.
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

    /// Whether the request may take what the watermarks keep: Linux's ALLOC_NO_WATERMARKS.
    pub(super) fn ignores_watermarks(self) -> bool {
        !self.contains(Gfp::NOMEMALLOC) && (self.contains(Gfp::MEMALLOC) || self.must_not_fail())
    }

    /// Whether `NOFAIL` means anything: who cannot wait can fail.
    pub(super) fn must_not_fail(self) -> bool {
        self.contains(Gfp::NOFAIL.union(Gfp::DIRECT_RECLAIM))
    }
}
