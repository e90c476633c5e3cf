//! Structures of the kernel that are more than plain data, each in an object of a cache.
#![expect(unsafe_code, reason = "an object's memory becomes the structure")]

use pagelab_mm::{
    frame::Gfp,
    slab::{CacheFlags, CreateError},
};

use crate::state::Mm;

/// Puts a value into an object of a cache of its own, where it stays for ever.
///
/// # Panics
/// When RAM is too small for it, or the cache is there already.
#[expect(clippy::mut_from_ref, reason = "the object is nobody else's")]
#[track_caller]
pub(crate) fn place<T>(mm: &mut Mm, name: &'static str, value: T) -> &'static mut T {
    let cache = mm
        .kmem_cache_create(name, size_of::<T>() as u32, align_of::<T>() as u32, CacheFlags::HWCACHE_ALIGN, None)
        .unwrap_or_else(|error: CreateError| panic!("cache {name}: {error}"));
    let address = mm.kmem_cache_alloc(cache, Gfp::KERNEL).expect("RAM is too small for the first process");
    let object = address as *mut T;
    // SAFETY: the object is `size_of::<T>()` bytes of the direct map, aligned as T, which nobody else has and which is
    // never given back; it is written before there is a reference to it.
    unsafe {
        object.write(value);
        &mut *object
    }
}
