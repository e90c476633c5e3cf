//! One rule a test: what the calls promise.

use pagelab_mm::{
    abi::{boot::SlabDebug, code::SlabAllocator, layout::PAGE_OFFSET},
    frame::Gfp,
    slab::{CacheFlags, CreateError, Mistake, ReallocError, ZERO_SIZE_PTR, memory},
};

use crate::model::{Model, RAM, context, every_kind};

/// The largest size that is asked for.
const LARGE: u64 = if cfg!(miri) { 1 << 18 } else { 1 << 20 };
const PLAIN: (SlabAllocator, SlabDebug) = (SlabAllocator::Queued, SlabDebug::empty());

#[test]
fn objects_begin_where_their_alignment_says() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        for (name, size, align, expected) in
            [("a", 24, 0, 8), ("b", 24, 32, 32), ("c", 100, 128, 128), ("d", 3000, 1024, 1024)]
        {
            let cache = cx.kmem_cache_create(name, size, align, CacheFlags::empty(), None).expect("possible");
            for _ in 0..if cfg!(miri) { 5 } else { 50 } {
                let object = cx.kmem_cache_alloc(cache, Gfp::KERNEL).expect("plenty");
                assert!(object.is_multiple_of(expected), "{name} {object:#x}");
            }
        }
        let line = cx.kmem_cache_create("line", 40, 0, CacheFlags::HWCACHE_ALIGN, None).expect("possible");
        assert!(cx.kmem_cache_alloc(line, Gfp::KERNEL).expect("plenty").is_multiple_of(64));
        let half = cx.kmem_cache_create("half", 20, 0, CacheFlags::HWCACHE_ALIGN, None).expect("possible");
        assert!(cx.kmem_cache_alloc(half, Gfp::KERNEL).expect("plenty").is_multiple_of(32));
    }
}

#[test]
fn a_cache_that_cannot_be_is_refused() {
    let mut cx = context(RAM, PLAIN);
    for (size, align) in [(0, 0), (64, 3), (64, 8192), (1 << 20, 0), (u32::MAX, 0)] {
        let result = cx.kmem_cache_create("impossible", size, align, CacheFlags::empty(), None);
        assert_eq!(result, Err(CreateError::Impossible), "{size} {align}");
    }
    let cache = cx.kmem_cache_create("twice", 64, 0, CacheFlags::empty(), None).expect("possible");
    assert_eq!(cx.kmem_cache_create("twice", 64, 0, CacheFlags::empty(), None), Err(CreateError::Exists));
    cx.kmem_cache_destroy(cache).expect("it is empty");
    cx.kmem_cache_create("twice", 64, 0, CacheFlags::empty(), None).expect("the name is free again");
}

#[test]
fn slabs_have_colours() {
    let mut cx = context(RAM, PLAIN);
    // Three objects of 1216 bytes leave 448 bytes, most of it room for six steps of a cache line.
    let cache = cx.kmem_cache_create("coloured", 1216, 64, CacheFlags::empty(), None).expect("possible");
    let objects: Vec<u64> = (0..40).map(|_| cx.kmem_cache_alloc(cache, Gfp::KERNEL).expect("plenty")).collect();
    let mut first: Vec<u64> = objects.iter().map(|object| object % 4096).filter(|&offset| offset < 1216).collect();
    first.sort_unstable();
    first.dedup();
    assert!(first.len() >= 4, "slabs begin at different lines: {first:x?}");
    assert!(first.iter().all(|offset| offset % 64 == 0));
}

#[test]
fn an_empty_slab_goes_when_it_is_not_needed_and_shrink_takes_the_rest() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        let free = cx.frames.free();
        let mut cache = Model::new(&mut cx, "shrunk", 256, 0, false);
        let count = if cfg!(miri) { 320 } else { 600 };
        let objects: Vec<u64> = (0..count).map(|n| cache.take(&mut cx, n).expect("plenty")).collect();
        let slabs = cx.slabs.slabs(cache.id);
        assert!(u64::from(slabs) >= count * 256 / 4096, "{slabs}");
        for object in objects {
            cache.give(&mut cx, object).expect("it is handed out");
        }
        assert!(
            cx.slabs.slabs(cache.id) <= slabs / 2,
            "{kind:?}: {} of {slabs} slabs are kept",
            cx.slabs.slabs(cache.id)
        );
        let kept = cx.slabs.slabs(cache.id);
        assert!(cx.kmem_cache_shrink(cache.id) >= kept);
        assert_eq!(cx.slabs.slabs(cache.id), 0);
        cx.kmem_cache_destroy(cache.id).expect("it is empty");
        let general: Vec<_> = cx.slabs.general_caches().collect();
        for cache in general.into_iter().rev() {
            cx.kmem_cache_shrink(cache);
        }
        assert_eq!(cx.frames.free(), free, "every frame came back");
    }
}

#[test]
fn a_destroyed_cache_is_one_no_more() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        let mut cache = Model::new(&mut cx, "gone", 128, 0, false);
        let id = cache.id;
        let object = cache.take(&mut cx, 1).expect("plenty");
        let leak = cx.kmem_cache_destroy(id).expect_err("an object is out");
        assert_eq!((leak.mistake, leak.object), (Mistake::Leak { objects: 1 }, object));
        cache.verify(&cx, object);
        cache.finish(&mut cx);
        assert!(cx.kmem_cache_alloc(id, Gfp::KERNEL).is_err());
        assert_eq!(cx.kmem_cache_free(id, object).expect_err("gone").mistake, Mistake::DestroyedCache);
        assert_eq!(cx.kmem_cache_destroy(id).expect_err("gone").mistake, Mistake::DestroyedCache);
        assert_eq!(cx.kfree(object).expect_err("gone").mistake, Mistake::NoObject);
        let next = Model::new(&mut cx, "next", 128, 0, false);
        assert_ne!(next.id, id);
        assert_eq!(cx.slabs.reported(), 4);
    }
}

#[test]
fn a_leak_report_names_every_object() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        let mut cache = Model::new(&mut cx, "leaky", 72, 0, false);
        let (count, leaked) = if cfg!(miri) { (60, 20) } else { (300, 100) };
        for n in 0..count {
            cache.take(&mut cx, n).expect("plenty");
        }
        while cache.live.len() > leaked {
            let object = cache.pick(cache.live.len() as u64 * 0x9e37_79b9).expect("some are left");
            cache.give(&mut cx, object).expect("it is handed out");
        }
        let mut left = Vec::new();
        cx.for_each_object(cache.id, |object, _| left.push(object));
        left.sort_unstable();
        assert_eq!(left, cache.live.keys().copied().collect::<Vec<_>>());
        assert_eq!(
            cx.kmem_cache_destroy(cache.id).expect_err("leaks").mistake,
            Mistake::Leak { objects: leaked as u32 }
        );
        cache.finish(&mut cx);
    }
}

#[test]
fn kmalloc_has_every_size() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        for bytes in [1, 8, 9, 64, 65, 96, 97, 128, 192, 193, 256, 4095, 4096, 8192, 8193, 100_000, LARGE] {
            let address = cx.kmalloc(bytes, Gfp::KERNEL).expect("plenty");
            let usable = cx.ksize(address).expect("it is handed out");
            assert!(usable >= bytes && usable < 2 * bytes.max(8), "{bytes} {usable}");
            memory::fill(&mut cx.machine, address, usable / 8, 0x5555);
            cx.kfree(address).expect("it is handed out");
            cx.kfree(address).expect_err("it is free");
        }
        assert_eq!(cx.kmalloc(0, Gfp::KERNEL), Ok(ZERO_SIZE_PTR));
        cx.kfree(ZERO_SIZE_PTR).expect("nothing");
        cx.kfree(0).expect("nothing");
        assert_eq!((cx.ksize(0), cx.ksize(ZERO_SIZE_PTR)), (Ok(0), Ok(0)));
        assert!(cx.kmalloc(1 << 40, Gfp::KERNEL).is_err());
        let low = cx.kmalloc(64, Gfp::KERNEL | Gfp::DMA).expect("plenty");
        assert!(low - PAGE_OFFSET < 16 << 20);
        cx.kfree(low).expect("it is handed out");
        cx.kfree(low + 4096).expect_err("it begins elsewhere");
    }
}

#[test]
fn krealloc_keeps_contents_and_refuses_what_is_free() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        let mut address = cx.krealloc(0, 8, Gfp::KERNEL).expect("a kmalloc");
        memory::store(&mut cx.machine, address, 42);
        for bytes in [16, 100, 5000, 8192, 30_000, 3] {
            address = cx.krealloc(address, bytes, Gfp::KERNEL).expect("plenty");
            assert_eq!(memory::load(&cx.machine, address), 42);
        }
        assert_eq!(cx.krealloc(address, 0, Gfp::KERNEL), Ok(ZERO_SIZE_PTR));
        assert!(matches!(cx.krealloc(address, 8, Gfp::KERNEL), Err(ReallocError::Mistake(_))));
        let small = cx.kmalloc(32, Gfp::KERNEL).expect("plenty");
        assert_eq!(cx.krealloc(small, 1 << 40, Gfp::KERNEL), Err(ReallocError::OutOfMemory));
        cx.kfree(small).expect("it is as it was");
    }
}
