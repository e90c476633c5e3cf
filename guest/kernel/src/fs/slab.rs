//! The file system's objects: inodes, dentries, open descriptions, times, pieces of texts. Each is 64 bytes, in a cache of
//! its own that is made with the first one.

use pagelab_mm::{
    errno::Errno,
    frame::Gfp,
    slab::{CacheFlags, CacheId, typed},
};

use crate::state::Mm;

/// An object's place; 0 is none.
pub(crate) use pagelab_mm::slab::Slot;

/// Kinds of objects.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Inode,
    Dentry,
    Open,
    Times,
    Text,
}

/// Caches, in [`Family`]'s order.
const NAMES: [&str; 5] = ["inode_cache", "dentry", "filp", "inode_times", "external_name"];

/// An object that has a cache.
pub(super) trait Kept: typed::Object {
    /// Which one.
    const FAMILY: Family;
}

/// The caches.
pub(crate) struct Slab([Option<CacheId>; NAMES.len()]);

impl Slab {
    pub(super) const fn new() -> Slab {
        Slab([None; NAMES.len()])
    }

    /// Stores an object.
    ///
    /// # Errors
    /// ENOMEM.
    #[track_caller]
    pub(super) fn insert<T: Kept>(&mut self, mm: &mut Mm, object: T) -> Result<Slot, Errno> {
        let cache = match self.0[T::FAMILY as usize] {
            Some(cache) => cache,
            None => self.create(mm, T::FAMILY)?,
        };
        let slot = typed::slot_of(mm.kmem_cache_alloc(cache, Gfp::KERNEL).map_err(|_| Errno::ENOMEM)?);
        *typed::get_mut(&mut mm.machine, slot) = object;
        Ok(slot)
    }

    #[cold]
    #[track_caller]
    fn create(&mut self, mm: &mut Mm, family: Family) -> Result<CacheId, Errno> {
        let size = typed::SLOT_SIZE as u32;
        let cache = mm
            .kmem_cache_create(NAMES[family as usize], size, size, CacheFlags::RECLAIM_ACCOUNT, None)
            .map_err(|_| Errno::ENOMEM)?;
        self.0[family as usize] = Some(cache);
        Ok(cache)
    }

    /// Forgets an object.
    #[track_caller]
    pub(super) fn remove<T: Kept>(&mut self, mm: &mut Mm, slot: Slot) {
        let cache = self.0[T::FAMILY as usize].expect("an object is in its cache");
        mm.free_own(cache, typed::address_of(slot));
    }

    /// The object in a live slot.
    #[inline]
    pub(super) fn get<'m, T: Kept>(&self, mm: &'m Mm, slot: Slot) -> &'m T {
        typed::get(&mm.machine, slot)
    }

    /// The object in a live slot, writable.
    #[inline]
    pub(super) fn get_mut<'m, T: Kept>(&self, mm: &'m mut Mm, slot: Slot) -> &'m mut T {
        typed::get_mut(&mut mm.machine, slot)
    }
}
