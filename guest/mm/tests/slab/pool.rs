//! mempool: the elements it promises are there when nothing else is.

use pagelab_mm::{
    abi::code::Owner,
    frame::Gfp,
    mempool::{PoolError, Source},
    slab::CacheFlags,
};

use crate::model::{Cx, RAM, context, every_kind};

/// RAM where all of it is taken: 96 frames but for the first MiB, or many.
const LITTLE: u64 = if cfg!(miri) { 352 << 12 } else { RAM };

/// Takes every frame there is, also what only those get who cannot wait.
fn exhaust(cx: &mut Cx) -> Vec<pagelab_mm::machine::Pfn> {
    core::iter::from_fn(|| cx.alloc_frame(Gfp::ATOMIC | Gfp::MEMALLOC, Owner::Anon).ok()).collect()
}

#[test]
fn so_many_elements_are_there_when_memory_has_run_out() {
    for kind in every_kind() {
        let mut cx = context(LITTLE, kind);
        let cache = cx.kmem_cache_create("pooled", 1000, 0, CacheFlags::empty(), None).expect("possible");
        for source in [Source::Cache(cache), Source::Kmalloc(3000), Source::Frames(1)] {
            let mut pool = cx.mempool_create(7, source).expect("plenty");
            assert_eq!((pool.min_nr(), pool.curr_nr()), (7, 7));
            let hoard = exhaust(&mut cx);
            let mut elements: Vec<u64> =
                core::iter::from_fn(|| cx.mempool_alloc(&mut pool, Gfp::KERNEL).ok()).collect();
            assert!(elements.len() >= 7, "{source:?}: {}", elements.len());
            assert_eq!(pool.curr_nr(), 0);
            for round in 0..if cfg!(miri) { 3 } else { 20 } {
                let element = elements.swap_remove(round % elements.len());
                cx.mempool_free(&mut pool, element).expect("it is in flight");
                assert_eq!(pool.curr_nr(), 1, "the reserve is refilled first");
                let again = cx.mempool_alloc(&mut pool, Gfp::KERNEL).expect("one was given back");
                assert!(!elements.contains(&again));
                elements.push(again);
            }
            for element in elements {
                cx.mempool_free(&mut pool, element).expect("it is in flight");
            }
            assert_eq!(pool.curr_nr(), 7);
            for pfn in hoard {
                cx.free_frames(pfn, 0).expect("it was taken");
            }
            cx.mempool_destroy(pool);
        }
        cx.kmem_cache_destroy(cache).expect("the pool gave everything back");
        cx.check_slabs().expect("the caches are whole");
    }
}

#[test]
fn an_element_is_given_back_once_and_to_its_pool() {
    for kind in every_kind() {
        let mut cx = context(LITTLE, kind);
        for source in [Source::Kmalloc(64), Source::Frames(0)] {
            let mut pool = cx.mempool_create(2, source).expect("plenty");
            let hoard = exhaust(&mut cx);
            let elements: Vec<u64> = core::iter::from_fn(|| cx.mempool_alloc(&mut pool, Gfp::KERNEL).ok()).collect();
            let element = elements[elements.len() - 1];
            cx.mempool_free(&mut pool, element).expect("it is in flight");
            assert_eq!(cx.mempool_free(&mut pool, element), Err(PoolError::DoubleFree { element }));
            assert!(cx.mempool_free(&mut pool, 0xffff_8880_0000_0000).is_err(), "no element");
            assert_eq!(pool.curr_nr(), 1);
            for &element in &elements[..elements.len() - 1] {
                cx.mempool_free(&mut pool, element).expect("it is in flight");
            }
            for pfn in hoard {
                cx.free_frames(pfn, 0).expect("it was taken");
            }
            cx.mempool_destroy(pool);
        }
    }
}

#[test]
fn a_pool_grows_and_shrinks_and_fails_whole() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        let free = cx.frames.free();
        let mut pool = cx.mempool_create(4, Source::Frames(2)).expect("plenty");
        cx.mempool_resize(&mut pool, 30).expect("plenty");
        assert_eq!((pool.min_nr(), pool.curr_nr(), cx.frames.owned(Owner::Buffer)), (30, 30, 120));
        cx.mempool_resize(&mut pool, 3).expect("less");
        assert_eq!((pool.min_nr(), pool.curr_nr(), cx.frames.owned(Owner::Buffer)), (3, 3, 12));
        cx.mempool_resize(&mut pool, 100_000).expect_err("more than there is");
        assert_eq!((pool.min_nr(), pool.curr_nr(), cx.frames.owned(Owner::Buffer)), (3, 3, 12));
        cx.mempool_create(100_000, Source::Frames(2)).expect_err("more than there is");
        cx.mempool_destroy(pool);
        assert_eq!(cx.frames.free() + cx.frames.owned(Owner::Slab), free);
        cx.check_slabs().expect("the caches are whole");
    }
}
