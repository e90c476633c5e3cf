//! From memblock to buddy: the start of the frame allocator.

use core::panic::Location;

use pagelab_abi::{
    code::{FrameOp, MigrateType, Zone as ZoneCode},
    event,
    layout::PAGE_SHIFT,
    snapshot::ORDERS,
};

use super::{DMA_END, DMA32_END, Frames, MAX_ORDER, Page, ZONES, watermark, zone_index};
use crate::{
    context::Context,
    machine::Machine,
    memblock::{Memblock, Region},
    trace::Trace,
};

/// First frame of each zone, and the end of the last.
const BOUNDARIES: [u32; ZONES + 1] = [0, DMA_END, DMA32_END, u32::MAX];

impl<M: Machine, T: Trace> Context<M, T> {
    /// Sets up the zones, gives all RAM that is not reserved to the buddy allocators, and announces what is reserved.
    ///
    /// The `Page` array must be all zeros and reach from each zone's first frame of RAM to its last, holes between
    /// included. Only the first frame of each free block is touched.
    #[track_caller]
    pub fn init_frames(&mut self, memblock: &Memblock) {
        let call_site = Location::caller();
        self.frames = Frames::new();
        self.frames.span_zones(memblock);
        self.frames.fill_zones(self.machine.pages_mut(), memblock);
        watermark::set_watermarks(&mut self.frames.zones);
        for reserved in memblock.reserved_ram() {
            let (pfn, end) = frames_of(reserved);
            let event = event::Frame {
                pfn,
                frames: end - pfn,
                op: FrameOp::Announce,
                order: 0,
                zone: ZoneCode(zone_index(pfn) as u8),
                migratetype: MigrateType::Unmovable,
                owner: reserved.owner,
                padding: [0; 3],
                gfp: 0,
                call_site: 0,
                reserved: [0; 2],
            };
            self.trace.frame(event, call_site);
        }
    }
}

impl Frames {
    /// Finds out where each zone's RAM begins and ends and how much it is.
    fn span_zones(&mut self, memblock: &Memblock) {
        for ram in memblock.ram() {
            let (start, end) = frames_of(ram);
            for (index, zone) in self.zones.iter_mut().enumerate() {
                let (start, end) = (start.max(BOUNDARIES[index]), end.min(BOUNDARIES[index + 1]));
                if start >= end {
                    continue;
                }
                if zone.present == 0 {
                    zone.start = start;
                }
                zone.spanned = end - zone.start;
                zone.present += u64::from(end - start);
                self.highest = index;
            }
        }
    }

    /// Frees all RAM that is not reserved in the largest aligned blocks, lists in ascending order of address.
    fn fill_zones(&mut self, pages: &mut [Page], memblock: &Memblock) {
        let mut last = [[0u32; ORDERS]; ZONES];
        for free in memblock.free() {
            let (mut pfn, end) = frames_of(free);
            while pfn < end {
                let order = (pfn.trailing_zeros() as u8).min((end - pfn).ilog2() as u8).min(MAX_ORDER);
                let index = zone_index(pfn);
                self.append(pages, index, pfn, order, &mut last[index][usize::from(order)]);
                pfn += 1 << order;
            }
        }
    }

    /// Puts a block at the end of a list, whose last block so far is `last`.
    fn append(&mut self, pages: &mut [Page], index: usize, pfn: u32, order: u8, last: &mut u32) {
        let zone = &mut self.zones[index];
        let list = &mut zone.lists[usize::from(order)];
        list.count += 1;
        zone.nonempty |= 1 << order;
        zone.free += 1 << order;
        zone.managed += 1 << order;
        pages[pfn as usize].set_free(order, index as u8, 0, *last);
        if *last == 0 {
            list.head = pfn;
        } else {
            pages[*last as usize].next = pfn;
        }
        *last = pfn;
    }
}

/// First frame of a range and the first one after it.
fn frames_of(region: Region) -> (u32, u32) {
    ((region.start >> PAGE_SHIFT) as u32, (region.end >> PAGE_SHIFT) as u32)
}
