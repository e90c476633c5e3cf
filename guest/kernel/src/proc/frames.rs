//! A text kept in frames that follow each other.

use core::fmt;

use pagelab_abi::layout::PAGE_SIZE;
use pagelab_mm::{machine::Pfn, text::Sink};

use crate::machine::KernelMachine;

/// A text that grows in frames of its owner's.
pub(crate) struct FrameSink {
    machine: KernelMachine,
    first: Pfn,
    size: usize,
    /// Bytes so far.
    pub(crate) length: usize,
}

impl FrameSink {
    /// An empty text in `frames` frames from `first` on, which the caller has allocated.
    pub(crate) fn new(machine: &KernelMachine, first: Pfn, frames: usize) -> FrameSink {
        FrameSink { machine: *machine, first, size: frames * PAGE_SIZE as usize, length: 0 }
    }
}

impl Sink for FrameSink {
    fn put(&mut self, text: &[u8]) -> fmt::Result {
        if text.len() > self.size - self.length {
            return Err(fmt::Error);
        }
        let mut rest = text;
        while !rest.is_empty() {
            let (page, offset) = (self.length / PAGE_SIZE as usize, self.length % PAGE_SIZE as usize);
            let (now, later) = rest.split_at(rest.len().min(PAGE_SIZE as usize - offset));
            self.machine.write(Pfn(self.first.0 + page as u32), offset, now);
            self.length += now.len();
            rest = later;
        }
        Ok(())
    }
}
