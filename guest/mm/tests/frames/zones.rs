//! Zones: where RAM goes at boot, watermarks, and which zone meets which request.

use pagelab_mm::{
    abi::{
        code::{FrameOp, Owner, Zone},
        snapshot::ZoneEntry,
    },
    frame::{Gfp, OutOfMemory, PageState},
    machine::{Machine, Pfn},
    memblock::Memblock,
};

use crate::machine::{Setup, TestContext, context, context_of};

fn zone(cx: &TestContext, zone: Zone) -> ZoneEntry {
    cx.frames.zone_entries(&cx.machine).find(|entry| entry.zone == zone).expect("the zone has RAM")
}

/// Free frames of a zone, those on the CPUs' lists among them.
fn free(cx: &TestContext, code: Zone) -> u64 {
    let entry = zone(cx, code);
    entry.free + u64::from(entry.pcp_count)
}

/// Takes single frames until the request fails, and says how many it got.
fn exhaust(cx: &mut TestContext, gfp: Gfp) -> Vec<Pfn> {
    std::iter::from_fn(|| cx.alloc_frame(gfp, Owner::Anon).ok()).collect()
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn boot_touches_block_heads_only() {
    let cx = context(64 << 20);
    let touched = cx.machine.pages().iter().filter(|page| page.state != PageState::TAIL).count() as u64;
    let blocks: u64 = cx.frames.zone_entries(&cx.machine).flat_map(|entry| entry.free_blocks).sum();
    assert_eq!(touched, blocks);
    // 1 MiB to 4 MiB as orders 8 and 9, then fifteen blocks of 4 MiB.
    assert_eq!(blocks, 2 + 15);
    assert_eq!(cx.frames.free(), 16384 - 256);
    assert_eq!((cx.frames.managed(), cx.frames.present()), (16384 - 256, 16384));
    cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");
}

#[test]
fn reserved_ram_is_announced_with_its_owner() {
    let mut memblock = Memblock::new();
    memblock.add_ram(0, 32 << 20).expect("room");
    memblock.reserve(0x10_0000, 0x18_0000, Owner::Kernel).expect("room");
    memblock.reserve(31 << 20, 33 << 20, Owner::Initramfs).expect("room");
    let cx = context_of(&memblock);
    let announced: Vec<_> =
        cx.trace.0.iter().map(|(event, _)| (event.op, event.pfn, event.frames, event.zone, event.owner)).collect();
    let expected = [
        (FrameOp::Announce, 0, 1, Zone::Dma, Owner::Reserved),
        (FrameOp::Announce, 0x100, 0x80, Zone::Dma, Owner::Kernel),
        (FrameOp::Announce, 0x1f00, 0x100, Zone::Dma32, Owner::Initramfs),
    ];
    assert_eq!(announced, expected);
}

/// `managed` frames in all; Linux's formula by hand.
#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn watermarks_are_linuxs() {
    let cx = context(64 << 20);
    let (dma, dma32) = (zone(&cx, Zone::Dma), zone(&cx, Zone::Dma32));
    assert_eq!((dma.managed, dma32.managed), (3840, 12288));
    // min_free_kbytes = sqrt(16 * 64512) = 1015, that is 253 frames, shared 3840 : 12288.
    assert_eq!(dma.watermark, [60, 75, 90]);
    assert_eq!(dma32.watermark, [192, 240, 288]);

    let small = context(16 << 20);
    // sqrt(16 * 15360) = 495 KiB = 123 frames.
    assert_eq!(zone(&small, Zone::Dma).watermark, [123, 153, 183]);

    // Large memory: a thousandth of the zone is more than a quarter of min.
    let mut memblock = Memblock::new();
    memblock.add_ram(0, 3 << 30).expect("room");
    memblock.add_ram(4 << 30, 6 << 30).expect("room");
    let large = context_of(&memblock);
    let normal = zone(&large, Zone::Normal);
    assert_eq!((normal.start_pfn, normal.spanned, normal.managed), (1 << 20, 1 << 19, 1 << 19));
    // sqrt(16 * (5 GiB - 4 KiB) / 1 KiB) = 9158 KiB = 2289 frames, of which Normal has 2/5.
    assert_eq!(normal.watermark, [915, 915 + 524, 915 + 2 * 524]);
    assert_eq!(zone(&large, Zone::Dma32).spanned, (3 << 18) - 4096);
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn requests_fall_back_and_leave_the_reserves() {
    let mut cx = context(64 << 20);
    assert_eq!(zone(&cx, Zone::Dma32).watermark[0], 192);
    // 12288 frames of DMA32 may be met from DMA only down to 12288 / 256 above its mark.
    let ordinary = exhaust(&mut cx, Gfp::KERNEL);
    assert_eq!((free(&cx, Zone::Dma), free(&cx, Zone::Dma32)), (60 + 48, 192));
    let first_fallback = ordinary.iter().position(|pfn| pfn.0 < 4096).expect("DMA was used");
    assert_eq!(first_fallback, 12288 - 240, "DMA32 goes down to its low watermark first");

    // Zone DMA has no reserve against those who can use nothing else.
    assert_eq!(exhaust(&mut cx, Gfp::DMA).len(), 48);
    assert_eq!(free(&cx, Zone::Dma), 60);
    assert_eq!(cx.alloc_frame(Gfp::DMA32, Owner::Anon), Err(OutOfMemory));

    // Who cannot wait gets five eighths of min: 192 -> 72, 60 -> 23; DMA's reserve of 48 holds for DMA32 requests.
    assert_eq!(exhaust(&mut cx, Gfp::ATOMIC).len(), 192 - 72);
    assert_eq!(exhaust(&mut cx, Gfp::DMA | Gfp::ATOMIC).len(), 60 - 23);
    assert_eq!((free(&cx, Zone::Dma), free(&cx, Zone::Dma32)), (23, 72));
    cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");

    for pfn in ordinary {
        cx.free_frames(pfn, 0).expect("allocated above");
    }
    cx.alloc_frames(10, Gfp::KERNEL, Owner::Anon).expect("recovered");
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn the_smallest_guest_lives_in_zone_dma() {
    let mut cx = context(16 << 20);
    assert_eq!(cx.frames.zone_entries(&cx.machine).count(), 1);
    let taken = exhaust(&mut cx, Gfp::HIGHUSER_MOVABLE);
    assert_eq!(taken.len(), 3840 - 123);
    // The lowest block is split first, from its lower end, so frames come in ascending order.
    assert!(taken.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn zones_bound_requests() {
    let mut memblock = Memblock::new();
    memblock.add_ram(0, 3 << 30).expect("room");
    memblock.add_ram(4 << 30, (4 << 30) + (8 << 20)).expect("room");
    let mut cx = context_of(&memblock);
    let zone_of = |cx: &TestContext, pfn: Pfn| cx.machine.pages()[pfn.index()].zone;
    for (gfp, zone) in [(Gfp::KERNEL, 2), (Gfp::DMA32, 1), (Gfp::DMA, 0), (Gfp::DMA | Gfp::DMA32, 0)] {
        let pfn = cx.alloc_frames(3, gfp, Owner::Buffer).expect("plenty is free");
        assert_eq!(zone_of(&cx, pfn), zone, "{gfp:?}");
    }
    cx.alloc_frames(10, Gfp::KERNEL, Owner::Buffer).expect("the other block of Normal");
    let fallback = cx.alloc_frames(10, Gfp::KERNEL, Owner::Buffer).expect("DMA32 has plenty");
    assert_eq!(zone_of(&cx, fallback), 1, "no free block of order 10 is left in Normal");
    cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");
}

#[test]
fn no_memory_is_an_answer() {
    let mut cx = context_of(&Memblock::new());
    assert_eq!(cx.alloc_frame(Gfp::KERNEL | Gfp::ATOMIC, Owner::Anon), Err(OutOfMemory));
    assert_eq!((cx.frames.managed(), cx.frames.zone_entries(&cx.machine).count()), (0, 0));
    cx.frames.check(cx.machine.pages()).expect("nothing is consistent");
}

#[test]
fn the_header_sorts_owners_as_linux_does() {
    let mut cx = context(32 << 20);
    let owners = [Owner::Anon, Owner::FileCow, Owner::File, Owner::Slab, Owner::PageCacheNode, Owner::PageTable];
    for (order, owner) in owners.into_iter().enumerate() {
        cx.alloc_frames(order as u8, Gfp::KERNEL, owner).expect("plenty is free");
    }
    let header = cx.frames.mem_header();
    assert_eq!((header.anon, header.file, header.slab, header.page_tables), (1 + 2, 4, 8 + 16, 32));
    assert_eq!((header.kernel_stack, header.zone_count, header.ram), (0, 2, 8192));
    let listed: u64 = cx.frames.zone_entries(&cx.machine).map(|entry| u64::from(entry.pcp_count)).sum();
    assert_eq!(header.managed - header.free - listed, 63);
}

/// Linux's table, entry by entry; where Linux calls the request a bug, the lowest zone that was named.
#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn the_highest_zone_is_linuxs() {
    let flags = [Gfp::DMA, Gfp::HIGHMEM, Gfp::DMA32, Gfp::MOVABLE];
    let setup = Setup {
        ram: vec![(0, 3 << 30, 0), (4 << 30, 5 << 30, 0)],
        highmem: 512 << 20,
        movable: 64 << 20,
        ..Setup::new(0)
    };
    let (dma, dma32, normal, highmem, movable) = (Zone::Dma, Zone::Dma32, Zone::Normal, Zone::HighMem, Zone::Movable);
    let table = [normal, dma, highmem, dma, dma32, dma, dma32, dma, normal, dma, movable, dma, dma32, dma, dma32, dma];
    let mut cx = setup.clone().boot();
    assert_eq!(cx.frames.zone_entries(&cx.machine).count(), 5);
    for (bits, expected) in table.into_iter().enumerate() {
        let named = (0..4).filter(|bit| bits >> bit & 1 == 1).fold(Gfp::KERNEL, |gfp, bit| gfp | flags[bit]);
        cx.trace.0.clear();
        cx.alloc_frame(named, Owner::Buffer).expect("plenty is free");
        assert_eq!(cx.trace.0[0].0.zone, expected, "{named:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn highmem_is_the_top_of_ram_and_movable_the_top_of_each_node() {
    let mut cx = Setup {
        ram: vec![(0, 40 << 20, 0), (40 << 20, 64 << 20, 1)],
        highmem: 8 << 20,
        movable: 16 << 20,
        ..Setup::new(0)
    }
    .boot();
    let zones: Vec<_> = cx
        .frames
        .zone_entries(&cx.machine)
        .map(|entry| (entry.node, entry.zone, entry.start_pfn >> 8, entry.spanned >> 8))
        .collect();
    // In MiB. Node 0 gives 10 of its 40, from 30 on, which begins at the next multiple of 4. Of node 1's 24, 6 are
    // Movable, all in HighMem: from 58 on, which is 60.
    let expected = [
        (0, Zone::Dma, 0, 16),
        (0, Zone::Dma32, 16, 16),
        (0, Zone::Movable, 32, 8),
        (1, Zone::Dma32, 40, 16),
        (1, Zone::HighMem, 56, 4),
        (1, Zone::Movable, 60, 4),
    ];
    assert_eq!(zones, expected);
    assert_eq!(cx.frames.mem_header().highmem, (8 << 20) / 4096);
    assert!(!cx.frames.is_highmem(Pfn((56 << 8) - 1)) && cx.frames.is_highmem(Pfn(56 << 8)));
    // Only movable user memory comes from Movable, only what does without the direct map from HighMem.
    let zone_for = |cx: &mut TestContext, gfp, node| {
        cx.trace.0.clear();
        let pfn = cx.alloc_frames_node(node, 0, gfp, Owner::Anon).expect("plenty is free");
        (cx.trace.0[0].0.zone, cx.machine.pages()[pfn.index()].zone / 5)
    };
    assert_eq!(zone_for(&mut cx, Gfp::HIGHUSER_MOVABLE, 0), (Zone::Movable, 0));
    assert_eq!(zone_for(&mut cx, Gfp::HIGHUSER, 0), (Zone::Dma32, 0));
    assert_eq!(zone_for(&mut cx, Gfp::HIGHUSER, 1), (Zone::HighMem, 1));
    assert_eq!(zone_for(&mut cx, Gfp::KERNEL, 1), (Zone::Dma32, 1));
    // No RAM of node 3: the nearest node's.
    assert_eq!(zone_for(&mut cx, Gfp::KERNEL, 3), (Zone::Dma32, 0));
    assert_eq!(cx.alloc_frames_node(3, 0, Gfp::KERNEL | Gfp::THISNODE, Owner::Anon), Err(OutOfMemory));
    assert_eq!(cx.alloc_frames_node(4, 0, Gfp::KERNEL, Owner::Anon), Err(OutOfMemory));
}

#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn the_nearest_node_comes_next() {
    const M: u64 = 1 << 20;
    let ram: Vec<_> = (0..4u8).map(|node| (u64::from(node) * 8 * M, u64::from(node + 1) * 8 * M, node)).collect();
    let distance = [[10, 40, 20, 30], [40, 10, 20, 20], [20, 20, 10, 20], [30, 20, 20, 10]];
    let nodes_in_order = |local: usize| {
        let mut cx = Setup { ram: ram.clone(), distance, ..Setup::new(0) }.boot();
        let mut order: Vec<u8> = Vec::new();
        while let Ok(pfn) = cx.alloc_frames_node(local, 0, Gfp::KERNEL | Gfp::HIGH, Owner::Anon) {
            let node = cx.machine.pages()[pfn.index()].zone / 5;
            if !order.contains(&node) {
                order.push(node);
            }
        }
        order
    };
    assert_eq!(nodes_in_order(0), [0, 2, 3, 1]);
    // Two at the same distance: the one after comes first.
    assert_eq!(nodes_in_order(1), [1, 2, 3, 0]);
    assert_eq!(nodes_in_order(2), [2, 3, 0, 1]);
}

/// What each kind of request leaves in each zone when it has taken all it can get.
#[test]
#[cfg_attr(miri, ignore = "large machines take Miri minutes")]
fn what_is_left_of_each_zone() {
    const M: u64 = 1 << 20;
    let setup = Setup { ram: vec![(0, 24 * M, 0), (4096 * M, 4112 * M, 0)], highmem: 8 * M, ..Setup::new(0) };
    let zones =
        [(Zone::Dma, Gfp::DMA), (Zone::Dma32, Gfp::DMA32), (Zone::Normal, Gfp::empty()), (Zone::HighMem, Gfp::HIGHMEM)];
    for (code, bits) in zones {
        let kinds =
            [Gfp::KERNEL, Gfp::KERNEL | Gfp::HIGH, Gfp::ATOMIC, Gfp::KERNEL | Gfp::NOFAIL, Gfp::KERNEL | Gfp::MEMALLOC];
        let left = kinds.map(|kind| {
            let mut cx = setup.clone().boot();
            while cx.alloc_frame(kind | bits, Owner::Anon).is_ok() {}
            let refused = cx.refused.take().expect("the last request is noted");
            assert_eq!((refused.order, refused.gfp), (0, kind | bits));
            cx.check_frames().expect("the allocator's invariants hold");
            free(&cx, code)
        });
        let [min, ..] = zone(&setup.clone().boot(), code).watermark;
        let half = min - min / 2;
        assert_eq!(left, [min, half, half - half / 4, 0, 0], "{code:?}");
    }
    let mut cx = setup.clone().boot();
    assert_eq!(cx.alloc_frames(2, Gfp::KERNEL | Gfp::NOFAIL, Owner::Anon), Err(OutOfMemory), "too many to promise");
    cx.alloc_frames(1, Gfp::KERNEL | Gfp::NOFAIL, Owner::Anon).expect("two frames are promised");
    // Nobody who cannot wait is promised anything.
    while cx.alloc_frame(Gfp::ATOMIC | Gfp::NOFAIL, Owner::Anon).is_ok() {}
    assert!(cx.frames.free() > 0);
    cx.refused = None;
    assert_eq!(cx.alloc_frame(Gfp::ATOMIC | Gfp::NOWARN, Owner::Anon), Err(OutOfMemory));
    assert_eq!(cx.refused, None);
}
