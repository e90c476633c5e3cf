//! The simulated machine: frames in ordinary memory, and a TLB.

use std::{boxed::Box, cell::RefCell, rc::Rc, vec::Vec};

use pagelab_abi::layout::{DEVICE_PAGE_PHYS, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE};
use zerocopy::IntoBytes;

use super::tlb::{Tlb, is_kernel};
use crate::{
    fault::Access,
    frame::Page,
    machine::{Frame, KernelFault, Machine, Pfn},
};

/// A frame nobody has written.
static ZERO: Frame = Frame([0; PAGE_SIZE as usize / 8]);

/// The frame number of the one device page.
pub(super) const DEVICE: Pfn = Pfn::of_address(DEVICE_PAGE_PHYS);

/// RAM whose frames take memory when they are first written, and one device page.
pub struct SimMachine {
    pages: Vec<Page>,
    frames: Vec<Option<Box<Frame>>>,
    device: Box<Frame>,
    /// First frame that the direct map leaves out.
    direct_end: u32,
    /// The top table that the kernel's own accesses go through.
    kernel_root: Option<Pfn>,
    pub(super) tlb: Rc<RefCell<Tlb>>,
    /// Flushes are ignored, for a test that must see a missing one.
    drop_flushes: bool,
}

impl SimMachine {
    /// A machine with `ram_bytes` of RAM from 0.
    pub fn new(ram_bytes: u64, tlb: Rc<RefCell<Tlb>>) -> Self {
        let count = (ram_bytes >> PAGE_SHIFT) as usize;
        let mut frames = Vec::new();
        frames.resize_with(count, || None);
        SimMachine {
            pages: [Page::default()].repeat(count),
            frames,
            device: Box::new(ZERO),
            direct_end: count as u32,
            kernel_root: None,
            tlb,
            drop_flushes: false,
        }
    }

    /// From now on the direct map ends here: the frames above are reached through page tables only.
    pub fn end_direct_map(&mut self, end: u64) {
        self.direct_end = (end >> PAGE_SHIFT) as u32;
    }

    /// Sets the top table that the kernel's own accesses go through.
    pub fn set_kernel_root(&mut self, root: Pfn) {
        self.kernel_root = Some(root);
    }

    /// What a frame holds, whether the direct map has it or not: what a CPU or a device sees.
    pub fn physical(&self, pfn: Pfn) -> &Frame {
        if pfn == DEVICE { &self.device } else { self.frames[pfn.index()].as_deref().unwrap_or(&ZERO) }
    }

    /// [`SimMachine::physical`], writable.
    pub fn physical_mut(&mut self, pfn: Pfn) -> &mut Frame {
        if pfn == DEVICE { &mut self.device } else { self.frames[pfn.index()].get_or_insert_with(|| Box::new(ZERO)) }
    }

    /// The frame and the offset in it that the kernel reaches at an address.
    fn reach(&mut self, address: u64, access: Access) -> Result<(Pfn, usize), KernelFault> {
        let offset = (address % PAGE_SIZE) as usize;
        let direct = address.wrapping_sub(PAGE_OFFSET);
        if direct < u64::from(self.direct_end) << PAGE_SHIFT {
            return Ok((Pfn::of_address(direct), offset));
        }
        let fault = |error_code| KernelFault { address, error_code, rip: 0, tsc: 0 };
        let root = self.kernel_root.ok_or_else(|| fault(0))?;
        match self.access(root, address, access, false) {
            Ok(pfn) => Ok((pfn, offset)),
            Err(found) => Err(fault(found.error_code)),
        }
    }

    /// The pieces of a range, each in one page: address and place in the range.
    fn pieces(address: u64, length: usize) -> impl Iterator<Item = (u64, core::ops::Range<usize>)> {
        let mut done = 0;
        core::iter::from_fn(move || {
            let at = address + done as u64;
            let part = (length - done).min((PAGE_SIZE - at % PAGE_SIZE) as usize);
            done += part;
            (part > 0).then_some((at, done - part..done))
        })
    }

    /// Frames of RAM.
    pub fn ram_frames(&self) -> u32 {
        self.frames.len() as u32
    }

    /// From now on flushes are ignored (`true`) or done (`false`): a fault put in to see that it is found.
    pub fn drop_flushes(&mut self, dropped: bool) {
        self.drop_flushes = dropped;
    }

    /// Writes bytes to guest-physical memory, from `address` on.
    pub fn write_physical(&mut self, mut address: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let offset = (address % PAGE_SIZE) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_SIZE as usize - offset));
            self.physical_mut(Pfn::of_address(address)).as_mut_bytes()[offset..offset + now.len()].copy_from_slice(now);
            address += now.len() as u64;
            bytes = later;
        }
    }

    /// A byte of guest-physical memory.
    pub fn read_physical(&self, address: u64) -> u8 {
        self.physical(Pfn::of_address(address)).as_bytes()[(address % PAGE_SIZE) as usize]
    }
}

impl Machine for SimMachine {
    fn pages(&self) -> &[Page] {
        &self.pages
    }

    fn pages_mut(&mut self) -> &mut [Page] {
        &mut self.pages
    }

    fn frame(&self, pfn: Pfn) -> &Frame {
        assert!(pfn.0 < self.direct_end, "frame {:#x} is not in the direct map", pfn.0);
        self.physical(pfn)
    }

    fn frame_mut(&mut self, pfn: Pfn) -> &mut Frame {
        assert!(pfn.0 < self.direct_end, "frame {:#x} is not in the direct map", pfn.0);
        self.physical_mut(pfn)
    }

    fn zero_frame(&mut self, pfn: Pfn) {
        assert!(pfn.0 < self.direct_end, "frame {:#x} is not in the direct map", pfn.0);
        if let Some(frame) = &mut self.frames[pfn.index()] {
            frame.0.fill(0);
        }
    }

    fn copy_frame(&mut self, to: Pfn, from: Pfn) {
        let contents = *self.frame(from);
        *self.frame_mut(to) = contents;
    }

    fn copy_bytes(&mut self, to: Pfn, to_offset: usize, from: u64, length: usize) {
        for index in 0..length {
            let byte = self.read_physical(from + index as u64);
            self.frame_mut(to).as_mut_bytes()[to_offset + index] = byte;
        }
    }

    fn pte(&self, table: Pfn, index: usize) -> u64 {
        self.frame(table).0[index]
    }

    fn set_pte(&mut self, table: Pfn, index: usize, value: u64) {
        self.frame_mut(table).0[index] = value;
    }

    fn swap_pte(&mut self, table: Pfn, index: usize, value: u64) -> u64 {
        core::mem::replace(&mut self.frame_mut(table).0[index], value)
    }

    fn flush_page(&mut self, root: Pfn, address: u64) {
        if self.drop_flushes {
            return;
        }
        let mut tlb = self.tlb.borrow_mut();
        if is_kernel(address) { tlb.flush_kernel_page(address) } else { tlb.flush_page(root, address) }
    }

    fn flush_all(&mut self, root: Pfn) {
        if self.drop_flushes {
            return;
        }
        let mut tlb = self.tlb.borrow_mut();
        if self.kernel_root == Some(root) { tlb.flush_kernel() } else { tlb.flush_all(root) }
    }

    fn read_virtual(&mut self, address: u64, to: &mut [u8]) -> Result<(), KernelFault> {
        for (at, place) in Self::pieces(address, to.len()) {
            let (pfn, offset) = self.reach(at, Access::Read)?;
            let length = place.len();
            to[place].copy_from_slice(&self.physical(pfn).as_bytes()[offset..offset + length]);
        }
        Ok(())
    }

    fn write_virtual(&mut self, address: u64, from: &[u8]) -> Result<(), KernelFault> {
        for (at, place) in Self::pieces(address, from.len()) {
            let (pfn, offset) = self.reach(at, Access::Write)?;
            let length = place.len();
            self.physical_mut(pfn).as_mut_bytes()[offset..offset + length].copy_from_slice(&from[place]);
        }
        Ok(())
    }

    fn copy_virtual(&mut self, to: u64, from: u64, length: usize) -> Result<(), KernelFault> {
        let mut bytes = [0; PAGE_SIZE as usize];
        for (at, place) in Self::pieces(from, length) {
            let bytes = &mut bytes[..place.len()];
            self.read_virtual(at, bytes)?;
            self.write_virtual(to + place.start as u64, bytes)?;
        }
        Ok(())
    }

    fn zero_virtual(&mut self, address: u64, length: usize) -> Result<(), KernelFault> {
        for (at, place) in Self::pieces(address, length) {
            let (pfn, offset) = self.reach(at, Access::Write)?;
            self.physical_mut(pfn).as_mut_bytes()[offset..offset + place.len()].fill(0);
        }
        Ok(())
    }
}
