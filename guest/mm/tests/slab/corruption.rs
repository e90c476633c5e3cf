//! Corruption put in on purpose: each is reported exactly as often as it was done, with its place, and the cache goes on.

use pagelab_mm::{
    abi::{boot::SlabDebug, code::SlabAllocator},
    frame::Gfp,
    sim::{SimContext, new_context},
    slab::{CacheFlags, CacheId, Mistake, SlabError, memory},
    trace::Trace,
};

use crate::model::RAM;

const BOTH: [SlabAllocator; 2] = [SlabAllocator::Queued, SlabAllocator::Freelist];

/// A machine with one cache of 200-byte objects, one object of which is at 200 bytes to its right red zone.
fn machine(allocator: SlabAllocator, debug: SlabDebug) -> (SimContext, CacheId) {
    let mut cx = new_context(RAM);
    cx.slabs.configure(allocator, debug);
    let cache = cx.kmem_cache_create("victim", 200, 0, CacheFlags::empty(), None).expect("possible");
    (cx, cache)
}

fn take(cx: &mut SimContext, cache: CacheId) -> u64 {
    cx.kmem_cache_alloc(cache, Gfp::KERNEL).expect("plenty")
}

/// Changes one byte.
fn damage(cx: &mut SimContext, address: u64) {
    let word = memory::load(&cx.machine, address & !7);
    memory::store(&mut cx.machine, address & !7, word ^ 0xff << (8 * (address & 7)));
}

fn last(cx: &mut SimContext) -> SlabError {
    cx.slabs.take_report().expect("it was reported")
}

#[test]
fn a_write_past_the_end_is_found_on_free_and_a_write_before_the_start_too() {
    for allocator in BOTH {
        let (mut cx, cache) = machine(allocator, SlabDebug::RED_ZONE | SlabDebug::TRACK);
        for (offset, mistake, at) in [(200, Mistake::RedZoneAfter, 200), (-1, Mistake::RedZoneBefore, -8)] {
            let object = take(&mut cx, cache);
            let line = line!() - 1;
            damage(&mut cx, object.wrapping_add_signed(offset));
            let before = cx.slabs.reported();
            let error = cx.kmem_cache_free(cache, object).expect_err("a red zone is broken");
            assert_eq!((error.mistake, error.object, error.offset, error.cache), (mistake, object, at, "victim"));
            assert_eq!((error.found ^ error.expected).count_ones(), 8);
            assert_eq!(cx.slabs.reported(), before + 1);
            let text = error.text(&cx.trace).to_string();
            assert!(text.starts_with("BUG victim: ") && text.contains("red zone overwritten: object 0xffff"), "{text}");
            assert!(text.contains("corruption.rs"), "{line}: {text}");
            assert_eq!(cx.slabs.active(cache), 0, "it was given back all the same");
            take(&mut cx, cache);
            assert_eq!(cx.slabs.reported(), before + 1, "it was mended");
            cx.kmem_cache_free(cache, object).expect("it is handed out");
        }
    }
}

#[test]
fn a_write_after_free_is_found_on_the_next_alloc() {
    for allocator in BOTH {
        let (mut cx, cache) = machine(allocator, SlabDebug::POISON | SlabDebug::TRACK);
        for offset in [0, 9, 199] {
            let object = take(&mut cx, cache);
            assert_eq!(memory::load(&cx.machine, object), 0x5a5a_5a5a_5a5a_5a5a);
            cx.kmem_cache_free(cache, object).expect("it is handed out");
            let end = memory::load(&cx.machine, object + 192);
            assert_eq!((memory::load(&cx.machine, object), end), (0x6b6b_6b6b_6b6b_6b6b, 0xa56b_6b6b_6b6b_6b6b));
            damage(&mut cx, object + offset);
            let before = cx.slabs.reported();
            assert_eq!(take(&mut cx, cache), object);
            assert_eq!(cx.slabs.reported(), before + 1);
            let error = last(&mut cx);
            let expected = if offset == 199 { 0xa5 } else { 0x6b };
            assert_eq!((error.mistake, error.offset, error.object), (Mistake::Poison, offset as i32, object));
            assert_eq!((error.found, error.expected), (expected ^ 0xff, expected));
            let text = error.text(&cx.trace).to_string();
            assert!(text.contains("allocated at") && text.contains("freed at"), "{text}");
            cx.kmem_cache_free(cache, object).expect("it is handed out");
        }
    }
}

#[test]
fn a_double_free_names_both_places() {
    for allocator in BOTH {
        let (mut cx, cache) = machine(allocator, SlabDebug::TRACK);
        let (object, other) = (take(&mut cx, cache), take(&mut cx, cache));
        cx.kmem_cache_free(cache, object).expect("it is handed out");
        let line = line!() - 1;
        let error = cx.kmem_cache_free(cache, object).expect_err("it is free");
        let freed = cx.trace.location(error.freed).expect("it is kept");
        assert_eq!((error.mistake, freed.line()), (Mistake::DoubleFree, line));
        assert_eq!(error.noticed.line(), line + 2);
        cx.kmem_cache_free(cache, other).expect("it is handed out");
    }
}

#[test]
fn a_chain_that_was_written_over_is_noticed_and_hands_out_nothing_twice() {
    let (mut cx, cache) = machine(SlabAllocator::Freelist, SlabDebug::empty());
    for value in [1, 0x6b6b, u64::MAX, 0xffff_8880_0000_0000] {
        let mut objects: Vec<u64> = (0..8).map(|_| take(&mut cx, cache)).collect();
        for &object in &objects {
            cx.kmem_cache_free(cache, object).expect("it is handed out");
        }
        let before = cx.slabs.reported();
        memory::store(&mut cx.machine, objects[7], value);
        let mut again: Vec<u64> = (0..8).map(|_| take(&mut cx, cache)).collect();
        assert_eq!(cx.slabs.reported(), before + 1);
        assert_eq!(last(&mut cx).mistake, Mistake::FreeList);
        again.sort_unstable();
        objects.sort_unstable();
        assert_eq!(again, objects, "each is handed out once");
        cx.check_slabs().expect("the chain is whole again");
        for object in again {
            cx.kmem_cache_free(cache, object).expect("it is handed out");
        }
    }
}

#[test]
fn a_management_that_was_written_over_is_noticed_and_hands_out_nothing_twice() {
    for debug in [SlabDebug::empty(), SlabDebug::CHECKS] {
        let (mut cx, cache) = machine(SlabAllocator::Queued, debug);
        let objects: Vec<u64> = (0..8).map(|_| take(&mut cx, cache)).collect();
        for &object in &objects[..4] {
            cx.kmem_cache_free(cache, object).expect("it is handed out");
        }
        // What the CPU keeps goes back, so that the slab's own chain is what is next.
        cx.kmem_cache_shrink(cache);
        // The slab's first word: in use, first free, fresh, first place.
        let management = objects[0] & !0xfff;
        let header = memory::load(&cx.machine, management);
        memory::store(&mut cx.machine, management, header & !0xffff_0000 | 0x1234_0000);
        if debug.is_empty() {
            let next = take(&mut cx, cache);
            assert!(!objects.contains(&next), "it comes from another slab");
        } else {
            cx.kmem_cache_free(cache, objects[4]).expect("it is handed out");
        }
        assert_eq!(cx.slabs.reported(), 1);
        assert_eq!(last(&mut cx).mistake, Mistake::FreeList);
        for _ in 0..100 {
            let next = take(&mut cx, cache);
            assert!(!objects[5..].contains(&next), "no object is handed out twice");
        }
        assert_eq!(cx.slabs.reported(), 1);
    }
}

#[test]
fn what_was_damaged_at_random_is_what_was_reported() {
    for allocator in BOTH {
        let (mut cx, cache) = machine(allocator, SlabDebug::all());
        let (mut random, mut injected) = (0x1234_5678_9abc_def0_u64, 0);
        let mut objects = Vec::new();
        let rounds = if cfg!(miri) { 40 } else { 20_000 };
        for round in 0..rounds {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            match random % 10 {
                0..5 if objects.len() < 120 => {
                    objects.push(take(&mut cx, cache));
                }
                5..8 if !objects.is_empty() => {
                    let object = objects.swap_remove((random >> 20) as usize % objects.len());
                    cx.kmem_cache_free(cache, object).expect("it is handed out");
                }
                8 if !objects.is_empty() => {
                    let object = objects.swap_remove((random >> 20) as usize % objects.len());
                    damage(
                        &mut cx,
                        if random >> 40 & 1 == 0 { object - 1 - random % 8 } else { object + 200 + random % 8 },
                    );
                    injected += 1;
                    cx.kmem_cache_free(cache, object).expect_err("a red zone is broken");
                }
                9 => {
                    let object = take(&mut cx, cache);
                    cx.kmem_cache_free(cache, object).expect("it is handed out");
                    damage(&mut cx, object + random % 200);
                    injected += 1;
                    // The last one in is the first one out.
                    assert_eq!(take(&mut cx, cache), object);
                    objects.push(object);
                }
                _ => {}
            }
            assert_eq!(cx.slabs.reported(), injected, "round {round}");
        }
        cx.check_slabs().expect("nothing was lost");
        cx.trace.slabs.clear();
        assert!(injected > rounds / 10);
    }
}
