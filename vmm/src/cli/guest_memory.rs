//! The options of `pagelab run` and `pagelab test` about the guest's memory and how its kernel manages it.

use clap::Args;
use pagelab_abi::{
    boot::{MAX_NODES, SlabDebug},
    code::{FrameAllocator, SlabAllocator, VmaIndex},
};

use super::values;
use crate::vm::{MemoryPolicy, Numa, SLAB_DEBUG_LETTERS};

/// See [`MemoryPolicy`].
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The guest's memory")]
pub(super) struct GuestMemoryArgs {
    /// Guest memory, with suffix K, M or G [default: 64M, and 32M for tests].
    #[arg(long, value_name = "SIZE", value_parser = values::memory)]
    memory: Option<u64>,
    /// NUMA nodes and the memory of each, such as 2x64M, instead of --memory.
    #[arg(long, value_name = "NODESxSIZE", value_parser = nodes, conflicts_with = "memory")]
    numa: Option<Nodes>,
    /// How far node A is from node B, 11 to 254; a node's own memory is at 10, others at 20 unless said (repeatable).
    #[arg(long, value_name = "A-B=DISTANCE", value_parser = distance, requires = "numa")]
    numa_distance: Vec<Distance>,
    /// Keep that much at the top of memory out of the direct map: zone HighMem.
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = values::pages)]
    highmem: u64,
    /// Keep that much, shared by the nodes, for contents that can be moved: zone Movable.
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = values::pages)]
    movable: u64,
    /// What hands out frames: buddy (Linux's) or bitmap (one bit a frame).
    #[arg(long, value_name = "ALLOCATOR", default_value = "buddy", value_parser = frame_allocator)]
    frames: FrameAllocator,
    /// What hands out kernel objects: queued (like Linux's SLAB) or freelist (like its SLUB).
    #[arg(long, value_name = "ALLOCATOR", default_value = "queued", value_parser = slab_allocator)]
    slab: SlabAllocator,
    /// Check kernel objects, with the letters of Linux's slab_debug: F (consistency), Z (red zones), P (poison), U
    /// (who took and who freed each object).
    #[arg(long, value_name = "LETTERS", default_value = "-", value_parser = slab_debug)]
    slab_debug: SlabDebug,
    /// Do not keep movable, reclaimable and unmovable frames apart in pageblocks of their own.
    #[arg(long)]
    no_mobility_grouping: bool,
    /// Give a vmalloc area its frames at the first touch of each page, by a fault.
    #[arg(long)]
    lazy_vmalloc: bool,
    /// How the guest finds a VMA by its address: cached (the last one found, then the red-black tree), tree, or list
    /// (from the lowest address on).
    #[arg(long, value_name = "INDEX", default_value = "cached", value_parser = values::vma_index)]
    vma_index: VmaIndex,
    /// The guest's vm.overcommit_memory: 0 refuses a request for more than all memory, 1 nothing, 2 what exceeds half of
    /// memory.
    #[arg(long, value_name = "MODE", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    overcommit: u8,
}

impl GuestMemoryArgs {
    /// Bytes of RAM of a program's guest.
    pub(super) fn memory(&self) -> u64 {
        self.memory_or(64 << 20)
    }

    /// Bytes of RAM, so many where nobody says.
    pub(super) fn memory_or(&self, usual: u64) -> u64 {
        self.numa.map(|nodes| nodes.total).or(self.memory).unwrap_or(usual)
    }

    /// What the guest is told.
    ///
    /// # Errors
    /// Parts that are larger than the whole, and distances of nodes that are not there.
    pub(super) fn policy(&self) -> anyhow::Result<MemoryPolicy> {
        self.policy_for(self.memory())
    }

    /// [`GuestMemoryArgs::policy`] of a guest with so much RAM.
    pub(super) fn policy_for(&self, memory: u64) -> anyhow::Result<MemoryPolicy> {
        for (option, bytes) in [("--highmem", self.highmem), ("--movable", self.movable)] {
            if bytes > memory / 2 {
                anyhow::bail!(
                    "{option} takes {bytes} bytes of {memory}: leave at least half of the memory for the rest"
                );
            }
        }
        let mut numa = Numa::new(self.numa.map_or(1, |nodes| nodes.count));
        for &Distance { nodes: (a, b), distance } in &self.numa_distance {
            if a.max(b) >= numa.nodes {
                anyhow::bail!("--numa-distance {a}-{b}: there are nodes 0 to {}", numa.nodes - 1);
            }
            numa.distance[usize::from(a)][usize::from(b)] = distance;
            numa.distance[usize::from(b)][usize::from(a)] = distance;
        }
        Ok(MemoryPolicy {
            vma_index: self.vma_index,
            overcommit: self.overcommit,
            numa,
            highmem: self.highmem,
            movable: self.movable,
            frame_allocator: self.frames,
            slab_allocator: self.slab,
            slab_debug: self.slab_debug,
            no_mobility_grouping: self.no_mobility_grouping,
            lazy_vmalloc: self.lazy_vmalloc,
        })
    }
}

/// So many nodes and their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nodes {
    count: u8,
    total: u64,
}

/// `NODESxSIZE`.
fn nodes(text: &str) -> Result<Nodes, String> {
    let error = || format!("nodes are written NODESxSIZE, such as 2x64M, with 1 to {MAX_NODES} nodes");
    let (count, size) = text.split_once('x').ok_or_else(error)?;
    let count: u8 = count.parse().map_err(|_| error())?;
    if !(1..=MAX_NODES).contains(&usize::from(count)) {
        return Err(error());
    }
    let size = values::pages(size)?;
    let total = size.checked_mul(count.into()).ok_or_else(error)?;
    values::check_memory(total).map(|total| Nodes { count, total })
}

/// How far two nodes are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Distance {
    nodes: (u8, u8),
    distance: u8,
}

/// `A-B=DISTANCE`.
fn distance(text: &str) -> Result<Distance, String> {
    let parse = || {
        let (nodes, distance) = text.split_once('=')?;
        let (a, b) = nodes.split_once('-')?;
        Some(Distance { nodes: (a.parse().ok()?, b.parse().ok()?), distance: distance.parse().ok()? })
    };
    parse()
        .filter(|found| found.nodes.0 != found.nodes.1 && (11..=254).contains(&found.distance))
        .ok_or_else(|| "a distance is written A-B=DISTANCE, from 11 to 254, such as 0-1=21".to_owned())
}

fn frame_allocator(text: &str) -> Result<FrameAllocator, String> {
    FrameAllocator::from_name(text).ok_or_else(|| "one of buddy, bitmap".to_owned())
}

fn slab_allocator(text: &str) -> Result<SlabAllocator, String> {
    SlabAllocator::from_name(text).ok_or_else(|| "one of queued, freelist".to_owned())
}

/// Letters of [`SLAB_DEBUG_LETTERS`], or `-` for none.
fn slab_debug(text: &str) -> Result<SlabDebug, String> {
    if text == "-" {
        return Ok(SlabDebug::empty());
    }
    text.chars().try_fold(SlabDebug::empty(), |flags, letter| {
        let found = SLAB_DEBUG_LETTERS.iter().find(|(known, _)| *known == letter);
        found.map(|(_, flag)| flags | *flag).ok_or_else(|| "letters of FZPU, or - for none".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_a_count_and_a_size() {
        assert_eq!(nodes("2x64M"), Ok(Nodes { count: 2, total: 128 << 20 }));
        for bad in ["", "2", "x", "2x", "x64M", "0x64M", "5x64M", "2x1M", "2x64MB", "2x4097K1", "4x999999G"] {
            assert!(nodes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn distances_are_between_two_nodes() {
        assert_eq!(distance("0-1=21"), Ok(Distance { nodes: (0, 1), distance: 21 }));
        for bad in ["", "0-0=21", "0-1", "0-1=10", "0-1=255", "a-b=20", "0=1-20"] {
            assert!(distance(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_letters() {
        assert_eq!(slab_debug("FZPU"), Ok(SlabDebug::all()));
        assert_eq!(slab_debug("Z"), Ok(SlabDebug::RED_ZONE));
        assert_eq!(slab_debug("-"), Ok(SlabDebug::empty()));
        assert!(slab_debug("FX").is_err());
    }
}
