//! What one operation costs, in ring-0 instructions: each does its operation as often as the host says.
//!
//! `pagelab bench` runs each with N and with 2N iterations and divides the difference by N, so what a benchmark does
//! before and after its loop, and the boot, do not count. The loop itself does: two or three instructions.

use core::hint::black_box;

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use pagelab_mm::{frame::Gfp, vma::Vma};

use super::{
    check::{Outcome, ensure},
    entry::{Machine, test},
    hog::Hog,
    iterations, slab,
};
use crate::state::Kernel;

/// With frames that the direct map leaves out.
const HIGH: Machine = Machine::BENCHMARK.memory(40 << 20).highmem(8 << 20).movable(0);

test!(empty_loop, "bench/empty_loop", Machine::BENCHMARK);
fn empty_loop(kernel: &mut Kernel) -> Outcome {
    for iteration in 0..iterations(kernel)? {
        black_box(iteration);
    }
    Ok(())
}

test!(frame_order_0, "bench/frame_order_0", Machine::BENCHMARK);
fn frame_order_0(kernel: &mut Kernel) -> Outcome {
    frame(kernel, 0)
}

test!(frame_order_3, "bench/frame_order_3", Machine::BENCHMARK);
fn frame_order_3(kernel: &mut Kernel) -> Outcome {
    frame(kernel, 3)
}

/// Takes a block and gives it back, again and again: the block is warm in every list after the first time.
fn frame(kernel: &mut Kernel, order: u8) -> Outcome {
    for _ in 0..iterations(kernel)? {
        let block = kernel.mm.alloc_frames(black_box(order), Gfp::KERNEL, Owner::Kernel)?;
        kernel.mm.free_frames(black_box(block), order)?;
    }
    Ok(())
}

test!(frame_order_0_cold, "bench/frame_order_0_cold", Machine::BENCHMARK);
fn frame_order_0_cold(kernel: &mut Kernel) -> Outcome {
    // All are taken, then all are given back: lists are filled and spilled a batch at a time.
    let mut hog = Hog::new();
    for _ in 0..iterations(kernel)? {
        ensure!(hog.take(kernel, 0, black_box(0), Gfp::KERNEL));
    }
    hog.give_back(kernel)
}

test!(vmalloc_page, "bench/vmalloc_page", Machine::BENCHMARK.lazy_vmalloc(false));
fn vmalloc_page(kernel: &mut Kernel) -> Outcome {
    for _ in 0..iterations(kernel)? {
        let address = kernel.mm.vmalloc(black_box(PAGE_SIZE))?;
        kernel.mm.vfree(black_box(address))?;
    }
    Ok(())
}

test!(kmalloc_64, "bench/kmalloc_64", Machine::BENCHMARK);
fn kmalloc_64(kernel: &mut Kernel) -> Outcome {
    for _ in 0..iterations(kernel)? {
        let address = kernel.mm.kmalloc(black_box(64), Gfp::KERNEL)?;
        kernel.mm.kfree(black_box(address))?;
    }
    Ok(())
}

test!(cache_object, "bench/cache_object", Machine::BENCHMARK);
fn cache_object(kernel: &mut Kernel) -> Outcome {
    let cache = slab::cache(kernel, 64)?;
    for _ in 0..iterations(kernel)? {
        let object = kernel.mm.kmem_cache_alloc(black_box(cache), Gfp::KERNEL)?;
        kernel.mm.kmem_cache_free(cache, black_box(object))?;
    }
    Ok(())
}

test!(cache_bulk_of_16, "bench/cache_bulk_of_16", Machine::BENCHMARK);
fn cache_bulk_of_16(kernel: &mut Kernel) -> Outcome {
    let cache = slab::cache(kernel, 64)?;
    let mut objects = [0; 16];
    for _ in 0..iterations(kernel)? {
        kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, black_box(&mut objects))?;
        kernel.mm.kmem_cache_free_bulk(cache, black_box(&objects))?;
    }
    Ok(())
}

test!(kmap, "bench/kmap", HIGH);
fn kmap(kernel: &mut Kernel) -> Outcome {
    let frame = kernel.mm.alloc_frame(Gfp::HIGHUSER, Owner::Kernel)?;
    for _ in 0..iterations(kernel)? {
        black_box(kernel.mm.kmap(black_box(frame))?);
        kernel.mm.kunmap(frame)?;
    }
    Ok(())
}

test!(kmap_local, "bench/kmap_local", HIGH);
fn kmap_local(kernel: &mut Kernel) -> Outcome {
    let frame = kernel.mm.alloc_frame(Gfp::HIGHUSER, Owner::Kernel)?;
    for _ in 0..iterations(kernel)? {
        let address = kernel.mm.kmap_local(black_box(frame))?;
        kernel.mm.kunmap_local(black_box(address))?;
    }
    Ok(())
}

test!(vma, "bench/vma", Machine::BENCHMARK);
fn vma(kernel: &mut Kernel) -> Outcome {
    for _ in 0..iterations(kernel)? {
        let slot = kernel.mm.alloc_vma(black_box(Vma::default()))?;
        kernel.mm.free_vma(black_box(slot));
    }
    Ok(())
}

test!(kmalloc_64_of_many, "bench/kmalloc_64_of_many", Machine::BENCHMARK);
fn kmalloc_64_of_many(kernel: &mut Kernel) -> Outcome {
    // With its second slab a cache gets an array from another cache.
    let mut kept = [0; 70];
    for address in &mut kept {
        *address = kernel.mm.kmalloc(64, Gfp::KERNEL)?;
    }
    kmalloc_64(kernel)?;
    for address in kept {
        kernel.mm.kfree(address)?;
    }
    Ok(())
}
