//! The real machine under `pagelab-mm`: the direct map, the CPU's tables and TLB.
#![expect(unsafe_code, reason = "frames are reached through the direct map")]

use core::{
    arch::asm,
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use pagelab_abi::layout::{PAGE_OFFSET, PAGE_SIZE};
use pagelab_mm::{
    frame::Page,
    machine::{Frame, KernelFault, Machine, Pfn},
};

use crate::arch::{access, cpu};

/// The machine the kernel runs on.
#[derive(Clone, Copy)]
pub(crate) struct KernelMachine {
    pages: *mut Page,
    frames: usize,
    /// First frame that the direct map leaves out.
    direct_end: usize,
}

impl KernelMachine {
    /// `pages` is the mapped `Page` array of `frames` entries, all zero; the direct map has the first `direct_end` frames
    /// as far as they are RAM.
    pub(crate) fn new(pages: *mut Page, frames: usize, direct_end: usize) -> Self {
        KernelMachine { pages, frames, direct_end }
    }

    /// Where a frame is in the direct map.
    #[inline(always)]
    fn virt(&self, pfn: Pfn) -> *mut u8 {
        assert!(pfn.index() < self.direct_end, "frame {pfn:?} is not in the direct map");
        (PAGE_OFFSET + pfn.address()) as *mut u8
    }

    /// Bytes of RAM at a guest-physical address, through the direct map.
    pub(crate) fn bytes(&self, address: u64, length: usize) -> &'static [u8] {
        let end = address.checked_add(length as u64).expect("a physical range wraps");
        assert!(end <= self.direct_end as u64 * PAGE_SIZE, "a physical range ends beyond the direct map");
        // SAFETY: the range is RAM; callers use it for boot-time data that nobody writes.
        unsafe { slice::from_raw_parts((PAGE_OFFSET + address) as *const u8, length) }
    }

    #[inline(always)]
    fn entry(&self, table: Pfn, index: usize) -> &AtomicU64 {
        assert!(index < 512);
        // SAFETY: a table's entries are eight aligned bytes in the direct map, shared with the CPU's page walker,
        // which is why they are atomics.
        unsafe { AtomicU64::from_ptr(self.virt(table).cast::<u64>().add(index)) }
    }
}

/// Copies by quadwords, the cheapest way where ring 0 is emulated, then the tail.
///
/// # Safety
/// Both ranges are valid. Where they overlap, what is copied is what such a loop makes of it.
unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller vouches for the ranges; DF is clear in the kernel.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {tail:e}",
            "rep movsb",
            tail = in(reg) length & 7,
            inout("rcx") length / 8 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

impl Machine for KernelMachine {
    #[inline(always)]
    fn pages(&self) -> &[Page] {
        // SAFETY: the array is mapped for the kernel's life and zero-initialised, which is valid for Page.
        unsafe { slice::from_raw_parts(self.pages, self.frames) }
    }

    #[inline(always)]
    fn pages_mut(&mut self) -> &mut [Page] {
        // SAFETY: as in `pages`; `&mut self` makes the access exclusive.
        unsafe { slice::from_raw_parts_mut(self.pages, self.frames) }
    }

    #[inline(always)]
    fn frame(&self, pfn: Pfn) -> &Frame {
        // SAFETY: a frame is 4096 aligned bytes of the direct map; any bytes are a valid Frame. Page tables, which
        // the CPU writes behind our back, are reached by `pte` only.
        unsafe { &*self.virt(pfn).cast() }
    }

    #[inline(always)]
    fn frame_mut(&mut self, pfn: Pfn) -> &mut Frame {
        // SAFETY: as in `frame`; `&mut self` makes the access exclusive.
        unsafe { &mut *self.virt(pfn).cast() }
    }

    #[inline(always)]
    fn zero_frame(&mut self, pfn: Pfn) {
        // SAFETY: the frame is 4096 bytes of the direct map; DF is clear in the kernel.
        unsafe {
            asm!("rep stosq", inout("rcx") PAGE_SIZE / 8 => _, inout("rdi") self.virt(pfn) => _, in("rax") 0u64,
                options(nostack, preserves_flags));
        }
    }

    fn copy_frame(&mut self, to: Pfn, from: Pfn) {
        assert!(to != from);
        // SAFETY: two different frames of the direct map.
        unsafe { copy(self.virt(to), self.virt(from), PAGE_SIZE as usize) };
    }

    fn copy_bytes(&mut self, to: Pfn, to_offset: usize, from: u64, length: usize) {
        assert!(to_offset + length <= PAGE_SIZE as usize);
        let source = self.bytes(from, length);
        // SAFETY: the target lies in one frame of the direct map, which is not among what `bytes` is for.
        unsafe { copy(self.virt(to).add(to_offset), source.as_ptr(), length) };
    }

    #[inline(always)]
    fn pte(&self, table: Pfn, index: usize) -> u64 {
        self.entry(table, index).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn set_pte(&mut self, table: Pfn, index: usize, value: u64) {
        self.entry(table, index).store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    fn swap_pte(&mut self, table: Pfn, index: usize, value: u64) -> u64 {
        self.entry(table, index).swap(value, Ordering::Relaxed)
    }

    #[inline(always)]
    fn flush_page(&mut self, _root: Pfn, address: u64) {
        // There is one address space, so the page is always of the current one.
        if !cfg!(feature = "omit-flush") {
            cpu::flush_page(address);
        }
    }

    fn flush_all(&mut self, _root: Pfn) {
        if !cfg!(feature = "omit-flush") {
            x86_64::instructions::tlb::flush_all();
        }
    }

    fn read_virtual(&mut self, address: u64, to: &mut [u8]) -> Result<(), KernelFault> {
        assert!(is_kernel_half(address));
        // SAFETY: `to` is ours alone; what is mapped at a kernel address is memory, and the copy is atomic to us.
        unsafe { access::copy(to.as_mut_ptr() as u64, address, to.len()) }
    }

    fn write_virtual(&mut self, address: u64, from: &[u8]) -> Result<(), KernelFault> {
        assert!(is_kernel_half(address));
        // SAFETY: memory management names addresses of its own areas only, to which no reference is live.
        unsafe { access::copy(address, from.as_ptr() as u64, from.len()) }
    }

    fn copy_virtual(&mut self, to: u64, from: u64, length: usize) -> Result<(), KernelFault> {
        assert!(is_kernel_half(to) && is_kernel_half(from));
        // SAFETY: as in `write_virtual`.
        unsafe { access::copy(to, from, length) }
    }

    fn zero_virtual(&mut self, address: u64, length: usize) -> Result<(), KernelFault> {
        assert!(is_kernel_half(address));
        // SAFETY: as in `write_virtual`.
        unsafe { access::zero(address, length) }
    }
}

/// Whether an address is the kernel's.
const fn is_kernel_half(address: u64) -> bool {
    address >> 63 != 0
}
