//! One zone: how much it has, what it must keep, and who has the rest.

use pagelab_abi::{
    code::Zone as ZoneCode,
    snapshot::{MIGRATE_TYPES, ORDERS, OWNERS, ZoneEntry},
};

use super::{
    Gfp,
    pageblock::{MOVABLE, pageblocks_in},
    pcp::{CPUS, PerCpu},
    store::{BlockStore, Blocks},
    watermark::Watermarks,
};
use crate::machine::Machine;

/// A zone of a node. Frame numbers are absolute.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    /// Its free blocks.
    pub(super) blocks: Blocks,
    /// Each CPU's free frames.
    pub(super) pcp: [PerCpu; CPUS],
    /// Free frames, those on the CPUs' lists included.
    pub(super) free: u64,
    /// What requests must leave.
    pub(super) watermarks: Watermarks,
    /// The low watermark, and all that may be set aside of what is free.
    pub(super) quick_mark: u64,
    /// Frames of HighAtomic pageblocks.
    pub(super) high_atomic: u32,
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
    /// Its number.
    pub(super) zone: u8,
}

impl Zone {
    /// Whether a frame is between the zone's first and last.
    #[inline]
    pub(super) fn spans(&self, pfn: u32) -> bool {
        pfn.wrapping_sub(self.start) < self.spanned
    }

    /// Whether a request for a block of `order` that may use zones up to `highest` surely leaves the low watermark here.
    #[inline(always)]
    pub(super) fn has_plenty(&self, order: u8, highest: usize) -> bool {
        self.free >= self.quick_mark + self.watermarks.lowmem_reserve[highest] + (1 << order)
    }

    /// Whether it leaves `mark` frames here that it may have.
    pub(super) fn leaves(&self, mark: u64, order: u8, gfp: Gfp) -> bool {
        let reserve = self.watermarks.lowmem_reserve[gfp.highest_zone()];
        self.free >= mark + reserve + (1 << order) + self.unusable(gfp)
    }

    /// Sets what [`Zone::has_plenty`] looks at, from the low watermark and the HighAtomic reserve.
    pub(super) fn set_quick_mark(&mut self) {
        self.quick_mark = self.watermarks.low + u64::from(self.high_atomic);
    }

    /// Takes a block, a single frame from the CPU's list. The caller writes its `Page` afresh.
    #[inline(always)]
    pub(super) fn take<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: usize,
        order: u8,
        migrate_type: usize,
    ) -> Option<u32> {
        let pfn = if order > 0 {
            self.blocks.take(machine, order, migrate_type)?
        } else if let Some(pfn) = self.pcp[cpu].pop(machine.pages(), migrate_type) {
            pfn
        } else {
            self.refill(machine, cpu, migrate_type)?
        };
        self.free -= 1 << order;
        Some(pfn)
    }

    /// [`Zone::take`] for requests that may use the HighAtomic reserve, and those that may not.
    pub(super) fn take_as<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: usize,
        order: u8,
        migrate_type: usize,
        gfp: Gfp,
    ) -> Option<u32> {
        if !gfp.is_atomic() {
            return self.take(machine, cpu, order, migrate_type);
        }
        if order == 0 {
            return self.take(machine, cpu, order, migrate_type).or_else(|| self.take_reserved(machine, order));
        }
        self.take_reserved(machine, order).or_else(|| {
            let pfn = self.take(machine, cpu, order, migrate_type)?;
            self.reserve(machine, pfn, order);
            Some(pfn)
        })
    }

    /// Fetches a batch of frames for a CPU's list and returns the first. Another migrate type's are taken only if there is
    /// not one of this, and those on the CPU's other lists come last.
    #[cold]
    #[inline(never)]
    fn refill<M: Machine>(&mut self, machine: &mut M, cpu: usize, migrate_type: usize) -> Option<u32> {
        let Zone { blocks, pcp, zone, .. } = self;
        let pcp = &mut pcp[cpu];
        // One goes to the caller at once; the lists of other types may be long already.
        let batch = pcp.batch.min(pcp.high - pcp.count + 1);
        let Some((pfn, count)) = blocks.take_run(machine, migrate_type, batch, false) else {
            return pcp.pop_any(machine.pages());
        };
        let mut last = pcp.append_run(machine.pages_mut(), pfn + 1..pfn + count, 0, migrate_type, *zone);
        let mut left = batch - count;
        while left > 0
            && let Some((start, count)) = blocks.take_run(machine, migrate_type, left, true)
        {
            last = pcp.append_run(machine.pages_mut(), start..start + count, last, migrate_type, *zone);
            left -= count;
        }
        Some(pfn)
    }

    /// Takes a block back, a single frame to the CPU's list.
    #[inline(always)]
    pub(super) fn put<M: Machine>(&mut self, machine: &mut M, cpu: usize, pfn: u32, order: u8) {
        self.free += 1 << order;
        if order > 0 {
            self.blocks.put(machine, pfn, order);
            return;
        }
        let pcp = &mut self.pcp[cpu];
        pcp.push(machine.pages_mut(), pfn);
        if pcp.count > pcp.high {
            self.spill(machine, cpu, self.pcp[cpu].batch);
        }
    }

    /// Gives so many frames of a CPU's lists to the blocks.
    #[cold]
    #[inline(never)]
    fn spill<M: Machine>(&mut self, machine: &mut M, cpu: usize, count: u32) {
        for _ in 0..count {
            let Some(pfn) = self.pcp[cpu].pop_any(machine.pages()) else { break };
            self.blocks.put(machine, pfn, 0);
        }
    }

    /// Gives all frames of the CPUs' lists to the blocks.
    pub(super) fn drain<M: Machine>(&mut self, machine: &mut M) {
        (0..CPUS).for_each(|cpu| self.spill(machine, cpu, u32::MAX));
    }

    /// Pageblocks by migrate type.
    fn pageblocks(&self) -> [u64; MIGRATE_TYPES] {
        match &self.blocks {
            Blocks::Buddy(buddy) => buddy.pageblocks.map(u64::from),
            Blocks::Bitmap(_) => {
                let mut pageblocks = [0; MIGRATE_TYPES];
                pageblocks[MOVABLE] = pageblocks_in(self.start, self.start + self.spanned).into();
                pageblocks
            }
        }
    }

    /// Free frames on the CPUs' lists.
    pub(super) fn listed(&self) -> u64 {
        self.pcp.iter().map(|pcp| u64::from(pcp.count)).sum()
    }

    /// The zone as a snapshot shows it: as in Linux, what the CPUs' lists keep does not count as free there.
    pub(super) fn entry<M: Machine>(&self, machine: &M) -> ZoneEntry {
        let blocks_by_type = self.blocks.counts(machine);
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
            free: self.free - self.listed(),
            watermark: [self.watermarks.min, self.watermarks.low, self.watermarks.high],
            lowmem_reserve: self.watermarks.lowmem_reserve,
            free_blocks,
            blocks_by_type,
            pageblocks: self.pageblocks(),
            owned: self.owned.map(u64::from),
            pcp_count: self.pcp[0].count,
            pcp_high: self.pcp[0].high,
            pcp_batch: self.pcp[0].batch,
            ..ZoneEntry::default()
        }
    }
}
