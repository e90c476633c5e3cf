//! What the trace is told of caches: names before use, slabs before their first touch, each object's way.

use pagelab_mm::{
    abi::{
        boot::SlabDebug,
        code::{SlabAllocator, SlabOp},
        name,
    },
    frame::Gfp,
    sim::new_context,
    slab::CacheFlags,
};

use crate::model::RAM;

#[test]
fn every_step_of_a_cache_is_told_in_order() {
    for allocator in [SlabAllocator::Queued, SlabAllocator::Freelist] {
        let mut cx = new_context(RAM);
        cx.slabs.configure(allocator, SlabDebug::empty());
        let cache = cx.kmem_cache_create("told", 256, 0, CacheFlags::empty(), None).expect("possible");
        let id = name::FIRST_CACHE + cache.number() as u32;
        assert_eq!(cx.trace.names.get(&id).map(String::as_str), Some("told"));
        let object = cx.kmem_cache_alloc(cache, Gfp::KERNEL).expect("plenty");
        cx.kmem_cache_free(cache, object).expect("it is handed out");
        cx.kmem_cache_destroy(cache).expect("it is empty");
        let ops: Vec<SlabOp> = cx.trace.slabs.iter().map(|event| event.op).collect();
        let expected = [SlabOp::Create, SlabOp::Grow, SlabOp::Alloc, SlabOp::Free, SlabOp::Reap, SlabOp::Destroy];
        assert_eq!(ops, expected);
        assert!(cx.trace.slabs.iter().all(|event| event.cache == id));
        let [create, grow, alloc, free, reap, _] = cx.trace.slabs[..] else { unreachable!("six were told") };
        assert_eq!((create.bytes_requested, create.bytes_allocated), (256, 256));
        assert_eq!((grow.address, grow.bytes_allocated), (object & !0xfff, 4096));
        assert_eq!((alloc.address, alloc.bytes_requested, alloc.gfp), (object, 256, Gfp::KERNEL.bits()));
        assert_eq!((free.address, reap.address), (object, grow.address));
    }
}

#[test]
fn kmalloc_tells_what_was_asked_for_and_what_it_took() {
    let mut cx = new_context(RAM);
    let address = cx.kmalloc(100, Gfp::KERNEL).expect("plenty");
    let event = *cx.trace.slabs.last().expect("it is told");
    assert_eq!((event.op, event.address), (SlabOp::Alloc, address));
    assert_eq!((event.bytes_requested, event.bytes_allocated), (100, 128));
    assert_eq!(cx.trace.names.get(&event.cache).map(String::as_str), Some("kmalloc-128"));
}
