//! The producer's end of the trace ring.
#![expect(unsafe_code, reason = "the ring is memory shared with the host")]

use core::sync::atomic::{AtomicU64, Ordering};

use pagelab_abi::{
    record::{PAYLOAD_SIZE, Record, RecordKind},
    ring::{HEAD_OFFSET, RECORDS_OFFSET, TAIL_OFFSET, capacity, is_nearly_full},
};

use crate::arch::port;

/// The ring of this vCPU.
pub(crate) struct Ring {
    window: u64,
    mask: u64,
    head: u64,
    tail: u64,
}

impl Ring {
    /// The ring in a mapped trace window whose header the host has written.
    pub(crate) fn new(window: u64, size: u64) -> Self {
        let capacity = capacity(size);
        assert!(capacity > 0, "the trace window holds no record");
        Ring { window, mask: capacity - 1, head: 0, tail: 0 }
    }

    /// The ring as its counters say it is.
    pub(crate) fn attach(window: u64, size: u64) -> Ring {
        let mut ring = Ring::new(window, size);
        ring.head = ring.counter(HEAD_OFFSET).load(Ordering::Relaxed);
        ring.tail = ring.counter(TAIL_OFFSET).load(Ordering::Acquire);
        ring
    }

    /// Writes and publishes a record; rings the doorbell when the ring is nearly full.
    #[inline]
    pub(crate) fn push(
        &mut self,
        kind: RecordKind,
        flags: u8,
        pid: u32,
        tsc: u64,
        aux: u32,
        payload: [u64; PAYLOAD_SIZE / 8],
    ) {
        let slot = self.window + RECORDS_OFFSET as u64 + (self.head & self.mask) * size_of::<Record>() as u64;
        let record = Record { kind, flags, vcpu: 0, pid, tsc, seq: self.head as u32, aux, payload };
        // SAFETY: the slot lies in the mapped window, and the host does not read it before `head` is published.
        unsafe { (slot as *mut Record).write(record) };
        self.head += 1;
        self.counter(HEAD_OFFSET).store(self.head, Ordering::Release);
        if is_nearly_full(self.head - self.tail, self.mask + 1) {
            self.drain();
        }
    }

    /// Has the host empty the ring.
    #[cold]
    #[inline(never)]
    fn drain(&mut self) {
        port::doorbell();
        self.tail = self.counter(TAIL_OFFSET).load(Ordering::Acquire);
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both counters are aligned words of the mapped window's header.
        unsafe { AtomicU64::from_ptr((self.window as usize + offset) as *mut u64) }
    }
}
