//! Tests of zones and nodes: what each keeps from whom, where a request goes next, and what is there when nothing is left.

use pagelab_abi::{
    code::{FrameAllocator, Owner, Zone},
    layout::PAGE_SIZE,
    snapshot::{ZONES, ZoneEntry},
};
use pagelab_mm::{
    frame::{Gfp, PAGEBLOCK_ORDER},
    machine::Pfn,
};

use super::{
    check::{Failure, Outcome, ensure, ensure_eq},
    entry::{Machine, test},
    hog::Hog,
    report,
};
use crate::state::Kernel;

/// Mebibytes.
const fn mib(count: u64) -> u64 {
    count << 20
}

/// Frames of so many mebibytes.
const fn frames(mebibytes: u64) -> u32 {
    (mib(mebibytes) / PAGE_SIZE) as u32
}

/// A zone of node 0 as it is now.
fn zone(kernel: &Kernel, zone: Zone) -> Result<ZoneEntry, Failure> {
    let mut entries = kernel.mm.frames.zone_entries(&kernel.mm.machine);
    Ok(entries.find(|entry| entry.node == 0 && entry.zone == zone).ok_or("there is no such zone")?)
}

/// Frames of a zone that requests can still get: in its blocks, and on the CPUs' lists.
fn left(entry: &ZoneEntry) -> u64 {
    entry.free + u64::from(entry.pcp_count)
}

/// Takes all that requests for these zones can get, with ever fewer scruples, and looks at what is left each time: the
/// table in the documentation of `mm::frame`. `highest` is the index of the highest zone that `flags` allows.
fn exhaust(kernel: &mut Kernel, zones: &[Zone], flags: Gfp, highest: usize) -> Outcome {
    type Mark = fn(u64) -> u64;
    let steps: [(&str, Gfp, Mark); 3] = [
        ("who may wait", Gfp::KERNEL, |min| min),
        ("who is in a hurry", Gfp::KERNEL | Gfp::HIGH, |min| min - min / 2),
        ("who cannot wait", Gfp::ATOMIC, |min| min - min / 2 - (min - min / 2) / 4),
    ];
    let mut had = [0; ZONES];
    for (had, &code) in had.iter_mut().zip(zones) {
        *had = left(&zone(kernel, code)?);
    }
    let mut hog = Hog::new();
    for (who, gfp, mark) in steps {
        let before = hog.blocks;
        hog.take_all(kernel, gfp | flags);
        ensure!(hog.blocks > before, "nothing is kept for {who}");
        for (&code, had) in zones.iter().zip(had) {
            let entry = zone(kernel, code)?;
            // One that is smaller than its reserve is for nobody.
            let expected = had.min(mark(entry.watermark[0]) + entry.lowmem_reserve[highest]);
            ensure!(left(&entry) == expected, "{who} leaves {} frames in {code:?}, not {expected}", left(&entry));
        }
    }
    // Who must not fail gets what is left, one frame after the other.
    ensure!(hog.take(kernel, 0, 0, Gfp::KERNEL | Gfp::NOFAIL | flags), "__GFP_NOFAIL failed with frames left");
    hog.take_all(kernel, Gfp::KERNEL | Gfp::MEMALLOC | flags);
    for &code in zones {
        ensure_eq!(left(&zone(kernel, code)?), 0);
    }
    // And then nobody gets any: an error, not a hang.
    for gfp in [Gfp::KERNEL, Gfp::ATOMIC, Gfp::KERNEL | Gfp::NOFAIL, Gfp::KERNEL | Gfp::MEMALLOC] {
        kernel.mm.refused = None;
        ensure!(!hog.take(kernel, 0, 0, gfp | flags), "{gfp:?} found a frame where none is");
        let refused = kernel.mm.refused.map(|refused| (refused.order, refused.owner));
        ensure_eq!(refused, Some((0, Owner::Kernel)));
    }
    report::memory(kernel);
    // One block back is enough to go on.
    let (_, order) = hog.last();
    hog.give_one_back(kernel)?;
    ensure!(hog.take(kernel, 0, order, Gfp::KERNEL | Gfp::MEMALLOC | flags), "a frame that came back is not there");
    hog.give_back(kernel)
}

/// No zones but those below 4 GiB.
const PLAIN: Machine = Machine::ANY.memory(mib(32)).highmem(0).movable(0);

test!(exhaust_dma, "zones/exhaust_dma", PLAIN);
fn exhaust_dma(kernel: &mut Kernel) -> Outcome {
    exhaust(kernel, &[Zone::Dma], Gfp::DMA, 0)?;
    // Nothing of it was any other zone's.
    ensure!(zone(kernel, Zone::Dma32)?.free > u64::from(frames(15)));
    Ok(())
}

test!(exhaust_dma32, "zones/exhaust_dma32", PLAIN);
fn exhaust_dma32(kernel: &mut Kernel) -> Outcome {
    exhaust(kernel, &[Zone::Dma32, Zone::Dma], Gfp::DMA32, 1)
}

// A bitmap of so much memory is searched for minutes where ring 0 is emulated.
const LARGE: Machine = PLAIN.memory(mib(4096 + 256)).large().frames(FrameAllocator::Buddy);

test!(exhaust_normal, "zones/exhaust_normal", LARGE);
fn exhaust_normal(kernel: &mut Kernel) -> Outcome {
    exhaust(kernel, &[Zone::Normal, Zone::Dma32, Zone::Dma], Gfp::empty(), 2)
}

test!(exhaust_highmem, "zones/exhaust_highmem", PLAIN.memory(mib(40)).highmem(mib(8)));
fn exhaust_highmem(kernel: &mut Kernel) -> Outcome {
    exhaust(kernel, &[Zone::HighMem, Zone::Dma32, Zone::Dma], Gfp::HIGHMEM, 3)
}

test!(exhaust_movable, "zones/exhaust_movable", PLAIN.memory(mib(40)).movable(mib(8)));
fn exhaust_movable(kernel: &mut Kernel) -> Outcome {
    exhaust(kernel, &[Zone::Movable, Zone::Dma32, Zone::Dma], Gfp::HIGHMEM | Gfp::MOVABLE, 4)
}

test!(highmem_is_for_those_who_ask, "zones/highmem_is_for_those_who_ask", PLAIN.memory(mib(40)).highmem(mib(8)));
fn highmem_is_for_those_who_ask(kernel: &mut Kernel) -> Outcome {
    let user = kernel.mm.alloc_frame(Gfp::HIGHUSER, Owner::Kernel)?;
    ensure!(kernel.mm.frames.is_highmem(user), "frame {} for a program is not from HighMem", user.0);
    let mut hog = Hog::new();
    hog.take_all(kernel, Gfp::KERNEL | Gfp::MEMALLOC);
    ensure!(hog.all(kernel, |(pfn, _)| !kernel.mm.frames.is_highmem(pfn)), "the kernel got a frame it cannot reach");
    ensure!(zone(kernel, Zone::HighMem)?.free > 0);
    hog.give_back(kernel)?;
    kernel.mm.free_frames(user, 0)?;
    Ok(())
}

test!(movable_is_for_what_moves, "zones/movable_is_for_what_moves", PLAIN.memory(mib(40)).movable(mib(8)));
fn movable_is_for_what_moves(kernel: &mut Kernel) -> Outcome {
    let start = zone(kernel, Zone::Movable)?.start_pfn;
    let inside = |pfn: Pfn| u64::from(pfn.0) >= start;
    let movable = kernel.mm.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Kernel)?;
    let fixed = kernel.mm.alloc_frame(Gfp::HIGHUSER, Owner::Kernel)?;
    ensure!(inside(movable) && !inside(fixed), "frames {} and {}, zone Movable begins at {start}", movable.0, fixed.0);
    kernel.mm.free_frames(movable, 0)?;
    kernel.mm.free_frames(fixed, 0)?;
    Ok(())
}

/// Only Buddy keeps migrate types apart.
const GROUPING: Machine = PLAIN.frames(FrameAllocator::Buddy).mobility_grouping(true);

test!(types_have_blocks_of_their_own, "zones/types_have_blocks_of_their_own", GROUPING);
fn types_have_blocks_of_their_own(kernel: &mut Kernel) -> Outcome {
    let block = |pfn: Pfn| pfn.0 >> PAGEBLOCK_ORDER;
    let fixed = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    let movable = kernel.mm.alloc_frame(Gfp::KERNEL | Gfp::MOVABLE, Owner::Kernel)?;
    let reclaimable = kernel.mm.alloc_frame(Gfp::KERNEL | Gfp::RECLAIMABLE, Owner::Kernel)?;
    let blocks = [fixed, movable, reclaimable].map(block);
    ensure!(blocks[0] != blocks[1] && blocks[0] != blocks[2] && blocks[1] != blocks[2], "pageblocks {blocks:?}");
    for frame in [fixed, movable, reclaimable] {
        kernel.mm.free_frames(frame, 0)?;
    }
    Ok(())
}

/// Frames of each node in the tests of nodes.
const NODE: u32 = frames(16);
/// Three nodes: the last one is nearer to the first than the second.
const THREE: Machine = Machine::ANY.highmem(0).movable(0).nodes(
    3,
    mib(16),
    [[10, 30, 15, 20], [30, 10, 20, 20], [15, 20, 10, 20], [20, 20, 20, 10]],
);

test!(nearest_node_first, "zones/nearest_node_first", THREE);
fn nearest_node_first(kernel: &mut Kernel) -> Outcome {
    let mut hog = Hog::new();
    let (mut nodes, mut count) = ([u32::MAX; 3], 0);
    while count < nodes.len() {
        ensure!(hog.take(kernel, 0, 6, Gfp::KERNEL), "memory ended before each node had given some: {nodes:?}");
        let node = hog.last().0.0 / NODE;
        if !nodes.contains(&node) {
            nodes[count] = node;
            count += 1;
        }
    }
    ensure_eq!(nodes, [0, 2, 1]);
    hog.give_back(kernel)
}

test!(this_node_only, "zones/this_node_only", THREE);
fn this_node_only(kernel: &mut Kernel) -> Outcome {
    let mut hog = Hog::new();
    while hog.take(kernel, 1, 6, Gfp::KERNEL | Gfp::THISNODE) {}
    ensure!(hog.blocks > 32, "node 1 gave {} blocks of 64 frames", hog.blocks);
    ensure!(hog.all(kernel, |(pfn, _)| pfn.0 / NODE == 1), "a block is not node 1's");
    ensure!(hog.take(kernel, 1, 6, Gfp::KERNEL), "without __GFP_THISNODE another node has to do");
    ensure!(hog.last().0.0 / NODE != 1);
    hog.give_back(kernel)
}
