//! The host's end of the trace ring. The guest's end is untrusted: every number from it is checked.

use std::{
    mem::offset_of,
    sync::atomic::{Ordering, fence},
};

use pagelab_abi::{
    ABI_VERSION,
    record::{RECORD_SIZE, Record},
    ring::{HEAD_OFFSET, RECORDS_OFFSET, RING_MAGIC, RingHeader, TAIL_OFFSET, capacity},
};
use vm_memory::{Bytes, VolatileMemory, volatile_memory};
use zerocopy::{FromBytes, IntoBytes};

use super::memory::TraceWindow;

/// What one look at the ring gave.
#[derive(Debug, Default)]
pub struct Drained {
    /// Records, oldest first.
    pub records: Vec<Record>,
    /// The guest broke the ring's rules: what it did.
    pub violation: Option<String>,
}

/// The consumer of one ring.
#[derive(Debug)]
pub struct RingReader {
    window: TraceWindow,
    capacity: u64,
    /// Records ever taken: the host's own copy, never read back from shared memory.
    tail: u64,
}

impl RingReader {
    /// Writes the ring's header into the window and takes its consuming end.
    pub fn new(window: TraceWindow) -> volatile_memory::Result<RingReader> {
        let capacity = capacity(window.extent().size);
        let header = RingHeader {
            magic: RING_MAGIC,
            version: ABI_VERSION,
            record_size: RECORD_SIZE as u32,
            capacity,
            padding0: [0; 5],
            head: 0,
            padding1: [0; 7],
            tail: 0,
            padding2: [0; 7],
        };
        window.region().get_slice(0, size_of::<RingHeader>())?.write_slice(header.as_bytes(), 0)?;
        Ok(RingReader { window, capacity, tail: 0 })
    }

    /// Records the ring can hold.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Takes everything the guest has published. A head that claims more than the ring holds, or less than was taken,
    /// is a violation: nothing is taken and both ends start again from the claimed head.
    pub fn drain(&mut self) -> volatile_memory::Result<Drained> {
        let whole = self.window.region().as_volatile_slice();
        let head: u64 = whole.load(HEAD_OFFSET, Ordering::Acquire)?;
        let used = head.wrapping_sub(self.tail);
        let mut drained = Drained::default();
        if used > self.capacity {
            drained.violation = Some(format!(
                "ring head {head} with tail {} and {} slots: records were lost or never written",
                self.tail, self.capacity
            ));
        } else {
            drained.records.reserve_exact(used as usize);
            let mut bytes = [0u8; RECORD_SIZE];
            for index in 0..used {
                let number = self.tail.wrapping_add(index);
                let slot = RECORDS_OFFSET + (number % self.capacity) as usize * RECORD_SIZE;
                whole.read_slice(&mut bytes, slot)?;
                drained.records.push(Record::read_from_bytes(&bytes).expect("a record is exactly RECORD_SIZE bytes"));
            }
        }
        // The copies must be complete before the slots are given back.
        fence(Ordering::Release);
        self.tail = head;
        whole.store(self.tail, TAIL_OFFSET, Ordering::Release)?;
        Ok(drained)
    }
}

const _: () = assert!(offset_of!(RingHeader, head) % 8 == 0 && offset_of!(RingHeader, tail) % 8 == 0);
