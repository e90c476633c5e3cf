//! The buddy allocator of one zone: blocks, splitting, joining, and the mistakes it catches.

use pagelab_mm::{
    abi::{
        code::{FrameOp, MigrateType, Owner},
        vmstat::Counter,
    },
    frame::{FreeError, Gfp, MAX_ORDER, Mistake, OutOfMemory, PageState},
    machine::{Machine, Pfn},
};

use crate::machine::{SMALL, TestContext, context};

/// The rule that is broken.
fn rule(error: FreeError) -> Mistake {
    error.mistake
}

fn check(cx: &TestContext) {
    cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn blocks_are_aligned_and_described() {
    let mut cx = context(64 << 20);
    for order in 0..=MAX_ORDER {
        let pfn = cx.alloc_frames(order, Gfp::KERNEL, Owner::Buffer).expect("plenty is free");
        assert_eq!(pfn.0 % (1 << order), 0);
        let page = cx.machine.pages()[pfn.index()];
        assert_eq!((page.state, page.order, page.owner), (PageState::USED, order, Owner::Buffer));
        assert_eq!((page.refcount, page.mapcount, page.next, page.prev), (1, 0, 0, 0));
        check(&cx);
    }
    assert_eq!(cx.frames.owned(Owner::Buffer), 2047);
    assert_eq!(cx.frames.managed() - cx.frames.free(), 2047);
    assert_eq!(cx.alloc_frames(MAX_ORDER + 1, Gfp::KERNEL, Owner::Buffer), Err(OutOfMemory));
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn everything_joins_again() {
    let mut cx = context(64 << 20);
    let before: Vec<_> = cx.frames.zone_entries(&cx.machine).collect();
    let mut taken = Vec::new();
    while let Ok(pfn) = cx.alloc_frame(Gfp::ATOMIC | Gfp::MOVABLE, Owner::Anon) {
        taken.push(pfn);
    }
    check(&cx);
    for &pfn in taken.iter().step_by(2).chain(taken.iter().skip(1).step_by(2)) {
        cx.free_frames(pfn, 0).expect("allocated above");
    }
    cx.drain_all_pages();
    check(&cx);
    assert_eq!(cx.frames.zone_entries(&cx.machine).collect::<Vec<_>>(), before);
    assert_eq!(cx.stats.get(Counter::Pgfree), taken.len() as u64);
    let allocated = cx.stats.get(Counter::PgallocDma) + cx.stats.get(Counter::PgallocDma32);
    assert_eq!(allocated, taken.len() as u64);
}

#[test]
fn mistakes_change_nothing() {
    let mut cx = context(SMALL);
    let block = cx.alloc_frames(3, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    let single = cx.alloc_frame(Gfp::USER, Owner::Anon).expect("plenty is free");
    let freed = cx.alloc_frames(2, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    cx.free_frames(freed, 2).expect("allocated above");
    let free = cx.frames.free();
    let events = cx.trace.0.len();

    assert_eq!(cx.free_frames(block, 2).map_err(rule), Err(Mistake::WrongOrder { allocated: 3 }));
    assert_eq!(cx.free_frames(Pfn(block.0 + 1), 0).map_err(rule), Err(Mistake::NotHead { head: block }));
    assert_eq!(cx.free_frames(Pfn(block.0 + 6), 1).map_err(rule), Err(Mistake::NotHead { head: block }));
    assert_eq!(cx.free_frames(freed, 2).map_err(rule), Err(Mistake::DoubleFree));
    assert_eq!(cx.free_frames(Pfn(freed.0 + 3), 0).map_err(rule), Err(Mistake::DoubleFree));
    assert_eq!(cx.free_frames(Pfn(7), 0).map_err(rule), Err(Mistake::Reserved));
    assert_eq!(cx.free_frames(Pfn::NONE, 0).map_err(rule), Err(Mistake::Reserved));
    assert_eq!(cx.free_frames(Pfn((SMALL >> 12) as u32), 0).map_err(rule), Err(Mistake::Foreign));
    assert_eq!(cx.free_frames(Pfn(u32::MAX), 0).map_err(rule), Err(Mistake::Foreign));
    assert_eq!(cx.put_frame(freed).map_err(rule), Err(Mistake::DoubleFree));
    assert_eq!(cx.get_frame(Pfn(7)).map_err(rule), Err(Mistake::Reserved));

    cx.machine.pages_mut()[single.index()].mapcount = 2;
    assert_eq!(cx.free_frames(single, 0).map_err(rule), Err(Mistake::Mapped { mapcount: 2 }));
    assert_eq!(cx.put_frame(single).map_err(rule), Err(Mistake::Mapped { mapcount: 2 }));
    cx.machine.pages_mut()[single.index()].mapcount = 0;
    cx.get_frame(single).expect("allocated above");
    assert_eq!(cx.free_frames(single, 0).map_err(rule), Err(Mistake::Referenced { refcount: 2 }));

    assert_eq!((cx.frames.free(), cx.trace.0.len()), (free, events));
    check(&cx);
    assert_eq!(cx.put_frame(single), Ok(false));
    assert_eq!(cx.put_frame(single), Ok(true));
    assert_eq!(cx.put_frame(single).map_err(rule), Err(Mistake::DoubleFree));
    cx.free_frames(block, 3).expect("still allocated");
    check(&cx);
}

#[test]
fn events_name_the_caller() {
    let mut cx = context(SMALL);
    cx.trace.0.clear();
    let pfn = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Anon).expect("plenty is free");
    let line = line!() - 1;
    cx.put_frame(pfn).expect("allocated above");
    let [(alloc, alloc_site), (free, free_site)] = cx.trace.0[..] else { panic!("two events") };
    assert_eq!((alloc.op, alloc.pfn, alloc.frames), (FrameOp::Alloc, pfn.0, 1));
    assert_eq!((alloc.migratetype, alloc.owner), (MigrateType::Movable, Owner::Anon));
    assert_eq!(alloc.gfp, Gfp::HIGHUSER_MOVABLE.bits());
    assert_eq!((free.op, free.pfn, free.owner), (FrameOp::Free, pfn.0, Owner::Anon));
    assert_eq!((alloc_site.file(), alloc_site.line()), (file!(), line));
    assert_eq!(free_site.line(), line + 2);
}

#[test]
fn zero_means_zero() {
    let mut cx = context(SMALL);
    let pfn = cx.alloc_frames(1, Gfp::KERNEL, Owner::Buffer).expect("plenty is free");
    for frame in [pfn, Pfn(pfn.0 + 1)] {
        cx.machine.frame_mut(frame).0.fill(!0);
    }
    cx.free_frames(pfn, 1).expect("allocated above");
    assert_eq!(cx.alloc_frames(1, Gfp::KERNEL | Gfp::ZERO, Owner::Buffer), Ok(pfn), "the hottest block comes first");
    for frame in [pfn, Pfn(pfn.0 + 1)] {
        assert!(cx.machine.frame(frame).0.iter().all(|&word| word == 0));
    }
}
