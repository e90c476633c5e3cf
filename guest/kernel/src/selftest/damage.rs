//! Damage done on purpose to objects of caches: each is reported once, with the places of those who had a part in it, and
//! never more or less often than it was done.

use pagelab_abi::{boot::SlabDebug, code::SlabAllocator, layout::KERNEL_VIRT};
use pagelab_mm::{
    frame::Gfp,
    slab::{CacheFlags, Mistake, SlabError},
};

use super::{
    check::{Failure, Outcome, ensure, ensure_eq, says},
    entry::{Machine, test},
    probe,
    slab::cache,
};
use crate::state::Kernel;

/// With all checks.
const CHECKED: Machine = Machine::ANY.slab_debug(SlabDebug::all());
/// Bytes of the objects here, a multiple of 8: what comes behind is red.
const SIZE: u32 = 64;
/// Objects that are taken, and every how many of them is damaged.
const OBJECTS: usize = 24;
const EVERY: usize = 4;
const DAMAGED: u64 = (OBJECTS / EVERY) as u64;
/// Where this is, in reports.
const HERE: &str = "selftest/damage.rs";

/// The error that should be there.
fn error<T>(result: Result<T, SlabError>) -> Result<SlabError, Failure> {
    Ok(result.err().ok_or("a mistake was not noticed")?)
}

test!(red_zones, "damage/red_zones", CHECKED);
fn red_zones(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let mut objects = [0; OBJECTS];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    let before = kernel.mm.slabs.reported();
    for (number, &object) in objects.iter().enumerate() {
        // By turns before and behind the object; the others up to their last byte, which is allowed.
        match number % (2 * EVERY) {
            0 => probe::write(object + u64::from(SIZE), 1)?,
            EVERY => probe::write(object - 8, 1)?,
            _ => probe::write(object + u64::from(SIZE) - 8, 1)?,
        }
    }
    for (number, &object) in objects.iter().enumerate() {
        let freed = kernel.mm.kmem_cache_free(cache, object);
        let expected = match number % (2 * EVERY) {
            0 => Some(Mistake::RedZoneAfter),
            EVERY => Some(Mistake::RedZoneBefore),
            _ => None,
        };
        ensure_eq!(freed.err().map(|error| error.mistake), expected);
    }
    ensure_eq!(kernel.mm.slabs.reported() - before, DAMAGED);
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(poison, "damage/poison", CHECKED);
fn poison(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let mut objects = [0; OBJECTS];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    let before = kernel.mm.slabs.reported();
    for object in objects.iter().step_by(EVERY) {
        probe::write(*object + 24, 0x6b6b_6b6b_6b6b_6b00)?;
    }
    // Each is found when it is handed out again, if not before.
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    ensure_eq!(kernel.mm.slabs.reported() - before, DAMAGED);
    let report = kernel.mm.slabs.take_report().ok_or("there is no report")?;
    ensure_eq!((report.mistake, report.offset, report.found), (Mistake::Poison, 24, 0));
    // It tells who had it last, and gave it back.
    says(&report.text(&kernel.mm.trace), &["poison overwritten", "allocated at", "freed at", HERE, HERE])?;
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    ensure_eq!(kernel.mm.slabs.reported() - before, DAMAGED);
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(double_free, "damage/double_free", CHECKED);
fn double_free(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let mut objects = [0; OBJECTS];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    let before = kernel.mm.slabs.reported();
    for &object in objects.iter().step_by(EVERY) {
        let error = error(kernel.mm.kmem_cache_free(cache, object))?;
        ensure_eq!(error.mistake, Mistake::DoubleFree);
        let text = error.text(&kernel.mm.trace);
        says(&text, &["allocated at", "freed at", "noticed at", HERE, HERE, HERE])?;
    }
    ensure_eq!(kernel.mm.slabs.reported() - before, DAMAGED);
    // None is in there twice.
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    for (number, object) in objects.iter().enumerate() {
        ensure!(!objects[..number].contains(object), "object {object:#x} was handed out twice");
    }
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(double_free_unchecked, "damage/double_free_unchecked", Machine::ANY.slab_debug(SlabDebug::empty()));
fn double_free_unchecked(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
    kernel.mm.kmem_cache_free(cache, object)?;
    let before = kernel.mm.slabs.reported();
    ensure_eq!(error(kernel.mm.kmem_cache_free(cache, object))?.mistake, Mistake::DoubleFree);
    ensure_eq!(error(kernel.mm.kfree(object))?.mistake, Mistake::DoubleFree);
    ensure_eq!(kernel.mm.slabs.reported() - before, 2);
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

test!(wrong_cache, "damage/wrong_cache", CHECKED);
fn wrong_cache(kernel: &mut Kernel) -> Outcome {
    let one = cache(kernel, SIZE)?;
    let other = kernel.mm.kmem_cache_create("selftest2", SIZE, 0, CacheFlags::empty(), None)?;
    let object = kernel.mm.kmem_cache_alloc(one, Gfp::KERNEL)?;
    let before = kernel.mm.slabs.reported();
    let error = error(kernel.mm.kmem_cache_free(other, object))?;
    ensure_eq!(error.mistake, Mistake::WrongCache { owner: "selftest" });
    ensure_eq!(kernel.mm.slabs.reported() - before, 1);
    // It is still handed out, by the one that it is of.
    ensure_eq!((kernel.mm.slabs.active(one), kernel.mm.slabs.active(other)), (1, 0));
    kernel.mm.kmem_cache_free(one, object)?;
    kernel.mm.kmem_cache_destroy(one)?;
    kernel.mm.kmem_cache_destroy(other)?;
    Ok(())
}

test!(wrong_addresses, "damage/wrong_addresses", CHECKED);
fn wrong_addresses(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let object = kernel.mm.kmem_cache_alloc(cache, Gfp::KERNEL)?;
    let before = kernel.mm.slabs.reported();
    ensure_eq!(error(kernel.mm.kmem_cache_free(cache, object + 8))?.mistake, Mistake::NotStart);
    ensure_eq!(error(kernel.mm.kmem_cache_free(cache, KERNEL_VIRT + (2 << 20)))?.mistake, Mistake::NoObject);
    ensure_eq!(error(kernel.mm.kfree(8))?.mistake, Mistake::NoObject);
    ensure_eq!(kernel.mm.slabs.reported() - before, 3);
    kernel.mm.kmem_cache_free(cache, object)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    ensure_eq!(error(kernel.mm.kmem_cache_destroy(cache))?.mistake, Mistake::DestroyedCache);
    Ok(())
}

test!(leak, "damage/leak", CHECKED);
fn leak(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let mut objects = [0; 3];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    let before = kernel.mm.slabs.reported();
    let error = error(kernel.mm.kmem_cache_destroy(cache))?;
    ensure_eq!(error.mistake, Mistake::Leak { objects: 3 });
    says(&error.text(&kernel.mm.trace), &["3 objects remaining", "allocated at", HERE])?;
    ensure_eq!(kernel.mm.slabs.reported() - before, 1);
    let mut found = 0;
    kernel.mm.for_each_object(cache, |object, _| found += usize::from(objects.contains(&object)));
    ensure_eq!(found, 3);
    // The cache is still there.
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}

const FREELIST: Machine = Machine::ANY.slab_debug(SlabDebug::empty()).slab(SlabAllocator::Freelist);

test!(free_list, "damage/free_list", FREELIST);
fn free_list(kernel: &mut Kernel) -> Outcome {
    let cache = cache(kernel, SIZE)?;
    let mut objects = [0; OBJECTS];
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    let before = kernel.mm.slabs.reported();
    // The whole of a free object: wherever the link was, it is gone.
    for word in 0..u64::from(SIZE) / 8 {
        probe::write(objects[OBJECTS / 2] + 8 * word, 0x4141_4141_4141_4141)?;
    }
    kernel.mm.kmem_cache_alloc_bulk(cache, Gfp::KERNEL, &mut objects)?;
    ensure_eq!(kernel.mm.slabs.reported() - before, 1);
    let report = kernel.mm.slabs.take_report().ok_or("there is no report")?;
    ensure_eq!(report.mistake, Mistake::FreeList);
    for (number, object) in objects.iter().enumerate() {
        ensure!(!objects[..number].contains(object), "object {object:#x} was handed out twice");
    }
    kernel.mm.kmem_cache_free_bulk(cache, &objects)?;
    kernel.mm.kmem_cache_destroy(cache)?;
    Ok(())
}
