//! Reserves of objects or frames that are there when memory has run out: Linux's mempool.
//!
//! ```text
//!   alloc ---> cache / kmalloc / frames ---(nothing there)---> reserve of min_nr elements
//!   free  ---> reserve, if it is not full ---> cache / kmalloc / frames
//! ```
//!
//! The guarantee: as long as no more than `min_nr` elements of a pool are in flight, the next alloc gets one, whatever
//! else memory is used for. It holds because the reserve is filled before the pool exists, is taken from only when the
//! source has nothing, and is refilled first on free. An element in the reserve is handed out as far as its source is
//! concerned. Nobody waits here: what Linux would sleep for is an error.

use pagelab_abi::{code::Owner, layout::PAGE_OFFSET};

use crate::{
    context::Context,
    frame::{FreeError, Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    slab::{CacheId, SlabError, memory},
    trace::Trace,
};
use core::fmt;

/// Where a pool's elements come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Objects of a cache.
    Cache(CacheId),
    /// Memory of so many bytes.
    Kmalloc(u64),
    /// Blocks of this order, by their addresses in the direct map.
    Frames(u8),
}

/// A pool. Its owner keeps it, and gives it to [`Context::mempool_destroy`] in the end.
#[derive(Debug)]
pub struct Mempool {
    source: Source,
    /// Elements the reserve has room for.
    min_nr: u32,
    /// Elements in the reserve.
    curr_nr: u32,
    /// The reserve's table, from `kmalloc`.
    elements: u64,
}

impl Mempool {
    /// Elements that are always there.
    pub fn min_nr(&self) -> u32 {
        self.min_nr
    }

    /// Elements in the reserve now.
    pub fn curr_nr(&self) -> u32 {
        self.curr_nr
    }

    fn entry(&self, index: u32) -> u64 {
        self.elements + 8 * u64::from(index)
    }
}

/// Why an element was not given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolError {
    /// It is in the reserve already: it was given back before.
    DoubleFree {
        /// The element.
        element: u64,
    },
    /// Its cache or kmalloc says so.
    Slab(SlabError),
    /// The frame allocator says so.
    Frames(FreeError),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoubleFree { element } => write!(f, "element {element:#x} is in the pool already"),
            Self::Slab(error) => error.fmt(f),
            Self::Frames(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PoolError {}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Makes a pool that always has `min_nr` elements, and takes them at once.
    ///
    /// # Errors
    /// There are not so many. Nothing was taken.
    #[track_caller]
    pub fn mempool_create(&mut self, min_nr: u32, source: Source) -> Result<Mempool, OutOfMemory> {
        let elements = self.kmalloc(8 * u64::from(min_nr), Gfp::KERNEL)?;
        let mut pool = Mempool { source, min_nr, curr_nr: 0, elements };
        match self.mempool_fill(&mut pool) {
            Ok(()) => Ok(pool),
            Err(OutOfMemory) => {
                self.mempool_destroy(pool);
                Err(OutOfMemory)
            }
        }
    }

    /// Takes an element: from its source or, where that has none, from the reserve. With [`Gfp::ZERO`] one from the
    /// reserve is not filled with zeros, as in Linux.
    ///
    /// # Errors
    /// More than `min_nr` elements are in flight and the source has nothing.
    #[track_caller]
    pub fn mempool_alloc(&mut self, pool: &mut Mempool, gfp: Gfp) -> Result<u64, OutOfMemory> {
        // As Linux: the reserve is there so that nobody digs into the zones' own ones.
        let modest = gfp | Gfp::NORETRY | Gfp::NOWARN | Gfp::NOMEMALLOC;
        if let Ok(element) = self.source_alloc(pool.source, modest) {
            return Ok(element);
        }
        if pool.curr_nr == 0 {
            return Err(OutOfMemory);
        }
        pool.curr_nr -= 1;
        Ok(memory::load(&self.machine, pool.entry(pool.curr_nr)))
    }

    /// Gives an element back: into the reserve if that is not full, to its source otherwise.
    ///
    /// # Errors
    /// [`PoolError`]: it is no element that is in flight.
    #[track_caller]
    pub fn mempool_free(&mut self, pool: &mut Mempool, element: u64) -> Result<(), PoolError> {
        let kept = (0..pool.curr_nr).any(|index| memory::load(&self.machine, pool.entry(index)) == element);
        if kept {
            return Err(PoolError::DoubleFree { element });
        }
        if pool.curr_nr == pool.min_nr {
            return self.source_free(pool.source, element);
        }
        self.source_check(pool.source, element)?;
        memory::store(&mut self.machine, pool.entry(pool.curr_nr), element);
        pool.curr_nr += 1;
        Ok(())
    }

    /// Changes how many elements are always there. More are taken at once, less are given back.
    ///
    /// # Errors
    /// There are not so many more. The pool guarantees what it did before.
    #[track_caller]
    pub fn mempool_resize(&mut self, pool: &mut Mempool, min_nr: u32) -> Result<(), OutOfMemory> {
        let elements = self.kmalloc(8 * u64::from(min_nr), Gfp::KERNEL)?;
        while pool.curr_nr > min_nr {
            pool.curr_nr -= 1;
            let element = memory::load(&self.machine, pool.entry(pool.curr_nr));
            self.source_free(pool.source, element).expect("the reserve's elements are the pool's own");
        }
        memory::copy(&mut self.machine, elements, pool.elements, pool.curr_nr.into());
        let mut new = Mempool { min_nr, elements, ..*pool };
        let result = if min_nr > pool.min_nr { self.mempool_fill(&mut new) } else { Ok(()) };
        if result.is_err() {
            // The larger table stays; it has the old promise.
            new.min_nr = pool.min_nr;
            while new.curr_nr > new.min_nr {
                new.curr_nr -= 1;
                let element = memory::load(&self.machine, new.entry(new.curr_nr));
                self.source_free(new.source, element).expect("the reserve's elements are the pool's own");
            }
        }
        self.kfree(pool.elements).expect("the table is the pool's own");
        *pool = new;
        result
    }

    /// Destroys a pool. Elements in flight are their owners', who give them back to the source.
    #[track_caller]
    pub fn mempool_destroy(&mut self, mut pool: Mempool) {
        while pool.curr_nr > 0 {
            pool.curr_nr -= 1;
            let element = memory::load(&self.machine, pool.entry(pool.curr_nr));
            self.source_free(pool.source, element).expect("the reserve's elements are the pool's own");
        }
        self.kfree(pool.elements).expect("the table is the pool's own");
    }

    #[track_caller]
    fn mempool_fill(&mut self, pool: &mut Mempool) -> Result<(), OutOfMemory> {
        while pool.curr_nr < pool.min_nr {
            let element = self.source_alloc(pool.source, Gfp::KERNEL)?;
            memory::store(&mut self.machine, pool.entry(pool.curr_nr), element);
            pool.curr_nr += 1;
        }
        Ok(())
    }

    #[track_caller]
    fn source_alloc(&mut self, source: Source, gfp: Gfp) -> Result<u64, OutOfMemory> {
        match source {
            Source::Cache(cache) => self.kmem_cache_alloc(cache, gfp),
            Source::Kmalloc(bytes) => self.kmalloc(bytes, gfp),
            Source::Frames(order) => {
                let pfn = self.alloc_frames(order, gfp - Gfp::HIGHMEM, Owner::Buffer)?;
                Ok(PAGE_OFFSET + pfn.address())
            }
        }
    }

    #[track_caller]
    fn source_free(&mut self, source: Source, element: u64) -> Result<(), PoolError> {
        match source {
            Source::Cache(cache) => self.kmem_cache_free(cache, element).map_err(PoolError::Slab),
            Source::Kmalloc(_) => self.kfree(element).map_err(PoolError::Slab),
            Source::Frames(order) => {
                let pfn = Pfn::of_address(element.wrapping_sub(PAGE_OFFSET));
                self.free_frames(pfn, order).map_err(PoolError::Frames)
            }
        }
    }

    /// Whether an element may go into the reserve: its source has handed it out.
    #[track_caller]
    fn source_check(&mut self, source: Source, element: u64) -> Result<(), PoolError> {
        match source {
            Source::Cache(cache) => self.kmem_cache_check(cache, element).map_err(PoolError::Slab),
            Source::Kmalloc(_) => self.ksize(element).map(|_| ()).map_err(PoolError::Slab),
            Source::Frames(_) => {
                let pfn = Pfn::of_address(element.wrapping_sub(PAGE_OFFSET));
                // The reference is taken only to see whether it can be.
                self.get_frame(pfn).and_then(|()| self.put_frame(pfn).map(|_| ())).map_err(PoolError::Frames)
            }
        }
    }
}
