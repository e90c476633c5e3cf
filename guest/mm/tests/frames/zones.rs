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

use crate::machine::{TestContext, context, context_of};

fn zone(cx: &TestContext, zone: Zone) -> ZoneEntry {
    cx.frames.zone_entries(&cx.machine).find(|entry| entry.zone == zone).expect("the zone has RAM")
}

/// Takes single frames until the request fails, and says how many it got.
fn exhaust(cx: &mut TestContext, gfp: Gfp) -> Vec<Pfn> {
    std::iter::from_fn(|| cx.alloc_frame(gfp, Owner::Anon).ok()).collect()
}

#[test]
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
fn requests_fall_back_and_leave_the_reserves() {
    let mut cx = context(64 << 20);
    assert_eq!(zone(&cx, Zone::Dma32).watermark[0], 192);
    // 12288 frames of DMA32 may be met from DMA only down to 12288 / 256 above its mark.
    let ordinary = exhaust(&mut cx, Gfp::KERNEL);
    assert_eq!((zone(&cx, Zone::Dma).free, zone(&cx, Zone::Dma32).free), (60 + 48, 192));
    let first_fallback = ordinary.iter().position(|pfn| pfn.0 < 4096).expect("DMA was used");
    assert_eq!(first_fallback, 12288 - 240, "DMA32 goes down to its low watermark first");

    // Zone DMA has no reserve against those who can use nothing else.
    assert_eq!(exhaust(&mut cx, Gfp::DMA).len(), 48);
    assert_eq!(zone(&cx, Zone::Dma).free, 60);
    assert_eq!(cx.alloc_frame(Gfp::DMA32, Owner::Anon), Err(OutOfMemory));

    // Who cannot wait gets five eighths of min: 192 -> 72, 60 -> 23; DMA's reserve of 48 holds for DMA32 requests.
    assert_eq!(exhaust(&mut cx, Gfp::ATOMIC).len(), 192 - 72);
    assert_eq!(exhaust(&mut cx, Gfp::DMA | Gfp::ATOMIC).len(), 60 - 23);
    assert_eq!((zone(&cx, Zone::Dma).free, zone(&cx, Zone::Dma32).free), (23, 72));
    cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");

    for pfn in ordinary {
        cx.free_frames(pfn, 0).expect("allocated above");
    }
    cx.alloc_frames(10, Gfp::KERNEL, Owner::Anon).expect("recovered");
}

#[test]
fn the_smallest_guest_lives_in_zone_dma() {
    let mut cx = context(16 << 20);
    assert_eq!(cx.frames.zone_entries(&cx.machine).count(), 1);
    let taken = exhaust(&mut cx, Gfp::HIGHUSER_MOVABLE);
    assert_eq!(taken.len(), 3840 - 123);
    // The lowest block is split first, from its lower end, so frames come in ascending order.
    assert!(taken.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
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
    assert_eq!(header.managed - header.free, 63);
}
