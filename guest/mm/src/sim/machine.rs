//! The simulated machine: frames in ordinary memory, and a TLB.

use std::{boxed::Box, cell::RefCell, rc::Rc, vec::Vec};

use pagelab_abi::layout::{PAGE_SHIFT, PAGE_SIZE};
use zerocopy::IntoBytes;

use super::tlb::Tlb;
use crate::{
    frame::Page,
    machine::{Frame, Machine, Pfn},
};

/// A frame nobody has written.
static ZERO: Frame = Frame([0; PAGE_SIZE as usize / 8]);

/// RAM whose frames take memory when they are first written.
pub struct SimMachine {
    pages: Vec<Page>,
    frames: Vec<Option<Box<Frame>>>,
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
        SimMachine { pages: [Page::default()].repeat(count), frames, tlb, drop_flushes: false }
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
            self.frame_mut(Pfn::of_address(address)).as_mut_bytes()[offset..offset + now.len()].copy_from_slice(now);
            address += now.len() as u64;
            bytes = later;
        }
    }

    /// A byte of guest-physical memory.
    pub fn read_physical(&self, address: u64) -> u8 {
        self.frame(Pfn::of_address(address)).as_bytes()[(address % PAGE_SIZE) as usize]
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
        self.frames[pfn.index()].as_deref().unwrap_or(&ZERO)
    }

    fn frame_mut(&mut self, pfn: Pfn) -> &mut Frame {
        self.frames[pfn.index()].get_or_insert_with(|| Box::new(ZERO))
    }

    fn zero_frame(&mut self, pfn: Pfn) {
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
        if !self.drop_flushes {
            self.tlb.borrow_mut().flush_page(root, address);
        }
    }

    fn flush_all(&mut self, root: Pfn) {
        if !self.drop_flushes {
            self.tlb.borrow_mut().flush_all(root);
        }
    }
}
