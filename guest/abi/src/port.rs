//! Control ports: 32-bit OUT instructions by which the guest calls the host.

/// The ring is nearly full: drain it. The value is ignored.
pub const DOORBELL: u16 = 0x500;
/// A [`crate::event::Bulk`] record is the newest in the ring: drain it now, its bytes may change afterwards.
pub const BULK: u16 = 0x504;
/// The run is over; the value is the program's wait status, as `wait(2)` encodes it.
pub const EXIT: u16 = 0x508;
/// The kernel has panicked; the text came before as a bulk record.
pub const PANIC: u16 = 0x50c;
/// The guest's very first act, and its clock check: R8 holds a TSC reading taken just before. The value is ignored.
pub const CLOCK: u16 = 0x510;
/// The boot info has another [`crate::ABI_VERSION`]; the value is the guest's own.
pub const ABI_MISMATCH: u16 = 0x514;
/// A page fault of the program has been handled, as far as it can be: its record is the newest of its kind in the ring,
/// its page-table entry is written, and what ends the program has not been done yet. R8 holds the guest-virtual address
/// of a [`crate::trap::FaultTrap`]; the value is ignored. Rung only if [`crate::boot::BootFlags::TRAP_FAULTS`] asks for
/// it. System calls that arrive as page faults, and faults that the kernel takes on the program's behalf, never ring it.
pub const FAULT_TRAP: u16 = 0x518;
