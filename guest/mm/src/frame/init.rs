//! From memblock to the zones: the start of the frame allocator.

use core::panic::Location;

use pagelab_abi::{
    boot::MAX_NODES,
    code::{FrameAllocator, FrameOp, MigrateType, Owner},
    event,
    layout::{PAGE_SHIFT, PAGE_SIZE},
    snapshot::{MIGRATE_TYPES, ORDERS, ZONES},
};

use super::{
    ALL_ZONES, Frames, FramesConfig, MAX_ORDER, ZONE_CODES, bitmap::Bitmap, buddy::Buddy, config::Boundaries,
    pageblock::PAGEBLOCK_FRAMES, store::Blocks, watermark, zonelist::ZoneList,
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
    ///
    /// # Panics
    /// When RAM is too small for what the allocator needs for itself: with the bitmap allocator, a frame for each zone and
    /// each 128 MiB.
    #[track_caller]
    pub fn init_frames(&mut self, config: FramesConfig<'_>) {
        let call_site = Location::caller();
        let boundaries = config.boundaries();
        self.frames.reset(&boundaries);
        self.frames.span_zones(config.memblock, &boundaries);
        self.frames.prepare_stores(config.memblock, config.allocator);
        self.frames.fill_zones(&mut self.machine, config.memblock, &boundaries);
        self.frames.link_zones(&config);
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
            });
        }
        for (id, zone) in self.zones.iter_mut().enumerate().filter(|(_, zone)| zone.present > 0) {
            (zone.code, zone.node, zone.zone) = (ZONE_CODES[id % ZONES], (id / ZONES) as u8, id as u8);
        }
    }

    /// Makes each zone's store, without a free frame. Bitmaps lie in frames of their own.
    fn prepare_stores(&mut self, memblock: &mut Memblock, allocator: FrameAllocator) {
        for zone in self.zones.iter_mut().filter(|zone| zone.present > 0) {
            let (start, end) = (zone.start, zone.start + zone.spanned);
            zone.blocks = if allocator == FrameAllocator::Bitmap {
                let frames = Bitmap::frames_for(Bitmap::words_for(start, end));
                let store = memblock.alloc(u64::from(frames) << PAGE_SHIFT, PAGE_SIZE, Owner::MemMap);
                let store = store.expect("RAM is too small for the zones' bitmaps") >> PAGE_SHIFT;
                Blocks::Bitmap(Bitmap::new(start, end, store as u32))
            } else {
                Blocks::Buddy(Buddy::new(zone.zone, start, end))
            };
        }
    }

    /// Frees all RAM that is not reserved in the largest aligned blocks, lists in ascending order of address.
    fn fill_zones<M: Machine>(&mut self, machine: &mut M, memblock: &Memblock, boundaries: &Boundaries) {
        let mut last = [[0u32; ORDERS]; ALL_ZONES];
        for free in memblock.free() {
            for_each_part(free, boundaries, |id, mut pfn, end| {
                let zone = &mut self.zones[id];
                zone.free += u64::from(end - pfn);
                zone.managed += u64::from(end - pfn);
                let buddy = match &mut zone.blocks {
                    Blocks::Buddy(buddy) => buddy,
                    Blocks::Bitmap(bitmap) => return bitmap.add(machine, pfn, end),
                };
                while pfn < end {
                    let order = (pfn.trailing_zeros() as u8).min((end - pfn).ilog2() as u8).min(MAX_ORDER);
                    buddy.append(machine.pages_mut(), pfn, order, &mut last[id][usize::from(order)]);
                    pfn += 1 << order;
                }
            });
        }
    }

    /// What follows from the zones' sizes: watermarks, the order in which requests look at them, grouping.
    fn link_zones(&mut self, config: &FramesConfig<'_>) {
        watermark::set_watermarks(&mut self.zones);
        for zone in &mut self.zones {
            let (managed, low) = (zone.managed, zone.watermarks.low);
            zone.set_quick_mark();
            zone.pcp.iter_mut().for_each(|pcp| pcp.set_size(managed, low));
        }
        self.populated = ZoneList::populated(&self.zones);
        self.managed = self.zones.iter().map(|zone| zone.managed).sum();
        // A bitmap has one kind of frames.
        let sorts = config.allocator == FrameAllocator::Buddy;
        self.grouping = sorts && config.mobility_grouping && self.managed >= TOO_FEW_FOR_GROUPING;
        for node in 0..MAX_NODES {
            let list = ZoneList::of_node(&self.zones, node, &config.distance);
            for highest in 0..ZONES {
                // Without a zone of its node the request finds the one it wanted, which is empty, and then looks further.
                let first = list.allowed(highest, true).next().unwrap_or(node * ZONES + highest);
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
