//! A simulated process that a program can be loaded into.

use core::ops::Range;

use zerocopy::IntoBytes;

use super::{SimContext, new_context_with_file_bytes};
use crate::{
    errno::Errno,
    exec::{self, Image, LoadError, Loader, Program},
    fault::{self, Access, Fault},
    file::{FileId, FileSpec},
    machine::Pfn,
    space::{AddressSpace, MmapRequest},
    vma::Vma,
};

/// An address space, the machine it is on, and the program's file.
pub struct SimProcess {
    /// The machine.
    pub cx: SimContext,
    /// The memory.
    pub space: AddressSpace,
    file: FileId,
}

impl SimProcess {
    /// An empty process on a machine with `ram_bytes` of RAM, with the file's bytes at its top.
    ///
    /// # Panics
    /// When that is too little RAM.
    pub fn new(ram_bytes: u64, file: &[u8]) -> SimProcess {
        let (mut cx, start) = new_context_with_file_bytes(ram_bytes, file);
        let file = cx.add_file(FileSpec::backed(start, file.len() as u64, 1, 1)).expect("room for a file");
        let space = AddressSpace::new(&mut cx, 1).expect("room for a page table");
        SimProcess { cx, space, file }
    }

    /// Loads a program that was read from the file's bytes.
    ///
    /// # Errors
    /// What could not be mapped.
    pub fn load<'a>(&mut self, program: &Program<'a>) -> Result<Image, LoadError<'a>> {
        let file = self.file;
        exec::load(self, program, file)
    }

    /// The mapping that holds an address.
    pub fn vma(&mut self, address: u64) -> Option<Vma> {
        let slot = self.space.vmas.find(&self.cx, address)?;
        let vma = *self.cx.vma(slot);
        (vma.start <= address).then_some(vma)
    }

    /// The byte at an address, as ring 3 reads it; `None` if it dies of that.
    pub fn byte(&mut self, address: u64) -> Option<u8> {
        self.frame(address, Access::Read).map(|pfn| self.cx.machine.physical(pfn).as_bytes()[address as usize & 0xfff])
    }

    /// The frame that ring 3 reaches, with the page faults on the way; `None` if it dies of one.
    fn frame(&mut self, address: u64, access: Access) -> Option<Pfn> {
        loop {
            if let Ok(pfn) = self.cx.machine.access(self.space.tables.root, address, access, true) {
                return Some(pfn);
            }
            let fault = Fault { address, access, user: true };
            if fault::handle(&mut self.cx, &mut self.space, fault).pfn == Pfn::NONE {
                return None;
            }
        }
    }
}

impl Loader for SimProcess {
    fn map(&mut self, request: &MmapRequest) -> Result<u64, Errno> {
        self.space.mmap(&mut self.cx, request)
    }

    fn unmap(&mut self, start: u64, length: u64) -> Result<(), Errno> {
        self.space.munmap(&mut self.cx, start, length)
    }

    fn clear(&mut self, range: Range<u64>) -> Result<(), Errno> {
        for address in range {
            let pfn = self.frame(address, Access::Write).ok_or(Errno::EFAULT)?;
            self.cx.machine.physical_mut(pfn).as_mut_bytes()[address as usize & 0xfff] = 0;
        }
        Ok(())
    }
}
