//! Caches in and out.

use core::fmt;

use pagelab_abi::{
    code::{Owner, SlabAllocator, SlabOp},
    name,
};

use super::{
    CACHES, CPUS, CacheFlags, CacheId, Constructor, Mistake, SlabError, cache::Cache, geometry, geometry::Request,
    kmalloc,
};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::Machine,
    trace::Trace,
};
use core::panic::Location;

/// The general caches come first.
const VM_AREA_STRUCT: usize = kmalloc::CLASSES;
const ADDRESS_SPACE: usize = VM_AREA_STRUCT + 1;
const RADIX_TREE_NODE: usize = ADDRESS_SPACE + 1;
const VMAP_AREA: usize = RADIX_TREE_NODE + 1;
/// How many caches are made at their first use.
const BUILTINS: usize = VMAP_AREA + 1;

impl CacheId {
    /// [`crate::vma::Vma`].
    pub const VM_AREA_STRUCT: CacheId = CacheId::builtin(VM_AREA_STRUCT);
    /// [`crate::file::File`].
    pub const ADDRESS_SPACE: CacheId = CacheId::builtin(ADDRESS_SPACE);
    /// [`crate::kernel_space::Area`].
    pub const VMAP_AREA: CacheId = CacheId::builtin(VMAP_AREA);
    /// Nodes of the page cache.
    pub const RADIX_TREE_NODE: CacheId = CacheId::builtin(RADIX_TREE_NODE);
}

/// Who has the frames of a cache's slabs.
pub(super) fn owner(index: usize) -> Owner {
    if index == RADIX_TREE_NODE { Owner::PageCacheNode } else { Owner::Slab }
}

/// Name, size, alignment and flags of a cache that is made at its first use.
fn builtin(index: usize) -> (&'static str, u32, u32, CacheFlags) {
    match index {
        VM_AREA_STRUCT => ("vm_area_struct", 64, 64, CacheFlags::empty()),
        VMAP_AREA => ("vmap_area", 64, 64, CacheFlags::empty()),
        ADDRESS_SPACE => ("address_space", 64, 64, CacheFlags::RECLAIM_ACCOUNT),
        RADIX_TREE_NODE => ("radix_tree_node", crate::file::NODE_SIZE, 64, CacheFlags::RECLAIM_ACCOUNT),
        class => {
            let size = kmalloc::SIZES[class];
            (kmalloc::NAMES[class], size, (1 << size.trailing_zeros()).min(geometry::CACHE_LINE), CacheFlags::empty())
        }
    }
}

/// Why there is no new cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateError {
    /// No object of this size, or no such alignment: it is a power of two up to 4096, and 32 frames hold an object.
    Impossible,
    /// There are as many as there can be ([`CACHES`]).
    Full,
    /// There is one of that name.
    Exists,
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Impossible => "no cache can have such objects",
            Self::Full => "there are too many caches",
            Self::Exists => "a cache has this name",
        })
    }
}

impl core::error::Error for CreateError {}

/// Why a cache is still there: the report, with the first leaked object.
pub type DestroyError = SlabError;

impl<M: Machine, T: Trace> Context<M, T> {
    /// Makes a cache of objects of `size` bytes at multiples of `align` (0: a word). It takes no frame yet.
    ///
    /// # Errors
    /// [`CreateError`].
    #[track_caller]
    pub fn kmem_cache_create(
        &mut self,
        name: &'static str,
        size: u32,
        align: u32,
        flags: CacheFlags,
        constructor: Option<Constructor>,
    ) -> Result<CacheId, CreateError> {
        if self.slabs.caches.iter().any(|cache| cache.objects > 0 && cache.name == name) {
            return Err(CreateError::Exists);
        }
        let free = (BUILTINS..CACHES).find(|&index| self.slabs.caches[index].objects == 0);
        let index = free.ok_or(CreateError::Full)?;
        self.create_at(index, name, size, align, flags, constructor)
    }

    /// Makes a cache that is made at its first use.
    #[track_caller]
    pub(super) fn create_builtin(&mut self, index: usize) -> Result<(), OutOfMemory> {
        if index >= BUILTINS {
            // A cache that was destroyed has no objects any more.
            return Err(OutOfMemory);
        }
        let (name, size, align, flags) = builtin(index);
        self.create_at(index, name, size, align, flags, None).map(|_| ()).map_err(|_| OutOfMemory)
    }

    #[track_caller]
    fn create_at(
        &mut self,
        index: usize,
        name: &'static str,
        size: u32,
        align: u32,
        flags: CacheFlags,
        constructor: Option<Constructor>,
    ) -> Result<CacheId, CreateError> {
        let generation = self.slabs.caches[index].generation;
        let mut cache = Cache { name, flags, constructor, generation, ..Cache::NONE };
        let checks = self.slabs.debug | flags.checks();
        let request = Request { size, align, flags, constructed: constructor.is_some(), checks };
        geometry::lay_out(&mut cache, request, self.slabs.allocator).ok_or(CreateError::Impossible)?;
        if self.slabs.allocator == SlabAllocator::Queued {
            cache.limit = geometry::queue_limit(size);
            cache.batch = cache.limit.div_ceil(2);
        }
        self.slabs.caches[index] = cache;
        self.trace.name(name::FIRST_CACHE + index as u32, name.as_bytes());
        self.slab_event(SlabOp::Create, index, 0, size, cache.stride, Gfp::empty());
        Ok(CacheId { index: index as u16, generation })
    }

    /// Destroys a cache all of whose objects were given back.
    ///
    /// # Errors
    /// [`Mistake::Leak`]: objects are still handed out, and the cache stays; [`Context::for_each_object`] tells them all.
    /// [`Mistake::DestroyedCache`]: it is gone already.
    #[track_caller]
    pub fn kmem_cache_destroy(&mut self, cache: CacheId) -> Result<(), DestroyError> {
        let noticed = Location::caller();
        let Some(index) = self.slabs.find(cache).filter(|&index| self.slabs.caches[index].objects > 0) else {
            return Err(self.slabs.note(SlabError::new(Mistake::DestroyedCache, &Cache::NONE, 0, noticed)));
        };
        let objects = self.slabs.caches[index].active;
        if objects > 0 {
            let mut error = SlabError::new(Mistake::Leak { objects }, &self.slabs.caches[index], 0, noticed);
            self.for_each_object(cache, |object, site| {
                if error.object == 0 {
                    (error.object, error.allocated) = (object, site);
                }
            });
            return Err(self.slabs.note(error));
        }
        self.shrink(index);
        self.reap_rest(index);
        for cpu in 0..CPUS {
            let entries = core::mem::take(&mut self.slabs.caches[index].per_cpu[cpu].entries);
            if entries != 0 {
                self.kfree(entries).expect("the array is the cache's own");
            }
        }
        self.slab_event(SlabOp::Destroy, index, 0, 0, 0, Gfp::empty());
        self.slabs.caches[index] = Cache { generation: cache.generation.wrapping_add(1), ..Cache::NONE };
        Ok(())
    }
}

const _: () = assert!(BUILTINS < CACHES && CACHES <= name::CACHES as usize);
