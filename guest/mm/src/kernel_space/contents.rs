//! The contents of any frame, directly mapped or not: how the kernel touches what may be in zone HighMem.
//!
//! A directly mapped frame is touched where it is; any other through a slot of kmap_local, mapped and flushed each time.

use pagelab_abi::layout::{PAGE_OFFSET, PAGE_SIZE};

use crate::{
    context::Context,
    machine::{KernelFault, Machine, Pfn},
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Fills a frame with zeros.
    #[inline(always)]
    pub fn zero_frame(&mut self, pfn: Pfn) {
        if self.frames.is_highmem(pfn) {
            self.zero_part(pfn, 0, PAGE_SIZE as usize);
        } else {
            self.machine.zero_frame(pfn);
        }
    }

    /// Copies a whole frame to another one.
    #[inline]
    pub fn copy_frame(&mut self, to: Pfn, from: Pfn) {
        if self.frames.is_highmem(to) || self.frames.is_highmem(from) {
            self.copy_part(to, 0, from, 0, PAGE_SIZE as usize);
        } else {
            self.machine.copy_frame(to, from);
        }
    }

    /// Copies `length` bytes from guest-physical address `from`, which is directly mapped, to offset `offset` of a frame.
    #[inline]
    pub fn copy_bytes(&mut self, to: Pfn, offset: usize, from: u64, length: usize) {
        if self.frames.is_highmem(to) {
            check(offset, length);
            self.at_frame(to, |machine, at| machine.copy_virtual(at + offset as u64, PAGE_OFFSET + from, length));
        } else {
            self.machine.copy_bytes(to, offset, from, length);
        }
    }

    /// Copies out of a frame.
    pub fn read_frame(&mut self, pfn: Pfn, offset: usize, to: &mut [u8]) {
        check(offset, to.len());
        self.at_frame(pfn, |machine, at| machine.read_virtual(at + offset as u64, to));
    }

    /// Copies into a frame.
    pub fn write_frame(&mut self, pfn: Pfn, offset: usize, from: &[u8]) {
        check(offset, from.len());
        self.at_frame(pfn, |machine, at| machine.write_virtual(at + offset as u64, from));
    }

    /// Copies between frames, or from a frame to itself: where the ranges overlap, the copy's bytes are of no use to
    /// anyone.
    pub fn copy_part(&mut self, to: Pfn, to_offset: usize, from: Pfn, from_offset: usize, length: usize) {
        check(to_offset, length);
        check(from_offset, length);
        let source = self.kmap_local(from).expect(NEVER_DEEP);
        self.at_frame(to, |machine, at| {
            machine.copy_virtual(at + to_offset as u64, source + from_offset as u64, length)
        });
        self.kunmap_local(source).expect("it was mapped last");
    }

    /// Copies from kernel virtual memory to an offset of a frame.
    ///
    /// # Errors
    /// The memory is not mapped.
    pub fn copy_to_frame(&mut self, pfn: Pfn, offset: usize, from: u64, length: usize) -> Result<(), KernelFault> {
        check(offset, length);
        let at = self.kmap_local(pfn).expect(NEVER_DEEP);
        let result = self.machine.copy_virtual(at + offset as u64, from, length);
        self.kunmap_local(at).expect("it was mapped last");
        result
    }

    /// Fills a part of a frame with zeros.
    pub fn zero_part(&mut self, pfn: Pfn, offset: usize, length: usize) {
        check(offset, length);
        self.at_frame(pfn, |machine, at| machine.zero_virtual(at + offset as u64, length));
    }

    /// Does something at a frame's address.
    #[inline]
    fn at_frame(&mut self, pfn: Pfn, touch: impl FnOnce(&mut M, u64) -> Result<(), KernelFault>) {
        let at = self.kmap_local(pfn).expect(NEVER_DEEP);
        touch(&mut self.machine, at).expect("the frame is mapped");
        self.kunmap_local(at).expect("it was mapped last");
    }
}

/// Two slots are enough for all that is done here, and their table is made at boot where it is needed.
const NEVER_DEEP: &str = "a slot is free";

/// A range must not leave its frame.
#[inline(always)]
#[track_caller]
fn check(offset: usize, length: usize) {
    assert!(offset <= PAGE_SIZE as usize && length <= PAGE_SIZE as usize - offset, "the range leaves its frame");
}
