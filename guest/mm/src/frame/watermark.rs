//! How much of a zone requests must leave free: Linux's watermarks and lowmem reserve, with its default settings.
//!
//! See Linux's Documentation/admin-guide/sysctl/vm.rst: min_free_kbytes, watermark_scale_factor,
//! lowmem_reserve_ratio.

use super::{Gfp, ZONES, zone::Zone};

/// vm.lowmem_reserve_ratio: a zone keeps 1/ratio of the zones above it from requests that could be met there.
const LOWMEM_RESERVE_RATIO: [u64; ZONES] = [256, 256, 32];
/// vm.watermark_scale_factor: distance between the watermarks in 1/10000 of the zone, at least.
const WATERMARK_SCALE_FACTOR: u64 = 10;
/// Smallest min_free_kbytes that Linux computes.
const MIN_FREE_KBYTES_FLOOR: u64 = 128;
/// Largest min_free_kbytes that Linux computes.
const MIN_FREE_KBYTES_CEILING: u64 = 262_144;

/// One zone's watermarks, in frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watermarks {
    /// What an ordinary request leaves.
    pub(super) min: u64,
    /// Below it a request rather goes to a lower zone.
    pub(super) low: u64,
    /// What reclaim restores.
    pub(super) high: u64,
    /// What is kept in addition, by the highest zone the request may use.
    pub(super) lowmem_reserve: [u64; ZONES],
}

impl Watermarks {
    /// What a request must leave in the last attempt. One that cannot wait may use five eighths of the reserve
    /// (Linux: a half for `__GFP_HIGH`, and a quarter of the rest for a caller that cannot block).
    #[inline]
    pub(super) fn last_mark(&self, gfp: Gfp) -> u64 {
        if gfp.contains(Gfp::ATOMIC) {
            let half = self.min - self.min / 2;
            half - half / 4
        } else {
            self.min
        }
    }
}

impl Zone {
    /// Whether a request for a block of `order` that may use zones up to `highest` leaves more than `mark` here.
    #[inline(always)]
    pub(super) fn leaves(&self, mark: u64, order: u8, highest: usize) -> bool {
        self.free >= mark + self.watermarks.lowmem_reserve[highest] + (1 << order)
            && self.order_with_block(order).is_some()
    }
}

/// Sets the watermarks of all zones from what they manage.
pub(super) fn set_watermarks(zones: &mut [Zone; ZONES]) {
    let total: u64 = zones.iter().map(|zone| zone.managed).sum();
    if total == 0 {
        return;
    }
    let min_free_kbytes = (total * 4 * 16).isqrt().clamp(MIN_FREE_KBYTES_FLOOR, MIN_FREE_KBYTES_CEILING);
    let min_frames = min_free_kbytes / 4;
    for index in 0..ZONES {
        let managed = zones[index].managed;
        let min = min_frames * managed / total;
        let distance = (min / 4).max(managed * WATERMARK_SCALE_FACTOR / 10_000);
        let mut lowmem_reserve = [0; ZONES];
        let mut above = 0;
        for highest in index + 1..ZONES {
            above += zones[highest].managed;
            lowmem_reserve[highest] = above / LOWMEM_RESERVE_RATIO[index];
        }
        zones[index].watermarks = Watermarks { min, low: min + distance, high: min + 2 * distance, lowmem_reserve };
    }
}
