//! Memory for devices: contiguous, zeros, below the mask; and what is not given back as it was taken.

use pagelab_mm::{
    abi::{
        code::Owner,
        layout::{KERNEL_PHYS, PAGE_OFFSET},
    },
    frame::{FramesConfig, Gfp},
    kernel_space::DmaError,
    machine::{Machine, Pfn},
    memblock::Memblock,
    sim::SimContext,
};

use crate::{PAGE, machine};

/// Zone DMA and 8 MiB of zone DMA32.
const RAM: u64 = 24 << 20;
const MASK_24: u64 = (1 << 24) - 1;
const MASK_32: u64 = (1 << 32) - 1;

#[test]
fn it_is_contiguous_and_full_of_zeros() {
    let mut cx = machine(RAM);
    let dirty = cx.alloc_frames(2, Gfp::KERNEL, Owner::Buffer).expect("a block");
    (0..4).for_each(|frame| cx.machine.frame_mut(Pfn(dirty.0 + frame)).0.fill(!0));
    cx.free_frames(dirty, 2).expect("ours");
    let (address, handle) = cx.dma_alloc_coherent(3 * PAGE + 1, u64::MAX, Gfp::KERNEL).expect("a block");
    assert_eq!(address, PAGE_OFFSET + handle);
    assert_eq!(handle % (4 * PAGE), 0);
    assert_eq!(cx.frames.owned(Owner::Dma), 4);
    for word in (0..4 * PAGE).step_by(if cfg!(miri) { 1016 } else { 8 }) {
        assert_eq!(cx.machine.read_word(address + word), Ok(0));
    }
    cx.dma_free_coherent(3 * PAGE + 1, address, handle).expect("as it was taken");
    assert_eq!(cx.frames.owned(Owner::Dma), 0);
}

#[test]
fn the_mask_is_kept() {
    let mut cx = machine(RAM);
    for (mask, highest) in [(MASK_24, 1 << 24), (MASK_32, RAM), (u64::MAX, RAM), ((1 << 30) - 1, RAM)] {
        let (_, handle) = cx.dma_alloc_coherent(2 * PAGE, mask, Gfp::KERNEL).expect("a block");
        assert!(handle + 2 * PAGE <= highest, "{handle:#x} for {mask:#x}");
    }
    // Without a mask, the best zone is taken and DMA is spared.
    let (_, handle) = cx.dma_alloc_coherent(PAGE, u64::MAX, Gfp::KERNEL | Gfp::DMA).expect("a block");
    assert!(handle >= 1 << 24, "the mask says where, not gfp: {handle:#x}");
}

/// A machine with RAM at both sides of 4 GiB.
fn large() -> SimContext {
    let mut memblock = Memblock::new();
    memblock.add_ram(0, 32 << 20).expect("few ranges");
    memblock.add_ram(4 << 30, (4 << 30) + (32 << 20)).expect("few ranges");
    memblock.reserve(0, KERNEL_PHYS, Owner::Boot).expect("few ranges");
    let mut cx = machine(16 << 20);
    cx.machine = pagelab_mm::sim::SimMachine::new((4 << 30) + (32 << 20), Default::default());
    cx.init_frames(FramesConfig::new(&mut memblock));
    cx
}

#[test]
#[cfg_attr(miri, ignore = "a `Page` array for 4 GiB takes Miri minutes")]
fn an_odd_mask_goes_down_the_zones() {
    let mut cx = large();
    // Zone Normal begins at 4 GiB, which neither of these devices reaches; the second does not reach all of DMA32.
    for (mask, below) in [((1 << 32) + 4095, 4 << 30), ((1 << 33) - 1, u64::MAX), (MASK_32, 4 << 30)] {
        let (_, handle) = cx.dma_alloc_coherent(2 * PAGE, mask, Gfp::KERNEL).expect("a block");
        assert!(handle + 2 * PAGE - 1 <= mask && handle < below, "{handle:#x} for {mask:#x}");
    }
    let before = cx.frames.free();
    assert_eq!(cx.dma_alloc_coherent(PAGE, 4096, Gfp::KERNEL), Err(DmaError::Mask { mask: 4096 }));
    assert_eq!(cx.frames.free(), before, "what was found is given back");
}

#[test]
#[cfg_attr(miri, ignore = "it takes 24 MiB in single frames, for which Miri needs minutes")]
fn sizes_that_no_block_has_are_refused() {
    let mut cx = machine(RAM);
    for bytes in [0, (4 << 20) + 1, u64::MAX] {
        assert_eq!(cx.dma_alloc_coherent(bytes, u64::MAX, Gfp::KERNEL), Err(DmaError::Size { bytes }));
    }
    let (address, handle) = cx.dma_alloc_coherent(4 << 20, u64::MAX, Gfp::KERNEL).expect("the largest block");
    cx.dma_free_coherent(4 << 20, address, handle).expect("as it was taken");
    while cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).is_ok() {}
    assert_eq!(cx.dma_alloc_coherent(PAGE, u64::MAX, Gfp::KERNEL), Err(DmaError::OutOfMemory));
}

#[test]
fn what_is_given_back_otherwise_is_told() {
    let mut cx = machine(RAM);
    let (address, handle) = cx.dma_alloc_coherent(2 * PAGE, u64::MAX, Gfp::KERNEL).expect("a block");
    let other = cx.alloc_frame(Gfp::KERNEL, Owner::Buffer).expect("a frame");
    let (there, at) = (PAGE_OFFSET + other.address(), other.address());
    assert!(matches!(cx.dma_free_coherent(PAGE, address, handle), Err(DmaError::Free(_))), "another size");
    assert!(matches!(cx.dma_free_coherent(PAGE, address, handle + PAGE), Err(DmaError::Mismatch { .. })));
    assert!(matches!(cx.dma_free_coherent(PAGE, address + 8, handle + 8), Err(DmaError::Mismatch { .. })));
    let mistaken = cx.dma_free_coherent(PAGE, there, at).expect_err("a buffer");
    assert!(matches!(mistaken, DmaError::NotCoherent { owner: Owner::Buffer, made: Some(_), .. }), "{mistaken}");
    assert_eq!(mistaken.to_string().matches("dma.rs").count(), 2, "{mistaken}");
    assert_eq!(cx.frames.owned(Owner::Dma), 2, "nothing has changed");
    cx.dma_free_coherent(2 * PAGE, address, handle).expect("as it was taken");
    assert!(matches!(cx.dma_free_coherent(2 * PAGE, address, handle), Err(DmaError::Free(_))), "twice");
    let beyond = 1 << 43;
    assert!(matches!(cx.dma_free_coherent(PAGE, PAGE_OFFSET + beyond, beyond), Err(DmaError::Free(_))));
}
