//! Migrate types: how requests of one type keep to pageblocks of their own, and what they do when there is none.

use pagelab_mm::{
    abi::{code::Owner, snapshot::ZoneEntry},
    frame::Gfp,
    machine::Pfn,
};

use crate::machine::{Setup, TestContext};

const UNMOVABLE: usize = 0;
const MOVABLE: usize = 1;
const RECLAIMABLE: usize = 2;
/// Frames of a pageblock.
const BLOCK: u32 = 512;
const ALL: Gfp = Gfp::MEMALLOC;

/// One zone: 12 MiB, the first MiB reserved. Six pageblocks, the first half reserved.
fn context() -> TestContext {
    Setup::new(12 << 20).boot()
}

fn entry(cx: &TestContext) -> ZoneEntry {
    cx.check_frames().expect("the allocator's invariants hold");
    cx.frames.zone_entries(&cx.machine).next().expect("zone DMA")
}

/// Takes all of memory in single frames, in ascending order.
fn take_all(cx: &mut TestContext, gfp: Gfp) -> Vec<Pfn> {
    let mut taken: Vec<_> = std::iter::from_fn(|| cx.alloc_frame(gfp | ALL, Owner::Anon).ok()).collect();
    taken.sort();
    taken
}

fn free(cx: &mut TestContext, frames: impl IntoIterator<Item = u32>) {
    for pfn in frames {
        cx.free_frames(Pfn(pfn), 0).expect("all is allocated");
    }
    cx.drain_all_pages();
}

#[test]
fn the_first_request_of_a_type_claims_whole_pageblocks() {
    let mut cx = context();
    assert_eq!(entry(&cx).pageblocks, [0, 6, 0, 0, 0]);
    // The largest free block, order 10, is two pageblocks.
    let kernel = cx.alloc_frame(Gfp::KERNEL, Owner::PageTable).expect("plenty is free");
    assert_eq!(entry(&cx).pageblocks, [2, 4, 0, 0, 0]);
    let user = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Anon).expect("plenty is free");
    let cache = cx.alloc_frame(Gfp::KERNEL | Gfp::RECLAIMABLE, Owner::Slab).expect("plenty is free");
    assert_eq!(entry(&cx).pageblocks, [2, 2, 2, 0, 0]);
    let mut blocks = [kernel, user, cache].map(|pfn| pfn.0 / BLOCK);
    blocks.sort_unstable();
    assert!(blocks.windows(2).all(|pair| pair[0] != pair[1]), "types share a pageblock: {blocks:?}");
    // The second of a type stays where the first is.
    let next = cx.alloc_frames(3, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    assert_eq!(next.0 / BLOCK, kernel.0 / BLOCK);
}

#[test]
#[cfg_attr(miri, ignore = "all of memory in single frames, for which Miri needs minutes")]
fn a_small_hole_is_used_without_its_pageblock() {
    let mut cx = context();
    take_all(&mut cx, Gfp::HIGHUSER_MOVABLE);
    // 8 free frames in a pageblock full of movable contents.
    free(&mut cx, 1024 + 64..1024 + 72);
    let before = entry(&cx);
    assert_eq!(before.blocks_by_type[MOVABLE][3], 1);
    let pfn = cx.alloc_frames(1, Gfp::KERNEL | ALL, Owner::Slab).expect("8 frames are free");
    let after = entry(&cx);
    assert_eq!((pfn, after.pageblocks), (Pfn(1024 + 64), before.pageblocks));
    // What is left of the block is still Movable.
    assert_eq!(after.blocks_by_type[MOVABLE][..3], [0, 1, 1]);
    assert_eq!(after.blocks_by_type[UNMOVABLE], [0; 11]);
}

#[test]
#[cfg_attr(miri, ignore = "all of memory in single frames, for which Miri needs minutes")]
fn a_pageblock_half_free_is_claimed() {
    let mut cx = context();
    take_all(&mut cx, Gfp::HIGHUSER_MOVABLE);
    // Every other frame of a pageblock, its last too, and two adjacent ones: 257 are free, 255 movable ones stay.
    free(&mut cx, (1025..1536).step_by(2).chain([1026]));
    assert_eq!(entry(&cx).blocks_by_type[MOVABLE][..2], [255, 1]);
    cx.alloc_frames(1, Gfp::KERNEL | ALL, Owner::Slab).expect("one pair is free");
    let after = entry(&cx);
    assert_eq!(after.pageblocks[UNMOVABLE], 1);
    assert_eq!((after.blocks_by_type[UNMOVABLE][0], after.blocks_by_type[MOVABLE][0]), (255, 0));
}

#[test]
#[cfg_attr(miri, ignore = "all of memory in single frames, for which Miri needs minutes")]
fn unmovable_contents_of_a_movable_pageblock_are_alike() {
    let mut cx = context();
    // Grouping in vain: all of memory is unmovable, then one pageblock is given back, to become Movable.
    take_all(&mut cx, Gfp::KERNEL);
    free(&mut cx, 1024..1536);
    let movable = take_all(&mut cx, Gfp::HIGHUSER_MOVABLE);
    assert_eq!((movable.len(), entry(&cx).pageblocks[MOVABLE]), (512, 1));
    free(&mut cx, 1024..1280);
    // Kernel memory in it. All but 16 frames: 240 of 512 are unmovable, 256 movable, 16 free.
    for _ in 0..240 {
        cx.alloc_frame(Gfp::KERNEL | ALL, Owner::Slab).expect("256 frames are free");
    }
    cx.drain_all_pages();
    let entry = entry(&cx);
    assert_eq!((entry.free, entry.pageblocks[MOVABLE]), (16, 0));
}

#[test]
#[cfg_attr(miri, ignore = "all of memory in single frames, for which Miri needs minutes")]
fn a_movable_request_takes_the_smallest_block_of_others() {
    let mut cx = context();
    take_all(&mut cx, Gfp::KERNEL);
    // A single frame in one pageblock, 8 in another.
    free(&mut cx, [600].into_iter().chain(1024 + 64..1024 + 72));
    assert_eq!(entry(&cx).blocks_by_type[UNMOVABLE][..4], [1, 0, 0, 1]);
    assert_eq!(cx.alloc_frame(Gfp::HIGHUSER_MOVABLE | ALL, Owner::Anon), Ok(Pfn(600)));
    assert_eq!(entry(&cx).pageblocks[MOVABLE], 0);
    // An unmovable one takes the largest.
    let mut cx = context();
    take_all(&mut cx, Gfp::HIGHUSER_MOVABLE);
    free(&mut cx, [600].into_iter().chain(1024 + 64..1024 + 72));
    assert_eq!(cx.alloc_frame(Gfp::KERNEL | ALL, Owner::Slab), Ok(Pfn(1024 + 64)));
}

#[test]
#[cfg_attr(miri, ignore = "all of memory in single frames, for which Miri needs minutes")]
fn fallbacks_have_an_order() {
    let mut cx = context();
    take_all(&mut cx, Gfp::KERNEL);
    free(&mut cx, 1024..1536);
    take_all(&mut cx, Gfp::KERNEL | Gfp::RECLAIMABLE);
    free(&mut cx, 1536..2048);
    take_all(&mut cx, Gfp::HIGHUSER_MOVABLE);
    assert_eq!(entry(&cx).pageblocks, [4, 1, 1, 0, 0]);
    let holes = [600, 1100, 1600];
    free(&mut cx, holes);
    let by_type = entry(&cx).blocks_by_type;
    assert_eq!([UNMOVABLE, MOVABLE, RECLAIMABLE].map(|of| by_type[of][0]), [1, 1, 1]);
    // Its own first, then Reclaimable, then Movable.
    let taken = [(); 3].map(|()| cx.alloc_frame(Gfp::KERNEL | ALL, Owner::Slab).map(|pfn| pfn.0));
    assert_eq!(taken, [Ok(600), Ok(1100), Ok(1600)]);
    free(&mut cx, holes);
    let movable = Gfp::HIGHUSER_MOVABLE | ALL;
    let taken = [(); 3].map(|()| cx.alloc_frame(movable, Owner::Slab).map(|pfn| pfn.0));
    assert_eq!(taken, [Ok(1600), Ok(1100), Ok(600)]);
    free(&mut cx, holes);
    let reclaimable = Gfp::KERNEL | Gfp::RECLAIMABLE | ALL;
    let taken = [(); 3].map(|()| cx.alloc_frame(reclaimable, Owner::Slab).map(|pfn| pfn.0));
    assert_eq!(taken, [Ok(1100), Ok(600), Ok(1600)]);
}

#[test]
fn without_grouping_all_is_movable() {
    for (setup, groups) in [
        (Setup { grouping: false, ..Setup::new(12 << 20) }, false),
        // Five times 512 frames are needed, and the first MiB is reserved.
        (Setup::new((11 << 20) - 4096), false),
        (Setup::new(11 << 20), true),
    ] {
        let mut cx = setup.clone().boot();
        assert_eq!(cx.frames.groups_by_mobility(), groups);
        for gfp in [Gfp::KERNEL, Gfp::HIGHUSER_MOVABLE, Gfp::KERNEL | Gfp::RECLAIMABLE] {
            cx.alloc_frames(1, gfp, Owner::Slab).expect("plenty is free");
        }
        let movable = entry(&cx).pageblocks[MOVABLE];
        assert_eq!(movable == 6, !groups, "{movable} pageblocks are Movable");
    }
}

const HIGH_ATOMIC: usize = 3;

/// 256 MiB: DMA32 is large enough for a reserve, DMA is not.
fn large() -> TestContext {
    Setup::new(256 << 20).boot()
}

fn dma32(cx: &TestContext) -> ZoneEntry {
    cx.check_frames().expect("the allocator's invariants hold");
    cx.frames.zone_entries(&cx.machine).nth(1).expect("zone DMA32")
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn who_cannot_wait_gets_a_reserve_of_blocks() {
    let mut cx = large();
    let first = cx.alloc_frames(3, Gfp::ATOMIC, Owner::Buffer).expect("plenty is free");
    let entry = dma32(&cx);
    assert_eq!((entry.pageblocks[HIGH_ATOMIC], entry.blocks_by_type[HIGH_ATOMIC].iter().sum::<u64>() > 0), (1, true));
    // Met from the reserve, which does not grow for it.
    let second = cx.alloc_frames(3, Gfp::ATOMIC, Owner::Buffer).expect("the reserve has it");
    assert_eq!((second.0 / BLOCK, dma32(&cx).pageblocks[HIGH_ATOMIC]), (first.0 / BLOCK, 1));
    // Up to two pageblocks: 61,440 frames / 100, rounded up to whole ones.
    for _ in 0..300 {
        cx.alloc_frames(3, Gfp::ATOMIC, Owner::Buffer).expect("plenty is free");
    }
    assert_eq!(dma32(&cx).pageblocks[HIGH_ATOMIC], 2);
    // A single frame is not what the reserve is for, nor is who may wait, nor a zone of 16 MiB.
    let mut cx = large();
    cx.alloc_frame(Gfp::ATOMIC, Owner::Buffer).expect("plenty is free");
    cx.alloc_frames(3, Gfp::KERNEL | Gfp::HIGH, Owner::Buffer).expect("plenty is free");
    cx.alloc_frames(3, Gfp::ATOMIC | Gfp::DMA, Owner::Buffer).expect("plenty is free");
    assert_eq!(dma32(&cx).pageblocks[HIGH_ATOMIC], 0);
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn the_reserve_is_given_back_before_others_fail() {
    let mut cx = large();
    let kept = cx.alloc_frames(3, Gfp::ATOMIC, Owner::Buffer).expect("plenty is free");
    let only = Gfp::THISNODE | Gfp::NOMEMALLOC;
    // Who cannot wait either, but has no right to it, leaves the reserve alone.
    while cx.alloc_frame(Gfp::KSWAPD_RECLAIM | only, Owner::Anon).is_ok() {}
    let entry = dma32(&cx);
    let reserved: u64 = (0u32..).zip(entry.blocks_by_type[HIGH_ATOMIC]).map(|(order, count)| count << order).sum();
    assert_eq!((reserved, entry.free), (504, entry.watermark[0] + 504));
    cx.alloc_frame(Gfp::KERNEL | only, Owner::Anon).expect("a pageblock of the reserve");
    assert_eq!(dma32(&cx).pageblocks[HIGH_ATOMIC], 0);
    while cx.alloc_frame(Gfp::KERNEL | only, Owner::Anon).is_ok() {}
    let left = dma32(&cx);
    assert_eq!(left.free + u64::from(left.pcp_count), entry.watermark[0]);
    cx.free_frames(kept, 3).expect("still allocated");
    dma32(&cx);
}
