//! From memblock to the zones: the start of the frame allocator.

use core::panic::Location;

use pagelab_abi::{
    boot::MAX_NODES,
    code::{FrameOp, MigrateType},
    event,
    layout::PAGE_SHIFT,
    snapshot::{MIGRATE_TYPES, ORDERS, ZONES},
};

use super::{
    ALL_ZONES, Frames, FramesConfig, MAX_ORDER, Page, ZONE_CODES,
    config::Boundaries,
    pageblock::{MOVABLE, PAGEBLOCK_FRAMES},
    watermark,
    zonelist::ZoneList,
};
use crate::{
    context::Context,
    machine::Machine,
    memblock::{Memblock, Region},
    trace::Trace,
};

/// Frames that are too few to keep [`MIGRATE_TYPES`] apart: Linux's limit.
const TOO_FEW_FOR_GROUPING: u64 = PAGEBLOCK_FRAMES as u64 * MIGRATE_TYPES as u64;

impl<M: Machine, T: Trace> Context<M, T> {
    /// Sets up nodes and zones, gives all RAM that is not reserved to the zones' allocators, and announces what is
    /// reserved.
    ///
    /// The `Page` array must be all zeros and reach from frame 0 to the last of RAM. Only the first frame of each free
    /// block is touched.
    #[track_caller]
    pub fn init_frames(&mut self, config: &FramesConfig<'_>) {
        let call_site = Location::caller();
        let boundaries = config.boundaries();
        self.frames.reset(&boundaries);
        self.frames.span_zones(config.memblock, &boundaries);
        self.frames.fill_zones(self.machine.pages_mut(), config.memblock, &boundaries);
        self.frames.link_zones(config);
        for reserved in config.memblock.reserved_ram() {
            for_each_part(reserved, &boundaries, |id, pfn, end| {
                let event = event::Frame {
                    pfn,
                    frames: end - pfn,
                    op: FrameOp::Announce,
                    order: 0,
                    zone: ZONE_CODES[id % ZONES],
                    migratetype: MigrateType::Unmovable,
                    owner: reserved.owner,
                    padding: [0; 3],
                    gfp: 0,
                    call_site: 0,
                    reserved: [0; 2],
                };
                self.trace.frame(event, call_site);
            });
        }
    }
}

impl Frames {
    /// Forgets all zones.
    fn reset(&mut self, boundaries: &Boundaries) {
        *self = Frames::new();
        self.highmem_start = boundaries.highmem;
    }

    /// Finds out where each zone's RAM begins and ends and how much it is.
    fn span_zones(&mut self, memblock: &Memblock, boundaries: &Boundaries) {
        for ram in memblock.ram() {
            for_each_part(ram, boundaries, |id, start, end| {
                let zone = &mut self.zones[id];
                if zone.present == 0 {
                    zone.start = start;
                }
                zone.spanned = end - zone.start;
                zone.present += u64::from(end - start);
                zone.blocks.start = zone.start;
                zone.blocks.end = end;
            });
        }
        for (id, zone) in self.zones.iter_mut().enumerate().filter(|(_, zone)| zone.present > 0) {
            zone.blocks.zone = id as u8;
            let (start, end) = (zone.start, zone.start + zone.spanned);
            zone.blocks.pageblocks[MOVABLE] = end.div_ceil(PAGEBLOCK_FRAMES) - start / PAGEBLOCK_FRAMES;
            (zone.code, zone.node) = (ZONE_CODES[id % ZONES], (id / ZONES) as u8);
        }
    }

    /// Frees all RAM that is not reserved in the largest aligned blocks, lists in ascending order of address.
    fn fill_zones(&mut self, pages: &mut [Page], memblock: &Memblock, boundaries: &Boundaries) {
        let mut last = [[0u32; ORDERS]; ALL_ZONES];
        for free in memblock.free() {
            for_each_part(free, boundaries, |id, mut pfn, end| {
                while pfn < end {
                    let order = (pfn.trailing_zeros() as u8).min((end - pfn).ilog2() as u8).min(MAX_ORDER);
                    self.append(pages, id, pfn, order, &mut last[id][usize::from(order)]);
                    pfn += 1 << order;
                }
            });
        }
    }

    /// Puts a block at the end of a list, whose last block so far is `last`.
    fn append(&mut self, pages: &mut [Page], id: usize, pfn: u32, order: u8, last: &mut u32) {
        let zone = &mut self.zones[id];
        let list = &mut zone.blocks.lists[MOVABLE][usize::from(order)];
        list.count += 1;
        zone.blocks.nonempty[MOVABLE] |= 1 << order;
        zone.free += 1 << order;
        zone.managed += 1 << order;
        pages[pfn as usize].set_free(order, id as u8, 0, *last);
        if *last == 0 {
            list.head = pfn;
        } else {
            pages[*last as usize].next = pfn;
        }
        *last = pfn;
    }

    /// What follows from the zones' sizes: watermarks, the order in which requests look at them, grouping.
    fn link_zones(&mut self, config: &FramesConfig<'_>) {
        watermark::set_watermarks(&mut self.zones);
        self.populated = ZoneList::populated(&self.zones);
        self.managed = self.zones.iter().map(|zone| zone.managed).sum();
        self.grouping = config.mobility_grouping && self.managed >= TOO_FEW_FOR_GROUPING;
        for node in 0..MAX_NODES {
            let list = ZoneList::of_node(&self.zones, node, &config.distance);
            for highest in 0..ZONES {
                // Without any zone the request finds the one it wanted, which is empty.
                let first = list.allowed(highest, false).next().unwrap_or(node * ZONES + highest);
                self.first[node][highest] = first as u8;
            }
            self.lists[node] = list;
        }
    }
}

/// Calls with the zone's number, the first frame and the first after the last of each part of a range that lies in one
/// zone.
fn for_each_part(region: Region, boundaries: &Boundaries, mut call: impl FnMut(usize, u32, u32)) {
    let node = usize::from(region.node) % MAX_NODES;
    let (mut pfn, end) = ((region.start >> PAGE_SHIFT) as u32, (region.end >> PAGE_SHIFT) as u32);
    while pfn < end {
        let part_end = boundaries.next(pfn, node).min(end);
        call(node * ZONES + boundaries.zone(pfn, node), pfn, part_end);
        pfn = part_end;
    }
}
