//! Frames by their address in the direct map, and blocks of sizes that are no power of two.
//!
//! Zone HighMem has no place in the direct map, so these requests go without [`Gfp::HIGHMEM`].

use core::panic::Location;

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_OFFSET, PAGE_SIZE},
};

use super::{FreeError, Gfp, MAX_ORDER, Mistake, OutOfMemory, Page, PageState};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::{CallSite, Trace},
};

/// The frame at an address in the direct map. What is not there is no frame.
fn frame_at(address: u64) -> Pfn {
    let physical = address.wrapping_sub(PAGE_OFFSET);
    u32::try_from(physical / PAGE_SIZE).map_or(Pfn(u32::MAX), Pfn)
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Linux's `__get_free_pages`: [`Context::alloc_frames`] by the block's address in the direct map.
    #[track_caller]
    pub fn get_free_pages(&mut self, order: u8, gfp: Gfp, owner: Owner) -> Result<u64, OutOfMemory> {
        let pfn = self.alloc_frames(order, gfp - Gfp::HIGHMEM, owner)?;
        Ok(PAGE_OFFSET + pfn.address())
    }

    /// Linux's `get_free_page`: one frame.
    #[track_caller]
    pub fn get_free_page(&mut self, gfp: Gfp, owner: Owner) -> Result<u64, OutOfMemory> {
        self.get_free_pages(0, gfp, owner)
    }

    /// Linux's `get_zeroed_page`: one frame of zeros.
    #[track_caller]
    pub fn get_zeroed_page(&mut self, gfp: Gfp, owner: Owner) -> Result<u64, OutOfMemory> {
        self.get_free_pages(0, gfp | Gfp::ZERO, owner)
    }

    /// Linux's `__get_dma_pages`: from zone DMA.
    #[track_caller]
    pub fn get_dma_pages(&mut self, order: u8, gfp: Gfp, owner: Owner) -> Result<u64, OutOfMemory> {
        self.get_free_pages(order, gfp | Gfp::DMA, owner)
    }

    /// Linux's `free_pages`: gives back what one of these has taken.
    #[track_caller]
    pub fn free_pages(&mut self, address: u64, order: u8) -> Result<(), FreeError> {
        self.free_frames(frame_at(address), order)
    }

    /// Makes single frames of a block: each can be given back by itself from then on.
    ///
    /// # Errors
    /// What is not an allocated block's first frame, or has more references than the caller's or is mapped.
    #[track_caller]
    pub fn split_page(&mut self, pfn: Pfn) -> Result<(), FreeError> {
        let caller = CallSite::of(Location::caller());
        let Some(page) = self.machine.pages().get(pfn.index()).filter(|page| page.state == PageState::USED).copied()
        else {
            return Err(self.diagnose(pfn, None, caller));
        };
        if page.refcount != 1 {
            let mistake = Mistake::Referenced { refcount: page.refcount };
            return Err(self.mistake(mistake, pfn, page.order, caller));
        }
        if page.mapcount != 0 {
            let mistake = Mistake::Mapped { mapcount: page.mapcount };
            return Err(self.mistake(mistake, pfn, page.order, caller));
        }
        let Page { owner, zone, flags, site, .. } = page;
        for tail in &mut self.machine.pages_mut()[pfn.index()..pfn.index() + (1 << page.order)] {
            let flags = tail.flags.of_pageblock() | flags.of_block();
            *tail = Page { state: PageState::USED, owner, zone, flags, site, refcount: 1, ..Page::default() };
        }
        Ok(())
    }

    /// Linux's `alloc_pages_exact`: `size` bytes, rounded up to whole frames that follow each other. What the block is
    /// larger goes back at once.
    ///
    /// # Errors
    /// Also a size of 0 or above the largest block's.
    #[track_caller]
    pub fn alloc_pages_exact(&mut self, size: u64, gfp: Gfp, owner: Owner) -> Result<u64, OutOfMemory> {
        let frames = size.div_ceil(PAGE_SIZE);
        if frames == 0 || frames > 1 << MAX_ORDER {
            return Err(OutOfMemory);
        }
        let order = frames.next_power_of_two().ilog2() as u8;
        let address = self.get_free_pages(order, gfp, owner)?;
        let first = frame_at(address);
        self.split_page(first).expect("a fresh block is the caller's own");
        for pfn in first.0 + frames as u32..first.0 + (1 << order) {
            self.free_frames(Pfn(pfn), 0).expect("a frame of a fresh block is the caller's own");
        }
        Ok(address)
    }

    /// Linux's `free_pages_exact`: gives back what [`Context::alloc_pages_exact`] has taken for this size.
    ///
    /// # Errors
    /// Of the first frame that cannot be given back; those before it have been.
    #[track_caller]
    pub fn free_pages_exact(&mut self, address: u64, size: u64) -> Result<(), FreeError> {
        let first = frame_at(address).0;
        let frames = u32::try_from(size.div_ceil(PAGE_SIZE)).unwrap_or(u32::MAX);
        (first..first.saturating_add(frames)).try_for_each(|pfn| self.free_frames(Pfn(pfn), 0))
    }
}
