//! What every allocator of frames must do, buddy or bitmap: one suite, run over each.

use pagelab_mm::{
    abi::{
        code::{FrameAllocator, Owner},
        vmstat::Counter,
    },
    frame::{Gfp, MAX_ORDER, Mistake, OutOfMemory, PageState},
    machine::{Machine, Pfn},
};

use crate::machine::{Setup, TestContext};

/// Frames of RAM; Miri needs time for each.
const RAM: u32 = if cfg!(miri) { 512 } else { 8192 };
/// A frame of the last zone with many behind it. It may be the bitmap's own.
const MIDDLE: u32 = RAM / 2;
/// The largest blocks of which there is one, with one of each smaller order beside it.
const LARGEST: u8 = if cfg!(miri) { 6 } else { MAX_ORDER };

/// A machine under this allocator.
fn context(allocator: FrameAllocator) -> TestContext {
    Setup { allocator, ..Setup::new(u64::from(RAM) << 12) }.boot()
}

fn check(cx: &TestContext) {
    cx.check_frames().expect("the allocator's invariants hold");
}

/// Runs a test over every allocator.
macro_rules! conformance {
    ($($test:ident,)+) => {
        mod buddy {
            $(#[test] fn $test() { super::$test(super::FrameAllocator::Buddy); })+
        }
        mod bitmap {
            $(#[test] fn $test() { super::$test(super::FrameAllocator::Bitmap); })+
        }
    };
}

conformance! {
    blocks_are_aligned_and_described,
    exhaustion_hands_out_each_frame_once,
    all_comes_together_again,
    mistakes_change_nothing,
    counts_are_of_the_largest_blocks,
    drained_lists_make_blocks,
    a_freed_frame_is_the_next_to_be_taken,
}

fn blocks_are_aligned_and_described(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    for order in (0..=LARGEST).rev() {
        let pfn = cx.alloc_frames(order, Gfp::KERNEL, Owner::Buffer).expect("plenty is free");
        assert_eq!(pfn.0 % (1 << order), 0);
        let page = cx.machine.pages()[pfn.index()];
        assert_eq!((page.state, page.order, page.owner), (PageState::USED, order, Owner::Buffer));
        assert_eq!((page.refcount, page.mapcount, page.next, page.prev), (1, 0, 0, 0));
        if !cfg!(miri) || order == 0 {
            check(&cx);
        }
    }
    assert_eq!(cx.alloc_frames(MAX_ORDER + 1, Gfp::KERNEL, Owner::Buffer), Err(OutOfMemory));
    assert_eq!(cx.frames.owned(Owner::Buffer), (2 << LARGEST) - 1);
}

fn exhaustion_hands_out_each_frame_once(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    let gfp = Gfp::KERNEL | Gfp::MEMALLOC;
    let mut taken: Vec<Pfn> = std::iter::from_fn(|| cx.alloc_frame(gfp, Owner::Anon).ok()).collect();
    assert_eq!((cx.frames.free(), taken.len() as u64), (0, cx.frames.managed()));
    check(&cx);
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len() as u64, cx.frames.managed());
    // One frame back is one frame to have.
    let one = taken[taken.len() / 4];
    cx.free_frames(one, 0).expect("allocated above");
    assert_eq!(cx.alloc_frame(gfp, Owner::Anon), Ok(one));
    assert_eq!(cx.alloc_frame(gfp, Owner::Anon), Err(OutOfMemory));
}

fn all_comes_together_again(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    let blocks = |cx: &TestContext| -> Vec<_> {
        cx.frames.zone_entries(&cx.machine).map(|entry| (entry.free, entry.free_blocks)).collect()
    };
    let before = blocks(&cx);
    let mut taken = Vec::new();
    for step in 0u8.. {
        let order = [0, 3, 1, 0, 6, 0, 2, 10, 0, 7][usize::from(step) % 10];
        let Ok(pfn) = cx.alloc_frames(order, Gfp::ATOMIC | Gfp::MOVABLE, Owner::Anon) else { break };
        taken.push((pfn, order));
        if step == u8::MAX {
            break;
        }
    }
    check(&cx);
    for &(pfn, order) in taken.iter().step_by(2).chain(taken.iter().skip(1).step_by(2)) {
        cx.free_frames(pfn, order).expect("allocated above");
    }
    cx.drain_all_pages();
    check(&cx);
    assert_eq!(blocks(&cx), before);
    let frames: u64 = taken.iter().map(|(_, order)| 1u64 << order).sum();
    assert_eq!(cx.stats.get(Counter::Pgfree), frames);
}

fn mistakes_change_nothing(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    let block = cx.alloc_frames(3, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    let freed = cx.alloc_frames(2, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    cx.free_frames(freed, 2).expect("allocated above");
    let single = cx.alloc_frame(Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    cx.free_frames(single, 0).expect("allocated above");
    let (free, events) = (cx.frames.free(), cx.trace.0.len());
    let expected = [
        (block, 2, Mistake::WrongOrder { allocated: 3 }),
        (Pfn(block.0 + 5), 0, Mistake::NotHead { head: block }),
        (freed, 2, Mistake::DoubleFree),
        (single, 0, Mistake::DoubleFree),
        (Pfn(7), 0, Mistake::Reserved),
        (Pfn(RAM), 0, Mistake::Foreign),
    ];
    for (pfn, order, mistake) in expected {
        let error = cx.free_frames(pfn, order).expect_err("a mistake");
        assert_eq!((error.mistake, error.pfn), (mistake, pfn));
        assert_eq!((cx.frames.free(), cx.trace.0.len()), (free, events));
        check(&cx);
    }
    cx.free_frames(block, 3).expect("still allocated");
    check(&cx);
}

/// What is free is told in the largest aligned blocks, whatever the allocator keeps.
fn counts_are_of_the_largest_blocks(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    let mut taken = Vec::new();
    while let Ok(pfn) = cx.alloc_frame(Gfp::MEMALLOC | Gfp::KERNEL, Owner::Anon) {
        taken.push(pfn);
    }
    // Five frames from a multiple of four on, and 64 from a multiple of 64 on.
    for pfn in (MIDDLE + 4..MIDDLE + 9).chain(MIDDLE + 128..MIDDLE + 192) {
        cx.free_frames(Pfn(pfn), 0).expect("all are allocated");
    }
    cx.drain_all_pages();
    let entry = cx.frames.zone_entries(&cx.machine).last().expect("a zone");
    assert_eq!(entry.free_blocks, [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!((entry.free, entry.pcp_count), (69, 0));
    for (order, expected) in [(6, Some(MIDDLE + 128)), (2, Some(MIDDLE + 4)), (0, Some(MIDDLE + 8)), (0, None)] {
        let got = cx.alloc_frames(order, Gfp::MEMALLOC | Gfp::KERNEL, Owner::Anon);
        assert_eq!(got.ok(), expected.map(Pfn), "order {order}");
    }
}

/// Single frames on a CPU's list become a block again when one is wanted; not for who would rather fail.
fn drained_lists_make_blocks(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    while cx.alloc_frame(Gfp::MEMALLOC | Gfp::KERNEL, Owner::Anon).is_ok() {}
    for pfn in MIDDLE + 16..MIDDLE + 32 {
        cx.free_frames(Pfn(pfn), 0).expect("all are allocated");
    }
    let gfp = Gfp::MEMALLOC | Gfp::KERNEL;
    assert_eq!(cx.alloc_frames(4, gfp | Gfp::NORETRY, Owner::Anon), Err(OutOfMemory));
    assert_eq!(cx.alloc_frames(4, gfp, Owner::Anon), Ok(Pfn(MIDDLE + 16)));
    check(&cx);
}

fn a_freed_frame_is_the_next_to_be_taken(allocator: FrameAllocator) {
    let mut cx = context(allocator);
    let frames: Vec<Pfn> =
        (0..3).map(|_| cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Anon).expect("plenty is free")).collect();
    for &pfn in &frames {
        cx.put_frame(pfn).expect("allocated above");
    }
    for &pfn in frames.iter().rev() {
        assert_eq!(cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Anon), Ok(pfn));
    }
}
