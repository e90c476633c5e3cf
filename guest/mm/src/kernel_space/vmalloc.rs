//! vmalloc: memory that is contiguous in virtual addresses only, made of single frames.

use core::panic::Location;

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_SIZE, VMALLOC_LIMIT, VMALLOC_START},
    snapshot::AreaFlags,
};

use super::{Area, BadUnmap, MapError};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    page_table::Pte,
    trace::{CallSite, Trace},
};

/// Whether an address is where vmalloc, vmap and ioremap areas are.
pub const fn is_vmalloc_address(address: u64) -> bool {
    VMALLOC_START <= address && address < VMALLOC_LIMIT
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Takes `size` bytes of kernel memory, rounded up to pages, and returns its first address. What they hold is
    /// undefined, or zeros where areas are lazy.
    ///
    /// # Errors
    /// [`MapError`].
    #[track_caller]
    pub fn vmalloc(&mut self, size: u64) -> Result<u64, MapError> {
        self.vmalloc_with(size, Gfp::KERNEL | Gfp::HIGHMEM)
    }

    /// [`Context::vmalloc`], filled with zeros.
    ///
    /// # Errors
    /// [`MapError`].
    #[track_caller]
    pub fn vzalloc(&mut self, size: u64) -> Result<u64, MapError> {
        self.vmalloc_with(size, Gfp::KERNEL | Gfp::HIGHMEM | Gfp::ZERO)
    }

    #[track_caller]
    fn vmalloc_with(&mut self, size: u64, gfp: Gfp) -> Result<u64, MapError> {
        let pages = size.div_ceil(PAGE_SIZE);
        if size == 0 || pages > self.frames.managed() {
            return Err(MapError::Size { bytes: size });
        }
        let start = self.find_room(pages)?;
        let mut area = Area {
            start,
            end: start + (pages + 1) * PAGE_SIZE,
            pages: 0,
            flags: AreaFlags::ALLOC,
            physical: 0,
            site: CallSite::of(Location::caller()),
        };
        if self.kernel.lazy {
            area.flags |= AreaFlags::LAZY;
            self.insert_area(area)?;
            self.announce_area(&area);
            return Ok(start);
        }
        for page in 0..pages {
            if let Err(error) = self.map_fresh(start + page * PAGE_SIZE, gfp) {
                self.unmap_fresh(start, start + page * PAGE_SIZE);
                return Err(error.into());
            }
        }
        area.pages = pages as u32;
        if let Err(error) = self.insert_area(area) {
            self.unmap_fresh(start, area.guard());
            return Err(error.into());
        }
        self.announce_area(&area);
        Ok(start)
    }

    /// Gives one page of an area a frame.
    #[track_caller]
    pub(super) fn map_fresh(&mut self, address: u64, gfp: Gfp) -> Result<Pfn, OutOfMemory> {
        let pfn = self.alloc_frame(gfp, Owner::Vmalloc)?;
        match self.map_kernel_page(address, Pte::kernel(pfn)) {
            Ok(()) => Ok(pfn),
            Err(error) => {
                self.free_frames(pfn, 0).expect("the frame is ours");
                Err(error)
            }
        }
    }

    /// Takes back what [`Context::map_fresh`] has given a range.
    fn unmap_fresh(&mut self, start: u64, end: u64) {
        self.unmap_kernel_range(start, end, |cx, _, pte| {
            cx.free_frames(pte.pfn(), 0).expect("an area's frames are its own");
        });
    }

    /// Gives back memory of [`Context::vmalloc`].
    ///
    /// # Errors
    /// The address is not the first of such an area: [`BadUnmap`].
    #[track_caller]
    pub fn vfree(&mut self, address: u64) -> Result<(), BadUnmap> {
        self.unmap_area(address, AreaFlags::ALLOC, |cx, pfn| {
            cx.put_frame(pfn).expect("an area's frames are its own");
        })
    }

    /// The frame behind an address of an area that is mapped (Linux's vmalloc_to_pfn).
    pub fn vmalloc_to_pfn(&self, address: u64) -> Option<Pfn> {
        let pte = is_vmalloc_address(address).then(|| self.kernel.tables.get(&self.machine, address))?;
        pte.is_present().then(|| pte.pfn())
    }
}
