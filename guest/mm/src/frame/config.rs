//! How the machine's memory is divided: what [`Context::init_frames`](crate::context::Context::init_frames) is told.

use pagelab_abi::{
    boot::MAX_NODES,
    code::FrameAllocator,
    layout::{PAGE_SHIFT, PAGE_SIZE},
    snapshot::ZONES,
};

use super::{DMA_END, DMA32_END, MAX_ORDER, ZONE_HIGHMEM, ZONE_MOVABLE};
use crate::memblock::Memblock;

/// Distance of a node to itself (ACPI's SLIT).
const LOCAL_DISTANCE: u8 = 10;
/// Distance between two nodes where nothing else is said.
const REMOTE_DISTANCE: u8 = 20;

/// The machine's memory and how the allocator is to manage it.
#[derive(Debug)]
pub struct FramesConfig<'a> {
    /// RAM with its nodes, and what of it is in use. The allocator takes from it what it needs for itself.
    pub memblock: &'a mut Memblock,
    /// How far nodes are from each other: 10 is a node's own memory.
    pub distance: [[u8; MAX_NODES]; MAX_NODES],
    /// Bytes at the top of RAM's addresses that the direct map leaves out: zone HighMem.
    pub highmem: u64,
    /// Bytes for movable contents only, in all nodes together: zone Movable. Each node gives its share from the top of its
    /// highest zone, less what is needed to begin at a multiple of the largest block.
    pub movable: u64,
    /// Whether migrate types are kept apart in pageblocks. Too little RAM for that switches it off too.
    pub mobility_grouping: bool,
    /// What keeps the zones' free blocks.
    pub allocator: FrameAllocator,
}

impl<'a> FramesConfig<'a> {
    /// The usual way: no zones HighMem and Movable, migrate types kept apart, the buddy allocator.
    pub fn new(memblock: &'a mut Memblock) -> Self {
        let mut distance = [[REMOTE_DISTANCE; MAX_NODES]; MAX_NODES];
        (0..MAX_NODES).for_each(|node| distance[node][node] = LOCAL_DISTANCE);
        FramesConfig {
            memblock,
            distance,
            highmem: 0,
            movable: 0,
            mobility_grouping: true,
            allocator: FrameAllocator::Buddy,
        }
    }

    /// Where the zones of each node begin.
    pub(super) fn boundaries(&self) -> Boundaries {
        let highmem = (highmem_start(self.memblock, self.highmem) >> PAGE_SHIFT) as u32;
        let mut boundaries = Boundaries { highmem, movable: [u32::MAX; MAX_NODES] };
        let total: u64 = self.memblock.ram().map(|ram| ram.size()).sum();
        for node in 0..MAX_NODES {
            let size: u64 = self.memblock.ram().filter(|ram| usize::from(ram.node) == node).map(|ram| ram.size()).sum();
            if size == 0 || self.movable == 0 {
                continue;
            }
            let share = (u128::from(self.movable) * u128::from(size) / u128::from(total)) as u64;
            boundaries.movable[node] = self.movable_start(node, share, &boundaries);
        }
        boundaries
    }

    /// First frame of a node's zone Movable, which has up to `share` bytes.
    fn movable_start(&self, node: usize, share: u64, boundaries: &Boundaries) -> u32 {
        let (mut left, mut start, mut lowest) = (share >> PAGE_SHIFT, u32::MAX, 0);
        for index in 0..MAX_REGIONS {
            let regions = || self.memblock.ram().filter(|ram| usize::from(ram.node) == node);
            let Some(ram) = regions().count().checked_sub(index + 1).and_then(|from_top| regions().nth(from_top))
            else {
                break;
            };
            let (first, end) = ((ram.start >> PAGE_SHIFT) as u32, (ram.end >> PAGE_SHIFT) as u32);
            if index == 0 {
                lowest = boundaries.zone_start(boundaries.zone(end - 1, node));
            }
            let taken = left.min(u64::from(end - first)) as u32;
            left -= u64::from(taken);
            start = end - taken;
            if left == 0 {
                break;
            }
        }
        start.max(lowest).checked_next_multiple_of(1 << MAX_ORDER).unwrap_or(u32::MAX)
    }
}

/// Ranges of RAM that are looked at for zone Movable.
const MAX_REGIONS: usize = crate::memblock::MAX_RAM;

/// First address of the last `highmem` bytes below the end of RAM, in whole frames: the direct map ends there.
/// Where `highmem` is 0, an address that no RAM has.
pub fn highmem_start(memblock: &Memblock, highmem: u64) -> u64 {
    let end = memblock.ram().map(|ram| ram.end).max().unwrap_or(0);
    if highmem == 0 { crate::memblock::ADDRESS_LIMIT } else { end.saturating_sub(highmem) / PAGE_SIZE * PAGE_SIZE }
}

/// First frames of zones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundaries {
    /// Of zone HighMem.
    pub(super) highmem: u32,
    /// Of zone Movable, by node.
    movable: [u32; MAX_NODES],
}

impl Boundaries {
    /// The index of the zone that a node's frame is in.
    pub(super) fn zone(&self, pfn: u32, node: usize) -> usize {
        if pfn >= self.movable[node] {
            ZONE_MOVABLE
        } else if pfn >= self.highmem {
            ZONE_HIGHMEM
        } else {
            usize::from(pfn >= DMA_END) + usize::from(pfn >= DMA32_END)
        }
    }

    /// The first frame after `pfn` that may be in another zone of the node.
    pub(super) fn next(&self, pfn: u32, node: usize) -> u32 {
        let all = [DMA_END, DMA32_END, self.highmem, self.movable[node]];
        all.into_iter().filter(|&boundary| boundary > pfn).min().unwrap_or(u32::MAX)
    }

    /// First frame that a zone other than Movable can have.
    fn zone_start(&self, zone: usize) -> u32 {
        [0, DMA_END, DMA32_END, self.highmem, 0][zone % ZONES]
    }
}
