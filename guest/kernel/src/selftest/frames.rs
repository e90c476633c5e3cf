//! Tests of the frame allocator on the real `Page` array: blocks, mistakes, zones, and what happens when memory ends.

use pagelab_abi::{
    code::{FrameAllocator, Owner},
    layout::{PAGE_OFFSET, PAGE_SIZE},
};
use pagelab_mm::{
    frame::{Gfp, MAX_ORDER},
    machine::{Machine as _, Pfn},
};

use super::{
    check::{Outcome, ensure, ensure_eq, refused, says},
    entry::{Machine, test},
    hog::Hog,
    probe,
};
use crate::state::Kernel;

/// First frame beyond zone DMA.
const DMA_END: u32 = (16 << 20) / PAGE_SIZE as u32;

test!(single, "frames/single");
fn single(kernel: &mut Kernel) -> Outcome {
    let one = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    let other = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    ensure!(one != other, "frame {} was handed out twice", one.0);
    for (frame, value) in [(one, 0x1111_2222_3333_4444), (other, 0x5555_6666_7777_8888)] {
        probe::write(PAGE_OFFSET + frame.address(), value)?;
        ensure_eq!(kernel.mm.machine.frame(frame).0[0], value);
    }
    ensure_eq!(kernel.mm.machine.frame(one).0[0], 0x1111_2222_3333_4444);
    kernel.mm.free_frames(one, 0)?;
    kernel.mm.free_frames(other, 0)?;
    Ok(())
}

test!(every_order, "frames/every_order");
fn every_order(kernel: &mut Kernel) -> Outcome {
    for order in 0..=MAX_ORDER {
        let free = kernel.mm.frames.free();
        let block = kernel.mm.alloc_frames(order, Gfp::KERNEL, Owner::Kernel)?;
        ensure!(block.0.is_multiple_of(1 << order), "the block of order {order} begins at frame {}", block.0);
        // The first and the last frame are there and are not the same memory.
        let last = Pfn(block.0 + (1 << order) - 1);
        kernel.mm.machine.frame_mut(block).0[0] = 1;
        kernel.mm.machine.frame_mut(last).0[511] = 2;
        ensure_eq!(kernel.mm.machine.frame(block).0[0], 1);
        kernel.mm.free_frames(block, order)?;
        ensure_eq!(kernel.mm.frames.free(), free);
    }
    ensure!(kernel.mm.alloc_frames(MAX_ORDER + 1, Gfp::KERNEL, Owner::Kernel).is_err(), "order 11 was met");
    Ok(())
}

test!(zeroed, "frames/zeroed");
fn zeroed(kernel: &mut Kernel) -> Outcome {
    let dirty = kernel.mm.alloc_frames(1, Gfp::KERNEL, Owner::Kernel)?;
    for pfn in [dirty, Pfn(dirty.0 + 1)] {
        kernel.mm.machine.frame_mut(pfn).0[0] = u64::MAX;
        kernel.mm.machine.frame_mut(pfn).0[511] = u64::MAX;
    }
    kernel.mm.free_frames(dirty, 1)?;
    let clean = kernel.mm.alloc_frames(1, Gfp::KERNEL | Gfp::ZERO, Owner::Kernel)?;
    ensure_eq!(clean, dirty);
    for pfn in [clean, Pfn(clean.0 + 1)] {
        let words = &kernel.mm.machine.frame(pfn).0;
        ensure_eq!((words[0], words[511]), (0, 0));
    }
    kernel.mm.free_frames(clean, 1)?;
    Ok(())
}

test!(double_free, "frames/double_free");
fn double_free(kernel: &mut Kernel) -> Outcome {
    let frame = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    kernel.mm.free_frames(frame, 0)?;
    let free = kernel.mm.frames.free();
    let error = kernel.mm.free_frames(frame, 0).err().ok_or("a frame was freed twice")?;
    // Who freed it again, and who freed it before.
    let here = "selftest/frames.rs";
    says(&kernel.mm.describe(error), &["already free", "called from", "freed before at", here, here])?;
    ensure_eq!(kernel.mm.frames.free(), free);
    Ok(())
}

test!(wrong_frees, "frames/wrong_frees");
fn wrong_frees(kernel: &mut Kernel) -> Outcome {
    let block = kernel.mm.alloc_frames(2, Gfp::KERNEL, Owner::Kernel)?;
    let mm = &mut kernel.mm;
    refused(mm.free_frames(block, 1), &["allocated with order 2"])?;
    refused(mm.free_frames(Pfn(block.0 + 1), 0), &["inside the block"])?;
    mm.get_frame(block)?;
    refused(mm.free_frames(block, 2), &["2 references"])?;
    ensure_eq!(mm.put_frame(block), Ok(false));
    // The kernel's own image, and a frame far beyond RAM.
    refused(mm.free_frames(Pfn(0x100), 0), &["never given to the allocator"])?;
    refused(mm.free_frames(Pfn(u32::MAX), 0), &["zone"])?;
    mm.free_frames(block, 2)?;
    Ok(())
}

test!(single_zone, "frames/dma_stays_below_16m", Machine::ANY.memory(32 << 20));
fn single_zone(kernel: &mut Kernel) -> Outcome {
    let mut hog = Hog::new();
    hog.take_all(kernel, Gfp::KERNEL | Gfp::DMA);
    ensure!(hog.all(kernel, |(pfn, order)| pfn.0 + (1 << order) <= DMA_END), "a frame for DMA is above 16 MiB");
    // What asks for more than zone DMA has still finds memory.
    let ordinary = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    ensure!(ordinary.0 >= DMA_END, "an ordinary request was met from zone DMA (frame {})", ordinary.0);
    kernel.mm.free_frames(ordinary, 0)?;
    hog.give_back(kernel)
}

/// Frames on all CPUs' lists.
fn listed(kernel: &Kernel) -> u64 {
    kernel.mm.frames.zone_entries(&kernel.mm.machine).map(|zone| u64::from(zone.pcp_count)).sum()
}

test!(cpu_lists, "frames/cpu_lists", Machine::ANY.frames(FrameAllocator::Buddy));
fn cpu_lists(kernel: &mut Kernel) -> Outcome {
    kernel.mm.drain_all_pages();
    ensure_eq!(listed(kernel), 0);
    let free = kernel.mm.frames.free();
    let frame = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    kernel.mm.free_frames(frame, 0)?;
    // It is on a list, where it counts as free, and comes again first.
    ensure!(listed(kernel) > 0, "a single frame went past the lists");
    ensure_eq!(kernel.mm.frames.free(), free);
    ensure_eq!(kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel), Ok(frame));
    kernel.mm.free_frames(frame, 0)?;
    let error = kernel.mm.free_frames(frame, 0).err().ok_or("a frame on a list was freed")?;
    says(&kernel.mm.describe(error), &["already free"])?;
    kernel.mm.drain_all_pages();
    ensure_eq!((listed(kernel), kernel.mm.frames.free()), (0, free));
    Ok(())
}

test!(lists_are_drained_for_a_block, "frames/lists_are_drained_for_a_block", Machine::ANY.memory(16 << 20));
fn lists_are_drained_for_a_block(kernel: &mut Kernel) -> Outcome {
    // Many frames one by one, so that there are buddies among them, then everything else.
    let mut singles = [Pfn::NONE; 48];
    for single in &mut singles {
        *single = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    }
    let mut hog = Hog::new();
    let all = Gfp::KERNEL | Gfp::MEMALLOC;
    hog.take_all(kernel, all);
    for single in singles {
        kernel.mm.free_frames(single, 0)?;
    }
    // They are free, but on a list, where no two are joined.
    ensure!(listed(kernel) > 0);
    ensure!(kernel.mm.alloc_frames(1, all | Gfp::NORETRY, Owner::Kernel).is_err(), "__GFP_NORETRY drained the lists");
    let block = kernel.mm.alloc_frames(1, all, Owner::Kernel)?;
    kernel.mm.free_frames(block, 1)?;
    hog.give_back(kernel)
}
