//! What the guest's memory looks like and how its kernel manages it: all of it is told in the boot info.

use pagelab_abi::{
    boot::{BootFlags, BootInfo, MAX_NODES, Range, SlabDebug},
    code::{FrameAllocator, SlabAllocator, VmaIndex},
};

use super::memory::Extent;

/// Distance of a node to itself (ACPI's SLIT).
pub const LOCAL_DISTANCE: u8 = 10;
/// Distance between two nodes where nothing else is said.
pub const REMOTE_DISTANCE: u8 = 20;

/// NUMA nodes of equal size and how far they are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numa {
    /// Nodes, 1 to [`MAX_NODES`].
    pub nodes: u8,
    /// Distances by node and node.
    pub distance: [[u8; MAX_NODES]; MAX_NODES],
}

impl Numa {
    /// So many nodes, each as far from every other.
    pub fn new(nodes: u8) -> Numa {
        let mut distance = [[REMOTE_DISTANCE; MAX_NODES]; MAX_NODES];
        (0..MAX_NODES).for_each(|node| distance[node][node] = LOCAL_DISTANCE);
        Numa { nodes: nodes.clamp(1, MAX_NODES as u8), distance }
    }
}

impl Default for Numa {
    fn default() -> Self {
        Numa::new(1)
    }
}

/// Choices of the guest's memory management.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// How VMAs are found.
    pub vma_index: VmaIndex,
    /// vm.overcommit_memory: 0 refuses what is obviously too much, 1 nothing, 2 what exceeds the commit limit.
    pub overcommit: u8,
    /// NUMA nodes.
    pub numa: Numa,
    /// Bytes at the top of RAM that the direct map leaves out: zone HighMem.
    pub highmem: u64,
    /// Bytes for movable contents only: zone Movable.
    pub movable: u64,
    /// What hands out frames.
    pub frame_allocator: FrameAllocator,
    /// What hands out kernel objects.
    pub slab_allocator: SlabAllocator,
    /// Checks of kernel objects.
    pub slab_debug: SlabDebug,
    /// Do not keep migrate types apart.
    pub no_mobility_grouping: bool,
    /// vmalloc areas get their frames by faults.
    pub lazy_vmalloc: bool,
}

impl MemoryPolicy {
    /// Rows for the `run` view.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let yes_no = |value| if value { "yes" } else { "no" };
        [
            ("vma_index", self.vma_index.name().unwrap_or_default().to_owned()),
            ("overcommit_memory", self.overcommit.to_string()),
            ("numa_nodes", self.numa.nodes.to_string()),
            ("highmem_bytes", self.highmem.to_string()),
            ("movable_bytes", self.movable.to_string()),
            ("frame_allocator", self.frame_allocator.name().unwrap_or_default().to_owned()),
            ("slab_allocator", self.slab_allocator.name().unwrap_or_default().to_owned()),
            ("slab_debug", letters(self.slab_debug)),
            ("mobility_grouping", yes_no(!self.no_mobility_grouping).to_owned()),
            ("lazy_vmalloc", yes_no(self.lazy_vmalloc).to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Writes what the guest's kernel must know.
    pub(super) fn tell(&self, info: &mut BootInfo) {
        let mut flags = BootFlags::from_bits_retain(info.flags);
        flags.set(BootFlags::NO_MOBILITY_GROUPING, self.no_mobility_grouping);
        flags.set(BootFlags::LAZY_VMALLOC, self.lazy_vmalloc);
        info.flags = flags.bits();
        info.vma_index = self.vma_index;
        info.overcommit = self.overcommit;
        info.frame_allocator = self.frame_allocator;
        info.slab_allocator = self.slab_allocator;
        info.slab_debug = self.slab_debug.bits();
        info.movable = self.movable;
        info.highmem = self.highmem;
        info.node_count = self.numa.nodes.into();
        info.distance = self.numa.distance;
    }

    /// RAM by node: each has the same number of whole pages, and the last what is left over.
    pub(super) fn ranges(&self, ram: &[Extent]) -> Vec<Range> {
        let nodes = u64::from(self.numa.nodes);
        let total: u64 = ram.iter().map(|extent| extent.size).sum();
        let share = (total / nodes).next_multiple_of(pagelab_abi::layout::PAGE_SIZE);
        let mut ranges = Vec::new();
        let mut before = 0;
        for extent in ram {
            let mut at = 0;
            while at < extent.size {
                let node = ((before + at) / share).min(nodes - 1);
                let left = if node == nodes - 1 { u64::MAX } else { (node + 1) * share - (before + at) };
                let end = extent.size.min(at.saturating_add(left));
                ranges.push(Range {
                    start: extent.gpa + at,
                    end: extent.gpa + end,
                    node: node as u8,
                    ..Range::default()
                });
                at = end;
            }
            before += extent.size;
        }
        ranges
    }
}

/// The letters of Linux's `slab_debug=`, one for each check.
pub const SLAB_DEBUG_LETTERS: [(char, SlabDebug); 4] =
    [('F', SlabDebug::CHECKS), ('Z', SlabDebug::RED_ZONE), ('P', SlabDebug::POISON), ('U', SlabDebug::TRACK)];

fn letters(debug: SlabDebug) -> String {
    let set: String =
        SLAB_DEBUG_LETTERS.iter().filter(|(_, flag)| debug.contains(*flag)).map(|(letter, _)| *letter).collect();
    if set.is_empty() { "-".to_owned() } else { set }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1 << 20;

    fn nodes(count: u8, ram: &[(u64, u64)]) -> Vec<(u64, u64, u8)> {
        let ram: Vec<Extent> = ram.iter().map(|&(gpa, size)| Extent { gpa, host: 0, size }).collect();
        let policy = MemoryPolicy { numa: Numa::new(count), ..MemoryPolicy::default() };
        policy.ranges(&ram).into_iter().map(|range| (range.start, range.end, range.node)).collect()
    }

    #[test]
    fn nodes_share_ram_in_the_order_of_addresses() {
        assert_eq!(nodes(1, &[(0, 64 * M)]), [(0, 64 * M, 0)]);
        assert_eq!(nodes(2, &[(0, 128 * M)]), [(0, 64 * M, 0), (64 * M, 128 * M, 1)]);
        let (low, hole_end) = (3072 * M, 4096 * M);
        assert_eq!(
            nodes(2, &[(0, low), (hole_end, 1024 * M)]),
            [(0, 2048 * M, 0), (2048 * M, low, 1), (hole_end, hole_end + 1024 * M, 1)]
        );
        assert_eq!(nodes(3, &[(0, 100 * M)]).last().map(|range| range.1), Some(100 * M));
    }

    #[test]
    fn debug_letters_are_linuxs() {
        assert_eq!(letters(SlabDebug::all()), "FZPU");
        assert_eq!(letters(SlabDebug::empty()), "-");
    }
}
