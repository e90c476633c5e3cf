//! Tests of mempools: what they promise holds when there is not one frame left.

use pagelab_mm::{
    frame::Gfp,
    mempool::{PoolError, Source},
};

use super::{
    check::{Outcome, ensure, ensure_eq},
    entry::{Machine, test},
    hog::Hog,
    probe, slab,
};
use crate::state::Kernel;

/// Elements of the reserve.
const RESERVE: usize = 8;
/// Little memory, which is soon taken.
const SMALL: Machine = Machine::ANY.memory(16 << 20);

/// Takes all memory and looks at what a pool still gives: its reserve, then nothing, and what came back again.
fn keeps_its_word(kernel: &mut Kernel, source: Source) -> Outcome {
    let mut pool = kernel.mm.mempool_create(RESERVE as u32, source)?;
    // As long as there is memory, the reserve is not touched.
    let one = kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL)?;
    ensure_eq!(pool.curr_nr(), RESERVE as u32);
    let mut hog = Hog::new();
    hog.take_all(kernel, Gfp::KERNEL | Gfp::MEMALLOC);
    // What a cache has left of its slabs comes first.
    let mut spare = [0; 64];
    let mut spares = 0;
    while pool.curr_nr() == RESERVE as u32 {
        spare[spares] = kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL)?;
        spares += 1;
    }
    for element in &mut spare[spares..spares + RESERVE - 1] {
        *element = kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL)?;
    }
    spares += RESERVE - 1;
    ensure_eq!(pool.curr_nr(), 0);
    ensure!(kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL).is_err(), "more than the pool has promised");
    for (number, &element) in (0..).zip(&spare[..spares]) {
        probe::write(element, number)?;
    }
    for (number, &element) in (0..).zip(&spare[..spares]) {
        ensure_eq!(probe::read(element), Ok(number));
    }
    // One that comes back is there for the next.
    kernel.mm.mempool_free(&mut pool, one)?;
    let again = kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL)?;
    ensure_eq!(again, one);
    kernel.mm.mempool_free(&mut pool, again)?;
    for &element in &spare[..spares] {
        kernel.mm.mempool_free(&mut pool, element)?;
    }
    ensure_eq!(pool.curr_nr(), RESERVE as u32);
    kernel.mm.mempool_destroy(pool);
    hog.give_back(kernel)
}

test!(of_objects, "mempool/of_objects", SMALL);
fn of_objects(kernel: &mut Kernel) -> Outcome {
    let cache = slab::cache(kernel, 256)?;
    keeps_its_word(kernel, Source::Cache(cache))?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(of_kmalloc, "mempool/of_kmalloc", SMALL);
fn of_kmalloc(kernel: &mut Kernel) -> Outcome {
    keeps_its_word(kernel, Source::Kmalloc(500))
}

test!(of_frames, "mempool/of_frames", SMALL);
fn of_frames(kernel: &mut Kernel) -> Outcome {
    keeps_its_word(kernel, Source::Frames(1))
}

test!(double_free, "mempool/double_free");
fn double_free(kernel: &mut Kernel) -> Outcome {
    let mut pool = kernel.mm.mempool_create(2, Source::Kmalloc(64))?;
    let element = kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL)?;
    kernel.mm.mempool_free(&mut pool, element)?;
    let again = kernel.mm.mempool_free(&mut pool, element);
    ensure!(again.is_err(), "an element was freed twice");
    kernel.mm.mempool_destroy(pool);
    Ok(())
}

test!(in_reserve_already, "mempool/in_reserve_already", SMALL);
fn in_reserve_already(kernel: &mut Kernel) -> Outcome {
    let mut pool = kernel.mm.mempool_create(2, Source::Frames(0))?;
    let mut hog = Hog::new();
    hog.take_all(kernel, Gfp::KERNEL | Gfp::MEMALLOC);
    let element = kernel.mm.mempool_alloc(&mut pool, Gfp::KERNEL)?;
    kernel.mm.mempool_free(&mut pool, element)?;
    let again = kernel.mm.mempool_free(&mut pool, element);
    ensure!(matches!(again, Err(PoolError::DoubleFree { .. })), "{again:?}");
    ensure_eq!(pool.curr_nr(), 2);
    kernel.mm.mempool_destroy(pool);
    hog.give_back(kernel)
}

test!(resized, "mempool/resized");
fn resized(kernel: &mut Kernel) -> Outcome {
    let mut pool = kernel.mm.mempool_create(2, Source::Kmalloc(64))?;
    kernel.mm.mempool_resize(&mut pool, 6)?;
    ensure_eq!((pool.min_nr(), pool.curr_nr()), (6, 6));
    kernel.mm.mempool_resize(&mut pool, 3)?;
    ensure_eq!((pool.min_nr(), pool.curr_nr()), (3, 3));
    kernel.mm.mempool_destroy(pool);
    Ok(())
}
