//! ioremap: a device's physical addresses in kernel virtual memory, uncached.

use core::panic::Location;

use pagelab_abi::{
    layout::{MMIO_HOLE_END, MMIO_HOLE_START, PAGE_SHIFT, PAGE_SIZE},
    snapshot::AreaFlags,
};

use super::{Area, BadUnmap, MapError};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    page_table::Pte,
    trace::{CallSite, Trace},
};

/// First physical address that no frame number of ours can name.
const PHYSICAL_END: u64 = 1 << (32 + PAGE_SHIFT);

impl<M: Machine, T: Trace> Context<M, T> {
    /// Maps `size` bytes of a device from `physical` on, which need not be a page's first byte, and returns the address
    /// of that byte.
    ///
    /// # Errors
    /// [`MapError`]: also for RAM, which the direct map has cached.
    #[track_caller]
    pub fn ioremap(&mut self, physical: u64, size: u64) -> Result<u64, MapError> {
        let not_a_device = MapError::NotADevice { physical };
        if size == 0 {
            return Err(MapError::Size { bytes: 0 });
        }
        let end = physical.checked_add(size).filter(|&end| end <= PHYSICAL_END).ok_or(not_a_device)?;
        let ram_end = (self.machine.pages().len() as u64) << PAGE_SHIFT;
        if physical < ram_end && !(MMIO_HOLE_START <= physical && end <= MMIO_HOLE_END) {
            return Err(not_a_device);
        }
        let first = Pfn::of_address(physical);
        let pages = ((end - 1) >> PAGE_SHIFT) - u64::from(first.0) + 1;
        let start = self.find_room(pages)?;
        let area = Area {
            start,
            end: start + (pages + 1) * PAGE_SIZE,
            pages: 0,
            flags: AreaFlags::IOREMAP,
            physical: first.0.into(),
            site: CallSite::of(Location::caller()),
        };
        for page in 0..pages {
            let pte = Pte::kernel(Pfn(first.0 + page as u32)).uncached();
            if let Err(error) = self.map_kernel_page(start + page * PAGE_SIZE, pte) {
                self.unmap_kernel_range(start, start + page * PAGE_SIZE, |_, _, _| {});
                return Err(error.into());
            }
        }
        if let Err(error) = self.insert_area(area) {
            self.unmap_kernel_range(start, area.guard(), |_, _, _| {});
            return Err(error.into());
        }
        self.announce_area(&area);
        Ok(start + physical % PAGE_SIZE)
    }

    /// Unmaps what [`Context::ioremap`] has mapped; `address` is what that returned.
    ///
    /// # Errors
    /// It is not: [`BadUnmap`].
    #[track_caller]
    pub fn iounmap(&mut self, address: u64) -> Result<(), BadUnmap> {
        self.unmap_area(address & !(PAGE_SIZE - 1), AreaFlags::IOREMAP, |_, _| {})
    }
}
