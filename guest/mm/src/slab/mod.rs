//! Caches of kernel objects: `kmem_cache_*` and `kmalloc`, as Linux's SLAB had them, and the same over a list through
//! the free objects, as SLUB has it.
//!
//! A *cache* hands out objects of one size. It cuts them from *slabs*: blocks of frames, from the frame allocator.
//!
//! ```text
//!  cache "dentry"                    a slab (queued, management in the slab; "|" is a cache line)
//!  +-----------------+               +--------+------------+------+------+------+--   --+------+-------+
//!  | per CPU: array  |               | colour | management | obj0 | obj1 | obj2 |  ...  | objN | rest  |
//!  | of free objects |               +--------+------------+------+------+------+--   --+------+-------+
//!  +-----------------+                          | inuse, free, fresh, first, then a word an object:
//!  | full     o----->| slab - slab              |   the next free one, HANDED_OUT, or KEPT by a CPU
//!  | partial  o----->| slab
//!  | empty    o----->| slab          one place: [red zone] object [red zone] [alloc site, free site] [link]
//!  +-----------------+               (only with the checks that need them)
//! ```
//!
//! - `Page::mapping` of every frame of a slab names the cache, `Page::private` of a tail the first frame; so any address
//!   leads to its object ([`find`](self)), and a free is checked before it is done, in every build: an object is given
//!   back once, to its own cache, by the address it was handed out with. What is wrong is a [`SlabError`]; nothing has
//!   changed then.
//! - *Queued* ([`SlabAllocator::Queued`]): each slab has its management, in front of its objects or, for large objects,
//!   in a general cache. A CPU takes from its array, which is filled and emptied a batch at a time. Its first array is
//!   short and in the cache itself; the long one, with Linux's limit, comes from a general cache together with the second
//!   slab. Small programs do not pay for it.
//! - *Freelist* ([`SlabAllocator::Freelist`]): a free object holds the address of the next, a bit an object says which
//!   are handed out, and each CPU has a slab that it takes from. A chain that was written over is noticed and made anew
//!   from the bits.
//! - Objects are prepared when they are first handed out, not when their slab comes: a new slab costs one touch.
//! - Constructors run once an object; who frees an object leaves it as constructed.
//! - Objects have kernel addresses (direct map). Their words are reached through [`Machine`](crate::machine::Machine);
//!   [`memory`] has it by address, [`typed`] by type for objects of a cache line.
//!
//! Invariants ([`Slabs::active`], `check`): a cache's slabs are in exactly one list, by what they have free; the objects
//! of all slabs are handed out, kept by a CPU, or free; `free` counts the last.
//!
//! Where to look: `geometry` how slabs are cut, `find` from address to object, `alloc` and `free` the calls, `queued` and
//! `freelist` the two implementations, `grow` frames in and out, `create` caches in and out, `kmalloc` general caches,
//! `debug` red zones, poison and tracks, `report` what is said of mistakes, `snapshot` slabinfo.

mod alloc;
mod bulk;
mod cache;
#[cfg(any(test, feature = "sim"))]
mod check;
mod create;
mod debug;
mod find;
mod free;
mod freelist;
mod geometry;
mod grow;
mod kmalloc;
mod list;
pub mod memory;
mod queued;
mod report;
mod snapshot;
pub mod typed;

use pagelab_abi::{boot::SlabDebug, code::SlabAllocator};

pub use cache::{CacheFlags, CacheId, Constructor};
#[cfg(any(test, feature = "sim"))]
pub use check::SlabInconsistency;
pub use create::{CreateError, DestroyError};
pub use kmalloc::{KMALLOC_MAX_CACHE_SIZE, ReallocError, ZERO_SIZE_PTR};
pub use report::{Mistake, SlabError};
pub use typed::Slot;

use cache::Cache;

/// Caches there can be.
pub const CACHES: usize = 32;
/// CPUs that keep objects.
const CPUS: usize = 1;
/// The CPU that everything runs on.
const THIS_CPU: usize = 0;

/// All caches.
#[derive(Debug)]
pub struct Slabs {
    caches: [Cache; CACHES],
    allocator: SlabAllocator,
    debug: SlabDebug,
    /// Mistakes so far.
    reported: u64,
    /// The last one, until somebody takes note of it.
    report: Option<SlabError>,
    /// Frames of caches with [`CacheFlags::RECLAIM_ACCOUNT`].
    reclaimable: u64,
}

impl Slabs {
    /// No caches but those that are made at their first use.
    pub const fn new() -> Slabs {
        Slabs {
            caches: [Cache::NONE; CACHES],
            allocator: SlabAllocator::Queued,
            debug: SlabDebug::empty(),
            reported: 0,
            report: None,
            reclaimable: 0,
        }
    }

    /// Chooses the implementation, and the checks of all caches. To be called before the first object is taken.
    ///
    /// # Panics
    /// When there is a cache already: its slabs are cut otherwise.
    pub fn configure(&mut self, allocator: SlabAllocator, debug: SlabDebug) {
        assert!(self.caches.iter().all(|cache| cache.objects == 0), "caches are configured before they are made");
        self.allocator = if allocator == SlabAllocator::Freelist { allocator } else { SlabAllocator::Queued };
        self.debug = debug;
    }

    /// The implementation in use.
    pub fn allocator(&self) -> SlabAllocator {
        self.allocator
    }

    /// Objects handed out; 0 for a cache that is no more.
    pub fn active(&self, cache: CacheId) -> u32 {
        self.find(cache).map_or(0, |index| self.caches[index].active)
    }

    /// Slabs that a cache has.
    pub fn slabs(&self, cache: CacheId) -> u32 {
        self.find(cache).map_or(0, |index| self.caches[index].slabs())
    }

    /// Frames of all slabs whose caches can be reclaimed (SReclaimable).
    pub fn reclaimable_frames(&self) -> u64 {
        self.reclaimable
    }

    /// Mistakes found so far, each counted once.
    pub fn reported(&self) -> u64 {
        self.reported
    }

    /// Whether a mistake was found that nobody took note of.
    #[inline]
    pub fn has_report(&self) -> bool {
        self.report.is_some()
    }

    /// The last mistake that was found, once.
    pub fn take_report(&mut self) -> Option<SlabError> {
        self.report.take()
    }

    /// Where a cache is in the table, if it is still there.
    #[inline]
    fn find(&self, id: CacheId) -> Option<usize> {
        let index = usize::from(id.index);
        (self.caches.get(index)?.generation == id.generation).then_some(index)
    }

    /// Notes a mistake.
    #[cold]
    fn note(&mut self, error: SlabError) -> SlabError {
        self.reported += 1;
        self.report = Some(error);
        error
    }
}

impl Default for Slabs {
    fn default() -> Self {
        Self::new()
    }
}
