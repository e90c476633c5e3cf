//! Tests of frames without a place in the direct map, and of addresses that lead to now this, now that page: kmap,
//! kmap_local, the fixmap, memory for devices. An old translation in the TLB would show.

use pagelab_abi::{
    code::{FaultKind, Owner},
    layout::{LAST_PKMAP, PAGE_OFFSET, PAGE_SIZE},
};
use pagelab_mm::{
    fault::Access,
    frame::Gfp,
    kernel_space::{Caching, DmaError, Fixmap, KmapError},
    machine::Pfn,
    space::prot,
};

use super::{
    check::{Failure, Outcome, ensure, ensure_eq, refused},
    entry::{Machine, test},
    paging::{entry, map_anonymous, resolve, unmap},
    probe::{self, Fault},
};
use crate::state::Kernel;

/// 8 MiB that the direct map leaves out, none of them for movable contents only.
const HIGH: Machine = Machine::ANY.memory(40 << 20).highmem(8 << 20).movable(0);
/// The highest address that an old device can name.
const ISA_MASK: u64 = (1 << 24) - 1;

/// A block of frames that the direct map leaves out.
fn high(kernel: &mut Kernel, order: u8) -> Result<Pfn, Failure> {
    let block = kernel.mm.alloc_frames(order, Gfp::HIGHUSER, Owner::Kernel)?;
    ensure!(kernel.mm.frames.is_highmem(block), "frame {} is directly mapped", block.0);
    Ok(block)
}

/// Frame `number` of a block.
fn nth(block: Pfn, number: u64) -> Pfn {
    Pfn(block.0 + number as u32)
}

test!(not_in_the_direct_map, "highmem/not_in_the_direct_map", HIGH);
fn not_in_the_direct_map(kernel: &mut Kernel) -> Outcome {
    let frame = high(kernel, 0)?;
    let direct = PAGE_OFFSET + frame.address();
    ensure_eq!(probe::read(direct), Err(Fault::page(0, direct)));
    kernel.mm.free_frames(frame, 0)?;
    Ok(())
}

test!(kmap_gives_one_address, "highmem/kmap_gives_one_address", HIGH);
fn kmap_gives_one_address(kernel: &mut Kernel) -> Outcome {
    let frame = high(kernel, 0)?;
    let address = kernel.mm.kmap(frame)?;
    ensure_eq!(kernel.mm.kmap(frame), Ok(address));
    probe::write(address, 77)?;
    kernel.mm.kunmap(frame)?;
    // It has a user still.
    ensure_eq!(probe::read(address), Ok(77));
    kernel.mm.kunmap(frame)?;
    let again = kernel.mm.kunmap(frame);
    ensure!(matches!(again, Err(KmapError::NotMapped { .. })), "{again:?}");
    refused(again, &["selftest/highmem.rs", "selftest/highmem.rs", "selftest/highmem.rs"])?;
    kernel.mm.free_frames(frame, 0)?;
    Ok(())
}

test!(kmap_slots_come_round, "highmem/kmap_slots_come_round", HIGH);
fn kmap_slots_come_round(kernel: &mut Kernel) -> Outcome {
    // More frames than the pool has pages, so that pages get another frame than the one that the TLB knows.
    let blocks = [high(kernel, 9)?, high(kernel, 7)?];
    let frame = |number| if number < 512 { nth(blocks[0], number) } else { nth(blocks[1], number - 512) };
    let count = LAST_PKMAP + 64;
    for number in 0..count {
        let address = kernel.mm.kmap(frame(number))?;
        probe::write(address, number)?;
        kernel.mm.kunmap(frame(number))?;
    }
    for number in (0..count).step_by(17) {
        let address = kernel.mm.kmap_local(frame(number))?;
        ensure_eq!(probe::read(address), Ok(number));
        kernel.mm.kunmap_local(address)?;
    }
    kernel.mm.free_frames(blocks[0], 9)?;
    kernel.mm.free_frames(blocks[1], 7)?;
    Ok(())
}

test!(kmap_pool_ends, "highmem/kmap_pool_ends", HIGH);
fn kmap_pool_ends(kernel: &mut Kernel) -> Outcome {
    let (block, one_more) = (high(kernel, 9)?, high(kernel, 0)?);
    for number in 0..LAST_PKMAP {
        kernel.mm.kmap(nth(block, number))?;
    }
    let refusal = kernel.mm.kmap(one_more);
    ensure!(matches!(refusal, Err(KmapError::NoSlot { .. })), "{refusal:?}");
    // Who has a page already gets it again.
    kernel.mm.kmap(block)?;
    kernel.mm.kunmap(block)?;
    for number in 0..LAST_PKMAP {
        kernel.mm.kunmap(nth(block, number))?;
    }
    kernel.mm.kmap(one_more)?;
    kernel.mm.kunmap(one_more)?;
    ensure_eq!(kernel.mm.kmaps(), 0);
    kernel.mm.free_frames(block, 9)?;
    kernel.mm.free_frames(one_more, 0)?;
    Ok(())
}

test!(kmap_local_shows_the_new_frame, "highmem/kmap_local_shows_the_new_frame", HIGH);
fn kmap_local_shows_the_new_frame(kernel: &mut Kernel) -> Outcome {
    let block = high(kernel, 2)?;
    let mut last = 0;
    for number in 0..4 {
        let address = kernel.mm.kmap_local(nth(block, number))?;
        ensure!(number == 0 || address == last, "the slot was not used again: {address:#x}, then {last:#x}");
        probe::write(address, 100 + number)?;
        kernel.mm.kunmap_local(address)?;
        ensure_eq!(probe::read(address), Err(Fault::page(0, address)));
        last = address;
    }
    for number in 0..4 {
        let address = kernel.mm.kmap_local(nth(block, number))?;
        ensure_eq!(probe::read(address), Ok(100 + number));
        kernel.mm.kunmap_local(address)?;
    }
    kernel.mm.free_frames(block, 2)?;
    Ok(())
}

test!(kmap_local_nests, "highmem/kmap_local_nests", HIGH);
fn kmap_local_nests(kernel: &mut Kernel) -> Outcome {
    let block = high(kernel, 1)?;
    let outer = kernel.mm.kmap_local(block)?;
    let inner = kernel.mm.kmap_local(nth(block, 1))?;
    probe::write(outer, 1)?;
    probe::write(inner, 2)?;
    ensure_eq!((probe::read(outer), probe::read(inner)), (Ok(1), Ok(2)));
    let early = kernel.mm.kunmap_local(outer);
    ensure!(matches!(early, Err(KmapError::OutOfOrder { .. })), "{early:?}");
    kernel.mm.kunmap_local(inner)?;
    kernel.mm.kunmap_local(outer)?;
    refused(kernel.mm.kunmap_local(outer), &["selftest/highmem.rs"])?;
    ensure_eq!(kernel.mm.kmap_local_depth(), 0);
    kernel.mm.free_frames(block, 1)?;
    Ok(())
}

test!(low_frames_are_where_they_are, "highmem/low_frames_are_where_they_are", HIGH);
fn low_frames_are_where_they_are(kernel: &mut Kernel) -> Outcome {
    let frame = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    let direct = PAGE_OFFSET + frame.address();
    ensure_eq!(kernel.mm.kmap(frame), Ok(direct));
    ensure_eq!(kernel.mm.kmap_local(frame), Ok(direct));
    kernel.mm.kunmap_local(direct)?;
    kernel.mm.kunmap(frame)?;
    kernel.mm.free_frames(frame, 0)?;
    Ok(())
}

test!(programs_get_high_frames, "highmem/programs_get_high_frames", HIGH);
fn programs_get_high_frames(kernel: &mut Kernel) -> Outcome {
    let page = map_anonymous(kernel, 1, prot::READ | prot::WRITE)?;
    ensure_eq!(resolve(kernel, page, Access::Write), FaultKind::AnonWrite);
    let frame = entry(kernel, page).pfn();
    ensure!(kernel.mm.frames.is_highmem(frame), "frame {} is directly mapped", frame.0);
    // Nothing of whoever had it before, first word to last.
    ensure_eq!((probe::read(page), probe::read(page + PAGE_SIZE - 8)), (Ok(0), Ok(0)));
    probe::write(page + 8, 9)?;
    let address = kernel.mm.kmap_local(frame)?;
    ensure_eq!(probe::read(address + 8), Ok(9));
    kernel.mm.kunmap_local(address)?;
    unmap(kernel, page, 1)
}

test!(fixmap_shows_the_new_page, "highmem/fixmap_shows_the_new_page", HIGH);
fn fixmap_shows_the_new_page(kernel: &mut Kernel) -> Outcome {
    let frames =
        [kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?, kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?];
    for (value, frame) in (1..).zip(frames) {
        probe::write(PAGE_OFFSET + frame.address(), value)?;
    }
    let slot = Fixmap::IoApic;
    for (value, frame) in (1..).zip(frames) {
        ensure_eq!(kernel.mm.set_fixmap(slot, frame, Caching::Memory), Ok(slot.address()));
        ensure_eq!(probe::read(slot.address()), Ok(value));
    }
    kernel.mm.clear_fixmap(slot);
    ensure_eq!(probe::read(slot.address()), Err(Fault::page(0, slot.address())));
    for frame in frames {
        kernel.mm.free_frames(frame, 0)?;
    }
    Ok(())
}

test!(devices_get_what_they_reach, "highmem/devices_get_what_they_reach", HIGH);
fn devices_get_what_they_reach(kernel: &mut Kernel) -> Outcome {
    let size = 3 * PAGE_SIZE;
    let (address, handle) = kernel.mm.dma_alloc_coherent(size, ISA_MASK, Gfp::KERNEL)?;
    ensure!(handle + size - 1 <= ISA_MASK, "a device that reaches {ISA_MASK:#x} got {handle:#x}");
    ensure_eq!(address, PAGE_OFFSET + handle);
    ensure_eq!((probe::read(address), probe::read(address + size - 8)), (Ok(0), Ok(0)));
    let (wide, wide_handle) = kernel.mm.dma_alloc_coherent(size, u64::MAX, Gfp::KERNEL)?;
    ensure!(wide_handle > ISA_MASK, "zone DMA was used for a device that needs none of it");
    // Nothing is below one page.
    let refusal = kernel.mm.dma_alloc_coherent(PAGE_SIZE, PAGE_SIZE - 2, Gfp::KERNEL);
    ensure!(matches!(refusal, Err(DmaError::Mask { .. })), "{refusal:?}");
    let mismatch = kernel.mm.dma_free_coherent(size, address, wide_handle);
    ensure!(matches!(mismatch, Err(DmaError::Mismatch { .. })), "{mismatch:?}");
    kernel.mm.dma_free_coherent(size, address, handle)?;
    kernel.mm.dma_free_coherent(size, wide, wide_handle)?;
    refused(kernel.mm.dma_free_coherent(size, wide, wide_handle), &["already free"])
}
