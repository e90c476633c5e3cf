//! The fixmap and kmap_local: known addresses, flushed when they show something else.

use pagelab_mm::{
    abi::{
        code::Owner,
        layout::{DEVICE_PAGE_PHYS, FIXADDR_TOP, KMAP_LOCAL_SLOTS, LAST_PKMAP, PAGE_OFFSET},
    },
    frame::Gfp,
    kernel_space::{Caching, Fixmap, KmapError, Where},
    machine::{Machine, Pfn},
    page_table::Pte,
    sim::{SimContext, new_context_with_highmem},
};

use crate::{PAGE, RAM, check, machine};

const HIGH: u64 = RAM / 4;

/// Frames that only page tables reach, each with its number in its first word.
pub(crate) fn high_frames(cx: &mut SimContext, count: usize) -> Vec<Pfn> {
    (0..count)
        .map(|_| {
            let pfn = cx.alloc_frame(Gfp::HIGHUSER, Owner::Anon).expect("a frame");
            assert!(cx.frames.is_highmem(pfn), "{pfn:?} is directly mapped");
            cx.machine.physical_mut(pfn).0[0] = pfn.0.into();
            pfn
        })
        .collect()
}

#[test]
fn a_slot_shows_what_was_put_there_last() {
    let mut cx = machine(RAM);
    let frames = [(); 2].map(|()| cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame"));
    frames.iter().for_each(|&pfn| cx.machine.frame_mut(pfn).0[3] = pfn.0.into());
    for pfn in [frames[0], frames[1], frames[0]] {
        let address = cx.set_fixmap(Fixmap::LocalApic, pfn, Caching::Memory).expect("a table");
        assert_eq!(address, Fixmap::LocalApic.address());
        assert_eq!(cx.machine.read_word(address + 24), Ok(pfn.0.into()));
        check(&mut cx);
    }
    cx.clear_fixmap(Fixmap::LocalApic);
    assert!(cx.machine.read_word(Fixmap::LocalApic.address()).is_err());
    cx.clear_fixmap(Fixmap::LocalApic);
    frames.iter().for_each(|&pfn| cx.free_frames(pfn, 0).expect("ours"));
    check(&mut cx);
}

#[test]
fn slots_keep_apart() {
    let mut cx = machine(RAM);
    let frames = Fixmap::ALL.map(|slot| {
        let pfn = cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame");
        cx.machine.frame_mut(pfn).0[0] = slot as u64 + 100;
        (slot, pfn)
    });
    cx.clear_fixmap(Fixmap::TraceRing);
    for (slot, pfn) in frames {
        cx.set_fixmap(slot, pfn, Caching::Memory).expect("a table");
    }
    for (slot, _) in frames {
        assert_eq!(slot.address(), FIXADDR_TOP - (slot as u64 + 1) * PAGE);
        assert_eq!(cx.machine.read_word(slot.address()), Ok(slot as u64 + 100));
    }
}

#[test]
fn a_device_in_the_fixmap_is_not_cached() {
    let mut cx = machine(RAM);
    let device = Pfn::of_address(DEVICE_PAGE_PHYS);
    cx.machine.physical_mut(device).0[0] = 0xbeef;
    let address = cx.set_fixmap(Fixmap::TraceRing, device, Caching::Uncached).expect("a table");
    assert_eq!(cx.machine.read_word(address), Ok(0xbeef));
    let pte = cx.kernel.tables.get(&cx.machine, address);
    assert_eq!(pte, Pte::kernel(device).uncached());
}

#[test]
fn directly_mapped_frames_take_no_slot() {
    let mut cx = machine(RAM);
    let pfn = cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame");
    let address = cx.kmap_local(pfn).expect("always");
    assert_eq!((address, cx.kmap_local_depth()), (PAGE_OFFSET + pfn.address(), 0));
    cx.kunmap_local(address + 5).expect("nothing to undo");
    assert_eq!(cx.kmap(pfn), Ok(address));
    cx.kunmap(pfn).expect("nothing to undo");
    assert_eq!((cx.kmaps(), cx.kernel.counts.kmap_local), (0, 0));
}

#[test]
fn slots_of_kmap_local_are_a_stack() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, KMAP_LOCAL_SLOTS as usize + 1);
    let mut addresses = Vec::new();
    let line = line!() + 2;
    for &pfn in &frames[..KMAP_LOCAL_SLOTS as usize] {
        let address = cx.kmap_local(pfn).expect("a slot");
        assert_eq!(cx.machine.read_word(address), Ok(pfn.0.into()));
        addresses.push(address);
    }
    assert!(addresses.windows(2).all(|pair| pair[1] == pair[0] - PAGE), "{addresses:x?}");
    let full = cx.kmap_local(frames[KMAP_LOCAL_SLOTS as usize]).expect_err("no slot is left");
    assert!(matches!(full, KmapError::NoSlot { last: Some(place) } if place.line() == line), "{full}");

    let early = cx.kunmap_local(addresses[3]).expect_err("not the last");
    assert!(matches!(early, KmapError::OutOfOrder { made: Some(_), last: Some(_), .. }), "{early}");
    assert_eq!(cx.kmap_local_depth(), addresses.len());
    for address in addresses.iter().rev() {
        cx.kunmap_local(address + 100).expect("the last");
        assert!(cx.machine.read_word(*address).is_err(), "unmapped and flushed");
    }
    let twice = cx.kunmap_local(addresses[0]).expect_err("nothing is mapped");
    assert!(matches!(twice, KmapError::NotMapped { made: Some(_), .. }), "{twice}");
    for wild in [0, FIXADDR_TOP, FIXADDR_TOP - PAGE, addresses[15] - PAGE, PAGE_OFFSET + RAM] {
        assert!(matches!(cx.kunmap_local(wild), Err(KmapError::NotMapped { .. })), "{wild:#x}");
    }
    check(&mut cx);
}

#[test]
fn a_stale_address_is_told_by_who_had_it() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let pfn = high_frames(&mut cx, 1)[0];
    let made = line!() + 1;
    let local = cx.kmap_local(pfn).expect("a slot");
    cx.kunmap_local(local).expect("the last");
    let bad = cx.read_kernel_word(local + 16).expect_err("unmapped");
    assert!(matches!(bad.at, Where::KmapLocal { made: Some(place) } if place.line() == made), "{bad}");
    let page = cx.kmap(pfn).expect("a page");
    cx.kunmap(pfn).expect("a user");
    assert!(matches!(cx.where_is(page), Where::Kmap { made: Some(_), unmapped: Some(_) }));
    assert_eq!(cx.where_is(page + LAST_PKMAP * PAGE), Where::Elsewhere);
    assert_eq!(cx.where_is(Fixmap::IoApic.address()), Where::Fixmap);
    assert_eq!(cx.where_is(FIXADDR_TOP), Where::Elsewhere);
}

#[test]
fn a_slot_used_again_shows_the_new_frame() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    for pfn in high_frames(&mut cx, if cfg!(miri) { 5 } else { 50 }) {
        let address = cx.kmap_local(pfn).expect("a slot");
        assert_eq!(cx.machine.read_word(address), Ok(pfn.0.into()));
        cx.machine.write_word(address + 8, 1).expect("mapped");
        cx.kunmap_local(address).expect("the last");
        assert_eq!(cx.machine.physical(pfn).0[1], 1);
        cx.free_frames(pfn, 0).expect("ours");
    }
    check(&mut cx);
}

#[test]
fn a_flush_left_out_of_kunmap_local_is_seen() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, 2);
    let first = cx.kmap_local(frames[0]).expect("a slot");
    cx.machine.read_word(first).expect("mapped");
    cx.machine.drop_flushes(true);
    cx.kunmap_local(first).expect("the last");
    let second = cx.kmap_local(frames[1]).expect("a slot");
    assert_eq!(cx.machine.read_word(second), Ok(frames[0].0.into()), "the stale translation serves");
    assert!(!cx.machine.take_incoherence().is_empty());
}

#[test]
fn contents_are_the_same_wherever_a_frame_is() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let high = high_frames(&mut cx, 2);
    let low = [(); 2].map(|()| cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame"));
    for (from, to) in [(high[0], high[1]), (high[0], low[0]), (low[0], high[1]), (low[0], low[1])] {
        cx.write_frame(from, 10, b"some bytes that are not aligned");
        cx.copy_frame(to, from);
        cx.write_frame(from, 0, &[7; 4096]);
        let mut bytes = [0; 31];
        cx.read_frame(to, 10, &mut bytes);
        assert_eq!(&bytes, b"some bytes that are not aligned");
        cx.copy_part(from, 4000, to, 15, 5);
        cx.read_frame(from, 3999, &mut bytes[..7]);
        assert_eq!(&bytes[..7], b"\x07bytes\x07");
        cx.zero_part(from, 4000, 96);
        cx.read_frame(from, 3998, &mut bytes[..4]);
        assert_eq!(&bytes[..4], &[7, 7, 0, 0]);
        cx.zero_frame(to);
        assert!(cx.machine.physical(to).0.iter().all(|&word| word == 0));
    }
    cx.machine.write_physical(0x8_0000, b"from the initramfs");
    cx.copy_bytes(high[0], 100, 0x8_0005, 13);
    let mut bytes = [0; 13];
    cx.read_frame(high[0], 100, &mut bytes);
    assert_eq!(&bytes, b"the initramfs");
    assert_eq!(cx.kmap_local_depth(), 0);
    check(&mut cx);
}

#[test]
#[should_panic = "the range leaves its frame"]
fn a_range_that_leaves_its_frame_is_refused() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let high = high_frames(&mut cx, 1);
    cx.zero_part(high[0], 4090, 7);
}

#[test]
fn programs_run_in_highmem() {
    use pagelab_mm::{
        fault::{Access, Fault, handle},
        space::{AddressSpace, MmapRequest, map, prot},
    };
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let pages = if cfg!(miri) { 4 } else { 64 };
    let mut space = AddressSpace::new(&mut cx, 1).expect("a top table");
    let flags = map::PRIVATE | map::ANONYMOUS;
    let request = MmapRequest { length: pages * PAGE, prot: prot::READ | prot::WRITE, flags, ..MmapRequest::default() };
    let area = space.mmap(&mut cx, &request).expect("room");
    for page in 0..pages {
        let address = area + page * PAGE;
        let fault = Fault { address, access: Access::Write, user: true };
        let pfn = handle(&mut cx, &mut space, fault).pfn;
        assert!(cx.frames.is_highmem(pfn));
        assert_eq!(cx.machine.load(space.tables.root, address), Ok(0));
        cx.machine.store(space.tables.root, address, page).expect("mapped");
    }
    assert_eq!(cx.kernel.counts.kmap_local, pages, "each frame is cleared through a slot");
    space.munmap(&mut cx, area, pages * PAGE).expect("mapped");
    space.destroy(&mut cx);
    check(&mut cx);
}
