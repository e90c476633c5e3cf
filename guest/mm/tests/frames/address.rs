//! Frames by their address, and blocks of odd sizes.

use pagelab_mm::{
    abi::{code::Owner, layout::PAGE_OFFSET},
    frame::{Gfp, Mistake, OutOfMemory},
    machine::{Machine, Pfn},
};

use crate::machine::{Setup, context};

/// RAM where no second zone is needed.
const RAM: u64 = if cfg!(miri) { 2 << 20 } else { 32 << 20 };

#[test]
fn addresses_are_the_direct_maps() {
    let mut cx = context(32 << 20);
    let address = cx.get_free_pages(3, Gfp::KERNEL, Owner::Buffer).expect("plenty is free");
    let dma32 = PAGE_OFFSET + (16 << 20)..PAGE_OFFSET + (32 << 20);
    assert!(dma32.contains(&address) && address.is_multiple_of(8 * 4096));
    assert_eq!(cx.free_pages(address, 2).map_err(|error| error.mistake), Err(Mistake::WrongOrder { allocated: 3 }));
    cx.free_pages(address, 3).expect("allocated above");
    let dma = cx.get_dma_pages(1, Gfp::KERNEL, Owner::Buffer).expect("plenty is free");
    assert!(dma < PAGE_OFFSET + (16 << 20));
    for bad in [0, PAGE_OFFSET - 4096, u64::MAX] {
        assert_eq!(cx.free_pages(bad, 0).map_err(|error| error.mistake), Err(Mistake::Foreign), "{bad:#x}");
    }
}

#[test]
fn a_zeroed_page_is_zero_and_not_in_highmem() {
    let mut cx = Setup { highmem: RAM / 4, ..Setup::new(RAM) }.boot();
    let first = cx.get_free_page(Gfp::HIGHUSER, Owner::Buffer).expect("plenty is free");
    let pfn = Pfn(((first - PAGE_OFFSET) >> 12) as u32);
    assert!(!cx.frames.is_highmem(pfn));
    cx.machine.frame_mut(pfn).0.fill(!0);
    cx.free_pages(first, 0).expect("allocated above");
    assert_eq!(cx.get_zeroed_page(Gfp::HIGHUSER, Owner::Buffer), Ok(first), "the hottest frame");
    assert!(cx.machine.frame(pfn).0.iter().all(|&word| word == 0));
}

#[test]
fn exact_sizes_give_the_rest_back() {
    let mut cx = context(RAM);
    let free = cx.frames.free();
    let address = cx.alloc_pages_exact(5 * 4096 + 1, Gfp::KERNEL, Owner::Buffer).expect("plenty is free");
    assert_eq!((cx.frames.free(), cx.frames.owned(Owner::Buffer)), (free - 6, 6));
    cx.check_frames().expect("the allocator's invariants hold");
    cx.free_pages_exact(address, 5 * 4096 + 1).expect("allocated above");
    assert_eq!(cx.frames.free(), free);
    let error = cx.free_pages_exact(address, 4096).expect_err("freed already");
    assert_eq!(error.mistake, Mistake::DoubleFree);
    for size in [0, (4 << 20) + 1, u64::MAX] {
        assert_eq!(cx.alloc_pages_exact(size, Gfp::KERNEL, Owner::Buffer), Err(OutOfMemory));
    }
}

#[test]
fn a_split_block_is_single_frames() {
    let mut cx = context(RAM);
    let block = cx.alloc_frames(2, Gfp::HIGHUSER_MOVABLE, Owner::Anon).expect("plenty is free");
    cx.get_frame(block).expect("allocated above");
    assert_eq!(cx.split_page(block).map_err(|error| error.mistake), Err(Mistake::Referenced { refcount: 2 }));
    cx.put_frame(block).expect("a reference");
    cx.split_page(block).expect("it is ours alone");
    cx.check_frames().expect("the allocator's invariants hold");
    assert_eq!(cx.frames.owned(Owner::Anon), 4);
    let sites: Vec<_> = (0..4).map(|at| cx.machine.pages()[block.index() + at].site).collect();
    assert!(sites.iter().all(|site| *site == sites[0]));
    for pfn in [2, 0, 3, 1].map(|at| Pfn(block.0 + at)) {
        assert_eq!(cx.put_frame(pfn), Ok(true));
    }
    assert_eq!(cx.split_page(block).map_err(|error| error.mistake), Err(Mistake::DoubleFree));
}
