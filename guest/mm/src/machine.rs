//! The seam between memory management and the machine it runs on.

use core::fmt;

use pagelab_abi::layout::{PAGE_SHIFT, PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::frame::Page;

/// Number of a physical frame: guest-physical address divided by 4096.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Pfn(pub u32);

impl Pfn {
    /// Frame 0 is never handed out, so it stands for "no frame".
    pub const NONE: Pfn = Pfn(0);

    /// Guest-physical address of the frame's first byte.
    pub const fn address(self) -> u64 {
        (self.0 as u64) << PAGE_SHIFT
    }

    /// The frame that holds this guest-physical address.
    pub const fn of_address(address: u64) -> Pfn {
        Pfn((address >> PAGE_SHIFT) as u32)
    }

    /// The frame's place in the `Page` array.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The contents of a frame.
#[repr(C, align(4096))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Frame(pub [u64; PAGE_SIZE as usize / 8]);

/// The CPU could not translate an address of the kernel's: what a page fault in ring 0 tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelFault {
    /// The address (CR2).
    pub address: u64,
    /// The error code on the stack.
    pub error_code: u16,
    /// The instruction that faulted; 0 where there are none.
    pub rip: u64,
    /// When it did, by the time-stamp counter; 0 where there is none.
    pub tsc: u64,
}

impl fmt::Display for KernelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page fault in the kernel at {:#x} (error code {:#x})", self.address, self.error_code)
    }
}

impl core::error::Error for KernelFault {}

/// What memory management needs of a machine. The kernel implements it over the direct map, the simulator over
/// ordinary memory.
pub trait Machine {
    /// The `Page` array, indexed by frame number.
    fn pages(&self) -> &[Page];
    /// The `Page` array, writable.
    fn pages_mut(&mut self) -> &mut [Page];

    /// The contents of a directly mapped frame. Not for page tables the CPU walks: see [`Machine::pte`].
    fn frame(&self, pfn: Pfn) -> &Frame;
    /// The contents of a directly mapped frame, writable.
    fn frame_mut(&mut self, pfn: Pfn) -> &mut Frame;
    /// Fills a frame with zeros.
    fn zero_frame(&mut self, pfn: Pfn);
    /// Copies a whole frame.
    fn copy_frame(&mut self, to: Pfn, from: Pfn);
    /// Copies `length` bytes from guest-physical address `from` to offset `to_offset` of frame `to`.
    /// `to_offset + length` is at most 4096.
    fn copy_bytes(&mut self, to: Pfn, to_offset: usize, from: u64, length: usize);

    /// Reads an entry of a page table. The CPU may set its accessed and dirty bits at any time.
    fn pte(&self, table: Pfn, index: usize) -> u64;
    /// Writes an entry of a page table.
    fn set_pte(&mut self, table: Pfn, index: usize, value: u64);
    /// Writes an entry of a page table and returns what was there, in one step, so that no accessed or dirty bit that
    /// the CPU sets meanwhile is lost.
    fn swap_pte(&mut self, table: Pfn, index: usize, value: u64) -> u64;

    /// Forgets any translation of the page at `address` in the address space whose top table is `root`; of a kernel
    /// address, in all of them.
    fn flush_page(&mut self, root: Pfn, address: u64);
    /// Forgets every translation of the address space whose top table is `root`, but for those of the direct map and the
    /// kernel's image. If that is the kernel's own top table: those of kernel addresses, in all address spaces.
    fn flush_all(&mut self, root: Pfn);

    /// Copies from kernel virtual memory, through the page tables and the TLB.
    ///
    /// # Errors
    /// Nothing is mapped at one of the addresses. A part may have been copied.
    fn read_virtual(&mut self, address: u64, to: &mut [u8]) -> Result<(), KernelFault>;
    /// Copies to kernel virtual memory.
    ///
    /// # Errors
    /// As [`Machine::read_virtual`].
    fn write_virtual(&mut self, address: u64, from: &[u8]) -> Result<(), KernelFault>;
    /// Copies within kernel virtual memory. The bytes of a copy whose ranges overlap are of no use to anyone.
    ///
    /// # Errors
    /// As [`Machine::read_virtual`].
    fn copy_virtual(&mut self, to: u64, from: u64, length: usize) -> Result<(), KernelFault>;
    /// Fills kernel virtual memory with zeros.
    ///
    /// # Errors
    /// As [`Machine::read_virtual`].
    fn zero_virtual(&mut self, address: u64, length: usize) -> Result<(), KernelFault>;

    /// Reads eight bytes of kernel virtual memory.
    ///
    /// # Errors
    /// As [`Machine::read_virtual`].
    fn read_word(&mut self, address: u64) -> Result<u64, KernelFault> {
        let mut bytes = [0; 8];
        self.read_virtual(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes eight bytes of kernel virtual memory.
    ///
    /// # Errors
    /// As [`Machine::read_virtual`].
    fn write_word(&mut self, address: u64, value: u64) -> Result<(), KernelFault> {
        self.write_virtual(address, &value.to_le_bytes())
    }
}
