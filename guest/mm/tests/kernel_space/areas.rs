//! Each way to make an area: what it maps, what it refuses, and what a mistake is answered with.

use pagelab_mm::{
    abi::{
        code::{Owner, VmallocOp},
        layout::{DEVICE_PAGE_PHYS, PAGE_OFFSET, VMALLOC_LIMIT, VMALLOC_START},
        snapshot::AreaFlags,
    },
    fault::Access,
    frame::{Gfp, Mistake},
    kernel_space::{BadUnmap, MapError, UnmapReason, Where},
    machine::{KernelFault, Machine, Pfn},
    page_table::{PageTables, Pte},
    sim::SimContext,
};

use crate::{LITTLE, PAGE, RAM, check, machine};

/// Frames in all hands but those of tables, which stay.
fn frames(cx: &SimContext) -> u64 {
    cx.frames.free() + cx.frames.owned(Owner::PageTable)
}

fn pte(cx: &SimContext, address: u64) -> Pte {
    cx.kernel.tables.get(&cx.machine, address)
}

#[test]
fn vmalloc_is_memory_with_a_guard_page_behind_it() {
    let mut cx = machine(RAM);
    let before = frames(&cx);
    let address = cx.vmalloc(3 * PAGE - 8).expect("room");
    assert_eq!(address, VMALLOC_START);
    let step = if cfg!(miri) { 73 } else { 1 };
    for word in (0..3 * 512u64).step_by(step) {
        cx.write_kernel_word(address + 8 * word, word * 3).expect("mapped");
    }
    for word in (0..3 * 512u64).step_by(step) {
        assert_eq!(cx.read_kernel_word(address + 8 * word), Ok(word * 3));
    }
    assert_eq!(cx.frames.owned(Owner::Vmalloc), 3);
    assert_eq!(cx.frames.mem_header().vmalloc, 3);
    let past = cx.read_kernel_word(address + 3 * PAGE).expect_err("a guard page");
    assert!(matches!(past.at, Where::Guard(area) if area.start == address && area.end == address + 4 * PAGE));
    assert!(past.to_string().contains("areas.rs"), "{past}");
    assert_eq!(cx.vmalloc(PAGE), Ok(address + 4 * PAGE), "the next area begins behind the guard");
    check(&mut cx);
    cx.vfree(address + 4 * PAGE).expect("an area");
    cx.vfree(address).expect("an area");
    check(&mut cx);
    assert_eq!(frames(&cx), before - 1, "the cache keeps one frame");
    assert_eq!(cx.area_count(), 0);
}

#[test]
fn vzalloc_is_zeros_where_somebody_wrote_before() {
    let mut cx = machine(RAM);
    let first = cx.vmalloc(4 * PAGE).expect("room");
    for page in 0..4 {
        cx.write_kernel_word(first + page * PAGE + 8, !0).expect("mapped");
    }
    cx.vfree(first).expect("an area");
    let second = cx.vzalloc(4 * PAGE).expect("room");
    assert_eq!(second, first, "the gap is found again");
    assert!((0..4).all(|page| cx.read_kernel_word(second + page * PAGE + 8) == Ok(0)));
}

#[test]
fn the_frames_of_an_area_are_found_by_its_addresses() {
    let mut cx = machine(RAM);
    let address = cx.vmalloc(2 * PAGE).expect("room");
    cx.write_kernel_word(address + PAGE + 16, 77).expect("mapped");
    let pfn = cx.vmalloc_to_pfn(address + PAGE + 16).expect("mapped");
    assert_eq!(cx.machine.frame(pfn).0[2], 77);
    assert_eq!(cx.machine.read_word(PAGE_OFFSET + pfn.address() + 16), Ok(77));
    assert_eq!(cx.vmalloc_to_pfn(address + 2 * PAGE), None, "the guard page has none");
    assert_eq!(cx.vmalloc_to_pfn(PAGE_OFFSET), None, "the direct map is no area");
    let entry = pte(&cx, address);
    assert!(!entry.is_user() && entry.is_nx() && entry.is_writable() && entry.0 & (1 << 8) == 0, "{entry:?}");
}

#[test]
#[cfg_attr(miri, ignore = "it maps a GiB, for which Miri needs minutes")]
fn an_address_space_made_before_an_area_has_it() {
    let mut cx = machine(RAM);
    let root = cx.kernel.tables.root;
    let process = PageTables::new_with_kernel_half(&mut cx, root).expect("a frame");
    // Beyond the first table of every level but the top one.
    let filler = cx.ioremap(0x10_0000_0000, (1 << 30) + PAGE).expect("room");
    let address = cx.vmalloc(PAGE).expect("room");
    assert!(address > filler + (1 << 30));
    let pfn = cx.vmalloc_to_pfn(address);
    assert_eq!(cx.machine.access(process.root, address, Access::Write, false).ok(), pfn);
    assert!(cx.machine.access(process.root, address, Access::Read, true).is_err(), "not for ring 3");
    cx.vfree(address).expect("an area");
    check(&mut cx);
    assert!(cx.machine.access(process.root, address, Access::Write, false).is_err(), "flushed everywhere");
}

#[test]
fn absurd_sizes_are_refused() {
    let mut cx = machine(RAM);
    for bytes in [0, RAM + 1, 1 << 40, u64::MAX] {
        assert_eq!(cx.vmalloc(bytes), Err(MapError::Size { bytes }));
    }
    let huge = VMALLOC_LIMIT - VMALLOC_START;
    assert_eq!(cx.ioremap(0x10_0000_0000, huge), Err(MapError::NoRoom), "no room for its guard");
    assert_eq!(cx.vmap(&[]), Err(MapError::Size { bytes: 0 }));
    assert_eq!(cx.area_count(), 0);
    check(&mut cx);
}

#[test]
fn what_fails_half_way_is_undone() {
    let mut cx = machine(LITTLE);
    let free = cx.frames.free();
    let before = frames(&cx);
    assert_eq!(cx.vmalloc(free * PAGE), Err(MapError::OutOfMemory), "the tables need frames too");
    assert_eq!(frames(&cx), before);
    assert_eq!((cx.area_count(), cx.frames.owned(Owner::Vmalloc)), (0, 0));
    check(&mut cx);
    let half = cx.vmalloc(free / 2 * PAGE).expect("room");
    cx.vfree(half).expect("an area");

    // A frame that is nobody's, behind frames that are.
    let mine: Vec<Pfn> = (0..5).map(|_| cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame")).collect();
    let gone = mine[4];
    cx.free_frames(gone, 0).expect("mine");
    let refused = cx.vmap(&mine).expect_err("one frame is free");
    assert!(matches!(refused, MapError::BadFrame { pfn, .. } if pfn == gone), "{refused}");
    mine[..4].iter().for_each(|&pfn| cx.free_frames(pfn, 0).expect("no reference is left"));
    check(&mut cx);
}

#[test]
fn a_second_vfree_is_told_with_both_places() {
    let mut cx = machine(RAM);
    let made = line!() + 1;
    let address = cx.vmalloc(PAGE).expect("room");
    let unmapped = line!() + 1;
    cx.vfree(address).expect("an area");
    let again = line!() + 1;
    let bad = cx.vfree(address).expect_err("freed already");
    let UnmapReason::AlreadyUnmapped { made: Some(by), unmapped: Some(first) } = bad.reason else { panic!("{bad}") };
    assert_eq!((by.line(), first.line(), bad.by.line()), (made, unmapped, again));
    assert_eq!(bad.to_string().matches("areas.rs").count(), 3, "{bad}");
    assert!(matches!(cx.where_is(address), Where::Unmapped { unmapped: Some(place), .. } if place.line() == unmapped));
    // Once another area is there, the address is that one's.
    assert_eq!(cx.vmalloc(PAGE), Ok(address));
    cx.vfree(address).expect("an area");
}

#[test]
fn wrong_addresses_are_told_and_change_nothing() {
    let mut cx = machine(RAM);
    let line = line!() + 1;
    let area = cx.vmalloc(2 * PAGE).expect("room");
    let device = cx.ioremap(DEVICE_PAGE_PHYS, PAGE).expect("room");
    let reason = |result: Result<(), BadUnmap>| result.expect_err("a mistake").reason;
    for inside in [area + 1, area + 8, area + PAGE, area + 2 * PAGE, area + 3 * PAGE - 1] {
        let found = reason(cx.vfree(inside));
        let UnmapReason::Inside(owned) = found else { panic!("{found:?}") };
        assert_eq!((owned.start, owned.made.map(|place| place.line())), (area, Some(line)));
    }
    for (nowhere, free) in [(0, true), (PAGE_OFFSET, true), (device + 2 * PAGE, false), (!0, true)] {
        let result = if free { cx.vfree(nowhere) } else { cx.iounmap(nowhere) };
        assert_eq!(reason(result), UnmapReason::NoArea);
    }
    assert!(matches!(reason(cx.vunmap(area)), UnmapReason::WrongKind(owned) if owned.flags == AreaFlags::ALLOC));
    assert!(matches!(reason(cx.iounmap(area)), UnmapReason::WrongKind(_)));
    assert!(matches!(reason(cx.vfree(device)), UnmapReason::WrongKind(owned) if owned.flags == AreaFlags::IOREMAP));
    check(&mut cx);
    assert_eq!(cx.area_count(), 2);
    cx.vfree(area).expect("still there");
    cx.iounmap(device).expect("still there");
}

#[test]
fn vmap_shows_frames_in_the_order_given() {
    let mut cx = machine(RAM);
    let frames: Vec<Pfn> = (0..4).map(|_| cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame")).collect();
    for (index, &pfn) in frames.iter().enumerate() {
        cx.machine.frame_mut(pfn).0[1] = index as u64;
    }
    let order = [3, 1, 1, 0].map(|index: usize| frames[index]);
    let address = cx.vmap(&order).expect("room");
    let seen: Vec<u64> = (0..4).map(|page| cx.read_kernel_word(address + page * PAGE + 8).expect("mapped")).collect();
    assert_eq!(seen, [3, 1, 1, 0]);
    cx.write_kernel_word(address + PAGE + 8, 55).expect("mapped");
    assert_eq!(cx.read_kernel_word(address + 2 * PAGE + 8), Ok(55), "one frame at two places");
    assert_eq!(cx.machine.frame(frames[1]).0[1], 55);
    assert_eq!(cx.frames.owned(Owner::Vmalloc), 0, "the frames are not the area's");

    let early = cx.free_frames(frames[3], 0).expect_err("the area has a reference");
    assert!(matches!(early.mistake, Mistake::Referenced { refcount: 2 }), "{early}");
    cx.vunmap(address).expect("an area");
    frames.iter().for_each(|&pfn| cx.free_frames(pfn, 0).expect("the references are gone"));
    check(&mut cx);
}

#[test]
fn vmap_of_a_block_holds_it_as_a_whole() {
    let mut cx = machine(RAM);
    let block = cx.alloc_frames(2, Gfp::KERNEL, Owner::Buffer).expect("a block");
    let address = cx.vmap(&[Pfn(block.0 + 3), Pfn(block.0 + 1)]).expect("room");
    cx.write_kernel_word(address, 9).expect("mapped");
    assert_eq!(cx.machine.frame(Pfn(block.0 + 3)).0[0], 9);
    assert!(cx.free_frames(block, 2).is_err(), "two references");
    cx.vunmap(address).expect("an area");
    cx.free_frames(block, 2).expect("the references are gone");
}

#[test]
fn vmap_over_an_area_is_told() {
    let mut cx = machine(RAM);
    let pfn = cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame");
    let line = line!() + 1;
    let area = cx.vmalloc(2 * PAGE).expect("room");
    // Over its pages, over its guard, and with its own guard over the area.
    let high = cx.vmap_at(area + 5 * PAGE, &[pfn]).expect("free");
    for place in [area, area + PAGE, area + 2 * PAGE] {
        let error = cx.vmap_at(place, &[pfn]).expect_err("not free");
        let MapError::Overlap { with: Some(owned) } = error else { panic!("{error}") };
        assert_eq!((owned.start, owned.made.map(|place| place.line())), (area, Some(line)));
    }
    for (place, frames) in [(area + 4 * PAGE, 1), (area + 3 * PAGE, 2)] {
        let error = cx.vmap_at(place, &vec![pfn; frames]).expect_err("the guard reaches into the next");
        assert!(matches!(error, MapError::Overlap { with: Some(owned) } if owned.start == high), "{error}");
    }
    for place in [VMALLOC_START - PAGE, VMALLOC_LIMIT - PAGE, area + 100, 0, !0] {
        assert_eq!(cx.vmap_at(place, &[pfn]), Err(MapError::Overlap { with: None }));
    }
    let between = cx.vmap_at(area + 3 * PAGE, &[pfn]).expect("a gap of two pages");
    check(&mut cx);
    [between, high].iter().for_each(|&at| cx.vunmap(at).expect("an area"));
    cx.free_frames(pfn, 0).expect("no reference is left");
    check(&mut cx);
}

#[test]
fn ioremap_shows_a_device_uncached() {
    let mut cx = machine(RAM);
    cx.machine.physical_mut(Pfn::of_address(DEVICE_PAGE_PHYS)).0[5] = 0xfeed;
    let address = cx.ioremap(DEVICE_PAGE_PHYS + 40, 8).expect("room");
    assert_eq!(address % PAGE, 40);
    assert_eq!(cx.read_kernel_word(address), Ok(0xfeed));
    cx.write_kernel_word(address, 1).expect("mapped");
    assert_eq!(cx.machine.physical(Pfn::of_address(DEVICE_PAGE_PHYS)).0[5], 1);
    let bits = pte(&cx, address).0;
    assert_eq!(bits & (Pte::CACHE_DISABLE | Pte::WRITE_THROUGH), Pte::CACHE_DISABLE | Pte::WRITE_THROUGH);
    let entry = cx.areas().next().expect("an area").entry();
    assert_eq!((entry.physical, entry.pages, entry.end - entry.start), (DEVICE_PAGE_PHYS, 0, 2 * PAGE));
    check(&mut cx);
    cx.iounmap(address).expect("an area");
    assert!(cx.read_kernel_word(address).is_err());
}

#[test]
fn ioremap_counts_the_pages_it_touches() {
    let mut cx = machine(RAM);
    for (offset, size, pages) in [(0, 1, 1), (0, PAGE, 1), (1, PAGE, 2), (PAGE - 1, 2, 2), (8, 3 * PAGE, 4)] {
        let address = cx.ioremap(0xfee0_0000 + offset, size).expect("a hole that RAM leaves");
        let area = cx.area_at(address).expect("an area");
        assert_eq!(area.guard() - area.start, pages * PAGE, "{size} bytes at {offset}");
        cx.iounmap(address).expect("an area");
    }
}

#[test]
fn ioremap_of_ram_is_refused() {
    let mut cx = machine(RAM);
    for (physical, size) in [(0, PAGE), (RAM - PAGE, PAGE), (RAM - 1, 2), (1 << 52, PAGE), (u64::MAX, 2)] {
        assert_eq!(cx.ioremap(physical, size), Err(MapError::NotADevice { physical }));
    }
    assert_eq!(cx.ioremap(RAM, 0), Err(MapError::Size { bytes: 0 }));
}

#[test]
fn a_lazy_area_gets_its_frames_by_faults() {
    let mut cx = machine(RAM);
    cx.kernel.lazy = true;
    // Frames that somebody wrote before.
    let dirty: Vec<Pfn> = (0..8).map(|_| cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame")).collect();
    dirty.iter().for_each(|&pfn| cx.machine.frame_mut(pfn).0.fill(!0));
    dirty.iter().for_each(|&pfn| cx.free_frames(pfn, 0).expect("mine"));

    let address = cx.vmalloc(8 * PAGE).expect("room");
    assert_eq!(cx.frames.owned(Owner::Vmalloc), 0);
    assert_eq!(cx.read_kernel_word(address + 3 * PAGE), Ok(0));
    cx.write_kernel_word(address + 5 * PAGE, 6).expect("the fault is served");
    assert_eq!(cx.read_kernel_word(address + 5 * PAGE), Ok(6));
    assert_eq!((cx.frames.owned(Owner::Vmalloc), cx.kernel.counts.faults), (2, 2));
    let faults: Vec<u64> = cx.trace.kernel_faults.iter().map(|(fault, _)| fault.address).collect();
    assert_eq!(faults, [address + 3 * PAGE, address + 5 * PAGE]);
    // Across two pages, one of which is there.
    let mut bytes = [1; 16];
    cx.read_kernel(address + 6 * PAGE - 8, &mut bytes).expect("the fault is served");
    assert_eq!((bytes, cx.kernel.counts.faults), ([0; 16], 3));
    assert_eq!(cx.areas().next().expect("an area").pages, 3);
    check(&mut cx);

    let guard = cx.read_kernel_word(address + 8 * PAGE).expect_err("a guard page");
    assert!(matches!(guard.at, Where::Guard(_)));
    cx.vfree(address).expect("an area");
    assert_eq!(cx.frames.owned(Owner::Vmalloc), 0);
    assert!(matches!(cx.read_kernel_word(address).expect_err("unmapped").at, Where::Unmapped { .. }));
    check(&mut cx);
}

#[test]
fn a_fault_that_no_frame_can_serve_is_told() {
    let mut cx = machine(LITTLE);
    cx.kernel.lazy = true;
    let address = cx.vmalloc(2 * PAGE).expect("room");
    while cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).is_ok() {}
    let bad = cx.write_kernel_word(address, 1).expect_err("no frame");
    assert!(matches!(bad.at, Where::OutOfMemory(area) if area.start == address), "{bad}");
    check(&mut cx);
}

#[test]
fn only_a_lazy_area_is_given_frames() {
    let mut cx = machine(RAM);
    let address = cx.vmalloc(PAGE).expect("room");
    let fault = |address| KernelFault { address, error_code: 3, rip: 0, tsc: 0 };
    let places = [address, address + PAGE, address + 2 * PAGE, 0, 0x1000, PAGE_OFFSET, !0];
    let found = places.map(|address| cx.kernel_fault(fault(address)).expect_err("not a lazy page").at);
    assert!(matches!(
        found,
        [
            Where::Area(_),
            Where::Guard(_),
            Where::Gap,
            Where::Elsewhere,
            Where::Elsewhere,
            Where::Elsewhere,
            Where::Elsewhere
        ]
    ));
    assert_eq!(cx.kernel.counts.faults, 0);
}

#[test]
fn every_change_is_an_event() {
    let mut cx = machine(RAM);
    let address = cx.vmalloc(2 * PAGE).expect("room");
    cx.vfree(address).expect("an area");
    cx.kernel.lazy = true;
    let lazy = cx.vmalloc(PAGE).expect("room");
    cx.write_kernel_word(lazy, 1).expect("the fault is served");
    let seen: Vec<_> = cx.trace.areas.iter().map(|event| (event.op, event.address, event.size, event.frames)).collect();
    assert_eq!(
        seen,
        [
            (VmallocOp::Map, address, 2 * PAGE, 2),
            (VmallocOp::Unmap, address, 2 * PAGE, 2),
            (VmallocOp::Map, lazy, PAGE, 0),
            (VmallocOp::Fault, lazy, PAGE, 1),
        ]
    );
    assert_eq!(cx.trace.areas[3].pfn, cx.vmalloc_to_pfn(lazy).expect("mapped").0);
    assert_eq!(cx.trace.in_use(Owner::Vmalloc), 1);
}

#[test]
fn a_flush_left_out_is_seen() {
    // One page is flushed by itself, many are flushed at once.
    for pages in [1, if cfg!(miri) { 34 } else { 40 }] {
        let mut cx = machine(RAM);
        let address = cx.vmalloc(pages * PAGE).expect("room");
        for page in 0..pages {
            cx.write_kernel_word(address + page * PAGE, 1).expect("mapped");
        }
        cx.machine.drop_flushes(true);
        cx.vfree(address).expect("an area");
        assert_eq!(cx.machine.read_word(address), Ok(1), "the stale translation serves");
        assert!(cx.machine.take_incoherence().len() >= pages as usize);
    }
}
