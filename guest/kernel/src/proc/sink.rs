//! A text kept in kernel virtual memory.

use core::fmt;

use pagelab_mm::{machine::Machine, text::Sink};

use crate::machine::KernelMachine;

/// A text that grows in memory of its owner's.
pub(crate) struct MemorySink {
    machine: KernelMachine,
    start: u64,
    size: usize,
    /// Bytes so far.
    pub(crate) length: usize,
}

impl MemorySink {
    /// An empty text in `size` bytes of memory that is mapped from `start` on.
    pub(crate) fn new(machine: &KernelMachine, start: u64, size: usize) -> MemorySink {
        MemorySink { machine: *machine, start, size, length: 0 }
    }
}

impl Sink for MemorySink {
    fn put(&mut self, text: &[u8]) -> fmt::Result {
        if text.len() > self.size - self.length {
            return Err(fmt::Error);
        }
        self.machine.write_virtual(self.start + self.length as u64, text).expect("the memory is mapped");
        self.length += text.len();
        Ok(())
    }
}
