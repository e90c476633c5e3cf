//! The trace ring: one producer (the guest), one consumer (the host), in the trace window.
//!
//! The window's first page is a [`RingHeader`]; [`crate::record::Record`]s follow. `head` counts the records ever
//! written, `tail` the records ever taken; record `n` is in slot `n % capacity`. The guest writes a record, then
//! publishes `head + 1` with Release; the host reads `head` with Acquire, copies the records, then publishes
//! `tail`. When [`is_nearly_full`] the guest rings [`crate::port::DOORBELL`] and finds the ring empty afterwards.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::PAGE_SIZE, record::RECORD_SIZE};

/// First eight bytes of a ring header: "PGLBRING".
pub const RING_MAGIC: u64 = u64::from_le_bytes(*b"PGLBRING");
/// Byte offset of `head` in the window.
pub const HEAD_OFFSET: usize = 64;
/// Byte offset of `tail` in the window.
pub const TAIL_OFFSET: usize = 128;
/// Byte offset of the first record in the window.
pub const RECORDS_OFFSET: usize = PAGE_SIZE as usize;

/// The first bytes of the trace window, written by the host before the start.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RingHeader {
    /// [`RING_MAGIC`].
    pub magic: u64,
    /// [`crate::ABI_VERSION`].
    pub version: u32,
    /// [`RECORD_SIZE`].
    pub record_size: u32,
    /// Slots in the ring, a power of two.
    pub capacity: u64,
    /// Zero: `head` has a cache line of its own.
    pub padding0: [u64; 5],
    /// Records ever written. Only the guest writes it, and the host never trusts it.
    pub head: u64,
    /// Zero.
    pub padding1: [u64; 7],
    /// Records ever taken. Only the host writes it.
    pub tail: u64,
    /// Zero.
    pub padding2: [u64; 7],
}

const _: () = assert!(size_of::<RingHeader>() == 192);
const _: () = assert!(core::mem::offset_of!(RingHeader, head) == HEAD_OFFSET);
const _: () = assert!(core::mem::offset_of!(RingHeader, tail) == TAIL_OFFSET);

/// The largest power-of-two number of records that a window of `window_size` bytes holds.
pub const fn capacity(window_size: u64) -> u64 {
    let slots = window_size.saturating_sub(RECORDS_OFFSET as u64) / RECORD_SIZE as u64;
    if slots == 0 { 0 } else { 1 << slots.ilog2() }
}

/// Whether a ring with `used` of `capacity` slots in use should be drained now.
pub const fn is_nearly_full(used: u64, capacity: u64) -> bool {
    used >= capacity - capacity / 4
}
