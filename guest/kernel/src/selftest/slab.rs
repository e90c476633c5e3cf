//! Tests of caches and kmalloc with real objects in the direct map, and of what happens when memory ends.

use pagelab_abi::{
    boot::SlabDebug,
    code::Owner,
    layout::{PAGE_OFFSET, PAGE_SIZE},
};
use pagelab_mm::{
    frame::Gfp,
    slab::{CacheFlags, CacheId, KMALLOC_MAX_CACHE_SIZE, ZERO_SIZE_PTR},
};

use super::{
    check::{Failure, Outcome, ensure, ensure_eq},
    entry::{Machine, test},
    hog::Hog,
    probe,
};
use crate::state::Kernel;

/// Without checks, which need room of their own.
const PLAIN: Machine = Machine::ANY.slab_debug(SlabDebug::empty());

/// A cache of the test's own.
pub(super) fn cache(kernel: &mut Kernel, size: u32) -> Result<CacheId, Failure> {
    Ok(kernel.mm.kmem_cache_create("selftest", size, 0, CacheFlags::empty(), None)?)
}

test!(objects_are_apart, "slab/objects_are_apart");
fn objects_are_apart(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, 40)?;
    let mut objects = [0; 150];
    for (number, object) in objects.iter_mut().enumerate() {
        *object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
        for word in 0..5 {
            probe::write(*object + 8 * word, number as u64 * 8 + word)?;
        }
    }
    ensure_eq!(kernel.mm.slabs.active(cache), 150);
    for (number, &object) in objects.iter().enumerate() {
        for word in 0..5 {
            ensure_eq!(probe::read(object + 8 * word), Ok(number as u64 * 8 + word));
        }
        kernel.mm.kmem_cache_free(cache, object)?;
    }
    ensure_eq!(kernel.mm.slabs.active(cache), 0);
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(freed_objects_come_again, "slab/freed_objects_come_again");
fn freed_objects_come_again(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, 64)?;
    let mut objects = [0; 40];
    for object in &mut objects {
        *object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
    }
    let slabs = kernel.mm.slabs.slabs(cache);
    for round in 0..3 {
        for object in &mut objects[round..] {
            kernel.mm.kmem_cache_free(cache, *object)?;
            *object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
        }
    }
    ensure_eq!(kernel.mm.slabs.slabs(cache), slabs);
    for (number, &object) in objects.iter().enumerate() {
        ensure!(!objects[..number].contains(&object), "object {object:#x} was handed out twice");
        kernel.mm.kmem_cache_free(cache, object)?;
    }
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(constructed_once, "slab/constructed_once", PLAIN);
fn constructed_once(kernel: &mut Kernel) -> Outcome {
    fn construct(address: u64, word: usize) -> u64 {
        address ^ word as u64
    }
    let cache = kernel.mm.kmem_cache_create("selftest", 48, 0, CacheFlags::empty(), Some(construct))?;
    let object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
    for word in 0..6 {
        ensure_eq!(probe::read(object + 8 * word), Ok(object ^ word));
    }
    // Who frees an object leaves it as constructed, or says otherwise, which the next one then finds.
    probe::write(object + 16, 4711)?;
    kernel.mm.kmem_cache_free(cache, object)?;
    let again = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
    ensure_eq!(again, object);
    ensure_eq!((probe::read(object), probe::read(object + 16)), (Ok(object), Ok(4711)));
    kernel.mm.kmem_cache_free(cache, again)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(aligned_to_cache_lines, "slab/aligned_to_cache_lines");
fn aligned_to_cache_lines(kernel: &mut Kernel) -> Outcome {
    let cache = kernel.mm.kmem_cache_create("selftest", 100, 0, CacheFlags::HWCACHE_ALIGN, None)?;
    let mut objects = [0; 40];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    ensure!(objects.iter().all(|object| object.is_multiple_of(64)), "{objects:x?}");
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(bulk, "slab/bulk");
fn bulk(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, 96)?;
    let mut objects = [0; 100];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    for (number, &object) in objects.iter().enumerate() {
        probe::write(object, number as u64)?;
    }
    for (number, &object) in objects.iter().enumerate() {
        ensure_eq!(probe::read(object), Ok(number as u64));
    }
    ensure_eq!(kernel.mm.slabs.active(cache), 100);
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    ensure_eq!(kernel.mm.slabs.active(cache), 0);
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(shrinks, "slab/shrinks");
fn shrinks(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, 512)?;
    let frames = |kernel: &Kernel| kernel.mm.frames.owned(Owner::Slab);
    let before = frames(kernel);
    let mut objects = [0; 64];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    ensure!(frames(kernel) >= before + 8, "64 objects of 512 bytes in {} frames", frames(kernel) - before);
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    kernel.mm.kmem_cache_shrink(cache);
    ensure_eq!(kernel.mm.slabs.slabs(cache), 0);
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(large_objects, "slab/large_objects");
fn large_objects(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, 2048)?;
    let mut objects = [0; 12];
    for (number, object) in (0..).zip(&mut objects) {
        *object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
        probe::write(*object, number)?;
        probe::write(*object + 2040, !number)?;
    }
    for (number, &object) in (0..).zip(&objects) {
        ensure_eq!((probe::read(object), probe::read(object + 2040)), (Ok(number), Ok(!number)));
        kernel.mm.kmem_cache_free(cache, object)?;
    }
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(kmalloc_sizes, "slab/kmalloc_sizes");
fn kmalloc_sizes(kernel: &mut Kernel) -> Outcome {
    let sizes = [1, 8, 9, 33, 64, 96, 100, 128, 192, 200, 513, 1024, 4096, KMALLOC_MAX_CACHE_SIZE];
    let mut objects = [0; 14];
    for (object, &size) in objects.iter_mut().zip(&sizes) {
        *object = kernel.mm.kmalloc(size, Gfp::KERNEL)?;
        let usable = kernel.mm.ksize(*object)?;
        ensure!(usable >= size && usable < 2 * size.max(8), "{usable} bytes for {size}");
        ensure!(object.is_multiple_of(if size.is_power_of_two() { size.clamp(8, 64) } else { 8 }), "{object:#x}");
        probe::write(*object, size)?;
        probe::write(*object + usable - 8, size)?;
    }
    for (&object, &size) in objects.iter().zip(&sizes) {
        ensure_eq!(probe::read(object), Ok(size));
        kernel.mm.kfree(object)?;
    }
    ensure_eq!(kernel.mm.kmalloc(0, Gfp::KERNEL), Ok(ZERO_SIZE_PTR));
    kernel.mm.kfree(ZERO_SIZE_PTR)?;
    kernel.mm.kfree(0)?;
    Ok(())
}

test!(kmalloc_of_whole_frames, "slab/kmalloc_of_whole_frames");
fn kmalloc_of_whole_frames(kernel: &mut Kernel) -> Outcome {
    let frames = |kernel: &Kernel| kernel.mm.frames.owned(Owner::Kmalloc);
    let before = frames(kernel);
    for (bytes, taken) in [(KMALLOC_MAX_CACHE_SIZE + 1, 4), (10 * PAGE_SIZE, 16), (1 << 22, 1024)] {
        let object = kernel.mm.kmalloc(bytes, Gfp::KERNEL)?;
        ensure_eq!(frames(kernel) - before, taken);
        ensure_eq!(kernel.mm.ksize(object)?, taken * PAGE_SIZE);
        probe::write(object + bytes - 8, 1)?;
        kernel.mm.kfree(object)?;
        ensure!(kernel.mm.kfree(object).is_err(), "a block was freed twice");
    }
    ensure!(kernel.mm.kmalloc((1 << 22) + 1, Gfp::KERNEL).is_err(), "more than the largest block");
    let low = kernel.mm.kmalloc(100, Gfp::KERNEL | Gfp::DMA)?;
    ensure!(low - PAGE_OFFSET < 16 << 20, "{low:#x} is not in zone DMA");
    kernel.mm.kfree(low)?;
    Ok(())
}

test!(zeroed, "slab/zeroed");
fn zeroed(kernel: &mut Kernel) -> Outcome {
    let dirty = kernel.mm.kmalloc(256, Gfp::KERNEL)?;
    for word in 0..32 {
        probe::write(dirty + 8 * word, u64::MAX)?;
    }
    kernel.mm.kfree(dirty)?;
    let clean = kernel.mm.kmalloc(256, Gfp::KERNEL | Gfp::ZERO)?;
    for word in 0..32 {
        ensure_eq!(probe::read(clean + 8 * word), Ok(0));
    }
    kernel.mm.kfree(clean)?;
    Ok(())
}

test!(krealloc_keeps_the_contents, "slab/krealloc_keeps_the_contents");
fn krealloc_keeps_the_contents(kernel: &mut Kernel) -> Outcome {
    let mut object = kernel.mm.krealloc(0, 32, Gfp::KERNEL)?;
    for word in 0..4 {
        probe::write(object + 8 * word, 10 + word)?;
    }
    ensure_eq!(kernel.mm.krealloc(object, 20, Gfp::KERNEL), Ok(object));
    for size in [100, 5000, 3 * PAGE_SIZE] {
        object = kernel.mm.krealloc(object, size, Gfp::KERNEL)?;
        ensure!(kernel.mm.ksize(object)? >= size);
        for word in 0..4 {
            ensure_eq!(probe::read(object + 8 * word), Ok(10 + word));
        }
    }
    ensure_eq!(kernel.mm.krealloc(object, 0, Gfp::KERNEL), Ok(ZERO_SIZE_PTR));
    Ok(())
}

test!(exhausted, "slab/exhausted", PLAIN.memory(16 << 20));
fn exhausted(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, 1000)?;
    let mut objects = [0; 400];
    let mut hog = Hog::new();
    hog.take_all(kernel, Gfp::KERNEL);
    let mut count = 0;
    let refused = loop {
        match kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL) {
            Ok(object) => objects[count] = object,
            Err(error) => break error,
        }
        count += 1;
        ensure!(count < objects.len(), "{count} objects where no frame was left");
    };
    // Who cannot wait has the reserve.
    let urgent = kernel.mm.kmem_cache_alloc(cache, Gfp::ATOMIC)?;
    kernel.mm.kmem_cache_free(cache, urgent)?;
    for &object in &objects[..count] {
        kernel.mm.kmem_cache_free(cache, object)?;
    }
    hog.give_back(kernel)?;
    let object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL).map_err(|error| (error, refused))?;
    kernel.mm.kmem_cache_free(cache, object)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}
