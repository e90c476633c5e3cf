//! How much of a zone requests must leave free: Linux's watermarks and lowmem reserve, with its default settings.
//!
//! See Linux's Documentation/admin-guide/sysctl/vm.rst: min_free_kbytes, watermark_scale_factor,
//! lowmem_reserve_ratio.

use pagelab_abi::snapshot::ZONES;

use super::{Gfp, ZONE_HIGHMEM, zone::Zone};

/// vm.lowmem_reserve_ratio: a zone keeps 1/ratio of the zones above it from requests that could be met there; 0 for none.
const LOWMEM_RESERVE_RATIO: [u64; ZONES] = [256, 256, 32, 0, 0];
/// vm.watermark_scale_factor: distance between the watermarks in 1/10000 of the zone, at least.
const WATERMARK_SCALE_FACTOR: u64 = 10;
/// Smallest min_free_kbytes that Linux computes.
const MIN_FREE_KBYTES_FLOOR: u64 = 128;
/// Largest min_free_kbytes that Linux computes.
const MIN_FREE_KBYTES_CEILING: u64 = 262_144;
/// Smallest min watermark of zones HighMem and Movable, whose reserve no kernel request needs.
const HIGH_MIN_FLOOR: u64 = 32;
/// Largest min watermark of these zones.
const HIGH_MIN_CEILING: u64 = 128;

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
    /// What a request must leave in the last attempt: half of min with [`Gfp::HIGH`], and a quarter less of that for a
    /// caller that cannot wait.
    pub(super) fn last_mark(&self, gfp: Gfp) -> u64 {
        if !gfp.contains(Gfp::HIGH) {
            return self.min;
        }
        let half = self.min - self.min / 2;
        if gfp.intersects(Gfp::DIRECT_RECLAIM | Gfp::NOMEMALLOC) { half } else { half - half / 4 }
    }
}

/// Sets the watermarks of all zones from what they manage. `zones` are those of whole nodes, [`ZONES`] each.
pub(super) fn set_watermarks(zones: &mut [Zone]) {
    let lowmem: u64 =
        zones.iter().enumerate().filter(|(id, _)| id % ZONES < ZONE_HIGHMEM).map(|(_, z)| z.managed).sum();
    let min_free_kbytes = (lowmem * 4 * 16).isqrt().clamp(MIN_FREE_KBYTES_FLOOR, MIN_FREE_KBYTES_CEILING);
    let min_frames = min_free_kbytes / 4;
    for node in zones.chunks_mut(ZONES) {
        for index in 0..ZONES {
            let managed = node[index].managed;
            if managed == 0 {
                continue;
            }
            let share = min_frames * managed / lowmem.max(1);
            let min =
                if index < ZONE_HIGHMEM { share } else { (managed / 1024).clamp(HIGH_MIN_FLOOR, HIGH_MIN_CEILING) };
            let distance = (share / 4).max(managed * WATERMARK_SCALE_FACTOR / 10_000);
            let mut lowmem_reserve = [0; ZONES];
            let mut above = 0;
            for highest in index + 1..ZONES {
                above += node[highest].managed;
                lowmem_reserve[highest] = above.checked_div(LOWMEM_RESERVE_RATIO[index]).unwrap_or(0);
            }
            node[index].watermarks = Watermarks { min, low: min + distance, high: min + 2 * distance, lowmem_reserve };
        }
    }
}
