//! vmap: frames that somebody has, side by side in virtual memory.

use core::panic::Location;

use pagelab_abi::{layout::PAGE_SIZE, snapshot::AreaFlags};

use super::{Area, BadUnmap, MapError};
use crate::{
    context::Context,
    frame::{FreeError, Mistake},
    machine::{Machine, Pfn},
    page_table::Pte,
    trace::{CallSite, Trace},
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Maps frames next to each other, in the lowest gap that fits, and returns the first address. The area holds a
    /// reference to each frame, or to the block that it is in.
    ///
    /// # Errors
    /// [`MapError`].
    #[track_caller]
    pub fn vmap(&mut self, frames: &[Pfn]) -> Result<u64, MapError> {
        if frames.is_empty() {
            return Err(MapError::Size { bytes: 0 });
        }
        let start = self.find_room(frames.len() as u64)?;
        self.map_frames(start, frames)
    }

    /// [`Context::vmap`] at an address of the caller's choice.
    ///
    /// # Errors
    /// [`MapError`]: the place, with the guard page behind it, is not free.
    #[track_caller]
    pub fn vmap_at(&mut self, start: u64, frames: &[Pfn]) -> Result<u64, MapError> {
        if frames.is_empty() {
            return Err(MapError::Size { bytes: 0 });
        }
        self.check_room(start, frames.len() as u64)?;
        self.map_frames(start, frames)
    }

    #[track_caller]
    fn map_frames(&mut self, start: u64, frames: &[Pfn]) -> Result<u64, MapError> {
        let area = Area {
            start,
            end: start + (frames.len() as u64 + 1) * PAGE_SIZE,
            pages: frames.len() as u32,
            flags: AreaFlags::MAP,
            physical: 0,
            site: CallSite::of(Location::caller()),
        };
        let mut at = start;
        let mut result = Ok(());
        for &pfn in frames {
            result = self.map_held(at, pfn);
            if result.is_err() {
                break;
            }
            at += PAGE_SIZE;
        }
        let result = result.and_then(|()| Ok(self.insert_area(area)?));
        if let Err(error) = result {
            self.unmap_kernel_range(start, at, |cx, _, pte| cx.let_go(pte.pfn()));
            return Err(error);
        }
        self.announce_area(&area);
        Ok(start)
    }

    /// Maps one frame, with a reference.
    fn map_held(&mut self, address: u64, pfn: Pfn) -> Result<(), MapError> {
        self.hold(pfn).map_err(|why| MapError::BadFrame { pfn, why })?;
        if let Err(error) = self.map_kernel_page(address, Pte::kernel(pfn)) {
            self.let_go(pfn);
            return Err(error.into());
        }
        Ok(())
    }

    /// Unmaps what [`Context::vmap`] has mapped and drops its references.
    ///
    /// # Errors
    /// The address is not the first of such an area: [`BadUnmap`].
    #[track_caller]
    pub fn vunmap(&mut self, address: u64) -> Result<(), BadUnmap> {
        self.unmap_area(address, AreaFlags::MAP, |cx, pfn| cx.let_go(pfn))
    }

    /// Takes a reference to the block that a frame is in.
    fn hold(&mut self, pfn: Pfn) -> Result<(), FreeError> {
        match self.get_frame(pfn) {
            Err(FreeError { mistake: Mistake::NotHead { head }, .. }) => self.get_frame(head),
            result => result,
        }
    }

    /// Drops a reference that [`Context::hold`] has taken.
    fn let_go(&mut self, pfn: Pfn) {
        match self.put_frame(pfn) {
            Err(FreeError { mistake: Mistake::NotHead { head }, .. }) => self.put_frame(head),
            result => result,
        }
        .expect("a block that is held is allocated");
    }
}
