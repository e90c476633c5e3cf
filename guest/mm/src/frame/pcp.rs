//! A CPU's lists of single frames of a zone: most requests are for one frame, and one that was just freed is the best
//! answer.
//!
//! ```text
//!   heads[type] -> frame -> frame -> ...      at most `high` frames in all lists together
//!        ^ refilled `batch` frames at a time from the zone's blocks
//!        v spilled `batch` frames at a time to them, when more than `high` are there
//! ```
//!
//! The frames on the lists can still be had, but are in no block: MemFree leaves them out, as in Linux. They are
//! [`PageState::PCP`], and are joined with their buddies only when they are spilled. A list gives out first what it got
//! last; a refill gives out ascending frames.

use super::{
    Page, PageState,
    pageblock::{MOVABLE, REQUEST_TYPES, pageblock_type},
};

/// CPUs.
pub(super) const CPUS: usize = 1;
/// A list takes or gives one frame in this many of its zone at a time...
const BATCH_RATIO: u64 = 512;
/// ... but no more than this.
const MAX_BATCH: u64 = 32;
/// Batches that a list can hold at least.
const MIN_BATCHES: u64 = 4;

/// One CPU's lists.
#[derive(Clone, Debug, Default)]
pub(super) struct PerCpu {
    /// First frame of each list; 0 = none.
    pub(super) heads: [u32; REQUEST_TYPES],
    /// Frames on the lists.
    pub(super) count: u32,
    /// Most frames on the lists.
    pub(super) high: u32,
    /// Frames taken or given at a time.
    pub(super) batch: u32,
}

impl PerCpu {
    /// Sizes the lists for a zone: a batch is a power of two, and the lists hold what Linux's do, the low watermark.
    pub(super) fn set_size(&mut self, managed: u64, low: u64) {
        let batch = (managed / BATCH_RATIO).clamp(1, MAX_BATCH);
        let batch = 1 << batch.ilog2();
        self.batch = batch;
        self.high = u32::try_from(low).unwrap_or(u32::MAX).max(batch * MIN_BATCHES as u32);
    }

    /// Takes the frame that came last to the list of this type.
    #[inline(always)]
    pub(super) fn pop(&mut self, pages: &[Page], migrate_type: usize) -> Option<u32> {
        let pfn = self.heads[migrate_type];
        if pfn == 0 {
            return None;
        }
        self.heads[migrate_type] = pages[pfn as usize].next;
        self.count -= 1;
        Some(pfn)
    }

    /// Takes a frame of any type.
    pub(super) fn pop_any(&mut self, pages: &[Page]) -> Option<u32> {
        (0..REQUEST_TYPES).find_map(|migrate_type| self.pop(pages, migrate_type))
    }

    /// Puts a frame that is freed first in the list of its pageblock's type. What is set aside goes with Movable.
    #[inline(always)]
    pub(super) fn push(&mut self, pages: &mut [Page], pfn: u32) {
        let migrate_type = pageblock_type(pages, pfn);
        let head = &mut self.heads[if migrate_type < REQUEST_TYPES { migrate_type } else { MOVABLE }];
        let page = &mut pages[pfn as usize];
        page.state = PageState::PCP;
        page.owner = pagelab_abi::code::Owner::None;
        page.next = *head;
        *head = pfn;
        self.count += 1;
    }

    /// Puts a run of frames behind `last`, or first in an empty list. Returns the run's last frame.
    pub(super) fn append_run(
        &mut self,
        pages: &mut [Page],
        run: core::ops::Range<u32>,
        last: u32,
        migrate_type: usize,
        zone: u8,
    ) -> u32 {
        let mut before = last;
        for pfn in run {
            let page = &mut pages[pfn as usize];
            page.set_free(0, zone, 0, 0);
            page.state = PageState::PCP;
            match before {
                0 => self.heads[migrate_type] = pfn,
                _ => pages[before as usize].next = pfn,
            }
            before = pfn;
            self.count += 1;
        }
        before
    }
}
