//! The kernel's accesses to its own virtual memory, and the faults they take in lazy areas.

use pagelab_abi::{
    layout::{PAGE_SIZE, VMALLOC_LIMIT, VMALLOC_START},
    snapshot::AreaFlags,
};

use super::{BadAccess, Where};
use crate::{
    context::Context,
    frame::Gfp,
    machine::{KernelFault, Machine, Pfn},
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// A fault of the kernel's own: gives a page of a lazy area its frame, filled with zeros.
    ///
    /// # Errors
    /// It is none of these: a guard page, a gap, a page that is mapped already ... or there is no frame.
    #[track_caller]
    pub fn kernel_fault(&mut self, fault: KernelFault) -> Result<Pfn, BadAccess> {
        let bad = |at| BadAccess { fault, at };
        let page = fault.address & !(PAGE_SIZE - 1);
        if !(VMALLOC_START..VMALLOC_LIMIT).contains(&page) {
            return Err(bad(self.where_is(page)));
        }
        let area = self.area_at(page).filter(|area| area.flags.contains(AreaFlags::LAZY) && page < area.guard());
        let (Some(mut area), None) = (area, self.vmalloc_to_pfn(page)) else {
            return Err(bad(self.where_is(page)));
        };
        let Ok(pfn) = self.map_fresh(page, Gfp::KERNEL | Gfp::HIGHMEM | Gfp::ZERO) else {
            return Err(bad(Where::OutOfMemory(self.owned(&area))));
        };
        area.pages += 1;
        self.set_area_pages(area.start, area.pages);
        self.kernel.counts.faults += 1;
        self.announce_page(&area, page, pfn);
        self.trace.kernel_fault(fault, area.start, pfn);
        Ok(pfn)
    }

    /// Copies from kernel virtual memory.
    ///
    /// # Errors
    /// [`BadAccess`]: nothing is there.
    #[track_caller]
    pub fn read_kernel(&mut self, address: u64, to: &mut [u8]) -> Result<(), BadAccess> {
        while let Err(fault) = self.machine.read_virtual(address, to) {
            self.kernel_fault(fault)?;
        }
        Ok(())
    }

    /// Copies to kernel virtual memory.
    ///
    /// # Errors
    /// [`BadAccess`]: nothing is there.
    #[track_caller]
    pub fn write_kernel(&mut self, address: u64, from: &[u8]) -> Result<(), BadAccess> {
        while let Err(fault) = self.machine.write_virtual(address, from) {
            self.kernel_fault(fault)?;
        }
        Ok(())
    }

    /// Copies within kernel virtual memory, between ranges that do not overlap.
    ///
    /// # Errors
    /// [`BadAccess`]: nothing is there.
    #[track_caller]
    pub fn copy_kernel(&mut self, to: u64, from: u64, length: usize) -> Result<(), BadAccess> {
        while let Err(fault) = self.machine.copy_virtual(to, from, length) {
            self.kernel_fault(fault)?;
        }
        Ok(())
    }

    /// Fills kernel virtual memory with zeros.
    ///
    /// # Errors
    /// [`BadAccess`]: nothing is there.
    #[track_caller]
    pub fn zero_kernel(&mut self, address: u64, length: usize) -> Result<(), BadAccess> {
        while let Err(fault) = self.machine.zero_virtual(address, length) {
            self.kernel_fault(fault)?;
        }
        Ok(())
    }

    /// Reads eight bytes of kernel virtual memory.
    ///
    /// # Errors
    /// [`BadAccess`]: nothing is there.
    #[track_caller]
    pub fn read_kernel_word(&mut self, address: u64) -> Result<u64, BadAccess> {
        let mut bytes = [0; 8];
        self.read_kernel(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes eight bytes of kernel virtual memory.
    ///
    /// # Errors
    /// [`BadAccess`]: nothing is there.
    #[track_caller]
    pub fn write_kernel_word(&mut self, address: u64, value: u64) -> Result<(), BadAccess> {
        self.write_kernel(address, &value.to_le_bytes())
    }
}
