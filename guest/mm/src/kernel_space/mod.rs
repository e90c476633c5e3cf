//! The kernel's own virtual memory: vmalloc, vmap and ioremap areas, the fixmap, kmap, and memory for devices.
//!
//! ```text
//! VMALLOC_START                                                                     VMALLOC_LIMIT
//! | vmalloc, 3 pages       |guard| ioremap |guard|     gap     | vmap, 2 pages  |guard|   ...   |
//!   |     |     |                    |                            |      |
//!   v     v     v                    v                            v      v
//!  frames taken one by one        a device                 the caller's frames
//! ```
//!
//! An *area* is a range of pages with one page behind it that is never mapped: its guard. Areas are kept as processes'
//! VMAs are, in a list and a red-black tree that knows the largest gap of each subtree ([`crate::vma::VmaSet`]), so the
//! lowest gap that fits is found in O(log n), and each is one object of cache `vmap_area`. What is mapped where is in the page
//! tables and nowhere else: giving an area back reads its frames from there.
//!
//! Rules:
//!
//! 1. Areas never overlap, guards included, and none leaves `VMALLOC_START..VMALLOC_LIMIT`.
//! 2. The top table's entry for that range is made before the first address space and never changes, so that all
//!    address spaces share every table below. Tables are made on demand and kept for ever, as in Linux: the next area at
//!    the same place finds them.
//! 3. Entries are not global: loading CR3 flushes them all. An entry that is taken out is flushed before its frame goes
//!    back, and before its address is given to another area.
//! 4. A request that fails half-way gives back everything it took, but for tables.
//! 5. vmalloc's frames belong to the area. vmap takes a reference to each frame it is given, so that its owner cannot
//!    give it back too early unnoticed: the allocator then refuses, with [`Mistake::Referenced`]. ioremap's are a
//!    device's, and never RAM.
//! 6. With [`KernelSpace::lazy`], vmalloc maps nothing. The first touch of a page faults, and
//!    [`Context::kernel_fault`] gives it a frame of zeros. Whoever touches an area that may be lazy does it through
//!    [`Context::read_kernel`] and its like, which see to that.
//! 7. A wrong address is answered with [`BadUnmap`]: who gave it, who made the area and, as long as it is remembered,
//!    who unmapped it before. Nothing has changed then.
//!
//! 8. What the direct map leaves out, zone HighMem, is reached at a page of [`kmap`]'s pool or a slot of
//!    [`kmap_local`], which are flushed before they show another frame. Page tables, the objects of the kernel and
//!    whatever is reached by [`Machine::frame`] are never there.
//!
//! Where to look: [`area`] the set of areas, [`vmalloc`], [`vmap`], [`ioremap`] the ways to make one, [`access`] the
//! kernel's accesses and the faults they take, [`fixmap`], [`kmap`] and [`kmap_local`] pages at fixed places,
//! [`contents`] how the contents of any frame are touched, [`dma`] memory for devices, [`error`] what can go wrong.
//!
//! [`Mistake::Referenced`]: crate::frame::Mistake::Referenced

pub mod access;
pub mod area;
#[cfg(any(test, feature = "sim"))]
mod check;
pub mod contents;
pub mod dma;
pub mod error;
pub mod fixmap;
pub mod ioremap;
pub mod kmap;
pub mod kmap_local;
pub mod vmalloc;
pub mod vmap;

use crate::{
    context::Context,
    frame::OutOfMemory,
    machine::{Machine, Pfn},
    page_table::{PageTables, Pte},
    trace::Trace,
    vma::VmaSet,
};

pub use area::Area;
pub use dma::DmaError;
pub use error::{BadAccess, BadUnmap, KmapError, MapError, Owned, UnmapReason, Where};
pub use fixmap::{Caching, Fixmap};
pub use vmalloc::is_vmalloc_address;

/// What is known of the kernel's own virtual memory.
#[derive(Debug)]
pub struct KernelSpace {
    /// The kernel's tables. `tables` counts those made for areas.
    pub tables: PageTables,
    /// vmalloc areas get their frames by faults.
    pub lazy: bool,
    /// The areas, by address.
    areas: VmaSet,
    /// The last areas that were unmapped.
    freed: area::Freed,
    /// The table of the fixmap; none before its first use.
    fixmap_table: Pfn,
    /// The stack of kmap_local.
    local: kmap_local::LocalSlots,
    /// The pool of kmap.
    pkmap: kmap::Pkmap,
    /// What happened so far.
    pub counts: Counts,
}

/// How often things happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Faults that gave a lazy area a frame.
    pub faults: u64,
    /// HighMem frames that kmap was asked for.
    pub kmap: u64,
    /// Times that idle pages of kmap's pool were flushed.
    pub kmap_flushes: u64,
    /// HighMem frames that kmap_local has mapped.
    pub kmap_local: u64,
}

impl KernelSpace {
    /// Nothing is mapped, and nothing can be before [`Context::init_kernel_space`].
    pub(crate) fn new() -> Self {
        KernelSpace {
            tables: PageTables::of_kernel(Pfn::NONE),
            lazy: false,
            areas: VmaSet::default(),
            freed: area::Freed::new(),
            fixmap_table: Pfn::NONE,
            local: kmap_local::LocalSlots::new(),
            pkmap: kmap::Pkmap::new(),
            counts: Counts::default(),
        }
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Starts the kernel's own virtual memory below its top table, in which the entry for the vmalloc area is there. To
    /// be called once, after the frame allocator's start. With HighMem, the table that its frames are reached by is made.
    ///
    /// # Errors
    /// No frame for that table.
    pub fn init_kernel_space(&mut self, root: Pfn) -> Result<(), OutOfMemory> {
        self.kernel.tables = PageTables::of_kernel(root);
        if self.frames.has_highmem() {
            self.fixmap_table()?;
        }
        Ok(())
    }

    /// Maps one page that is not mapped, and makes the tables it needs.
    fn map_kernel_page(&mut self, address: u64, pte: Pte) -> Result<(), OutOfMemory> {
        let mut tables = core::mem::replace(&mut self.kernel.tables, PageTables::of_kernel(Pfn::NONE));
        let result = tables.set(self, address, pte);
        self.kernel.tables = tables;
        result
    }

    /// Takes the pages of a range out of the tables. `visit` gets each entry after it was flushed.
    fn unmap_kernel_range(&mut self, start: u64, end: u64, visit: impl FnMut(&mut Self, u64, Pte)) {
        let mut tables = core::mem::replace(&mut self.kernel.tables, PageTables::of_kernel(Pfn::NONE));
        tables.unmap_range(self, start, end, visit);
        self.kernel.tables = tables;
    }
}
