//! The fixed-size record that every event is written as.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a record.
pub const RECORD_SIZE: usize = 64;
/// Bytes of a record's payload.
pub const PAYLOAD_SIZE: usize = 40;

open_code! {
    /// What a record is: which structure of [`crate::event`] its payload holds.
    RecordKind: u8 {
        /// [`crate::event::Boot`].
        Boot = 1 => "boot",
        /// [`crate::event::StringPart`].
        String = 2 => "string",
        /// [`crate::event::GuestFault`].
        GuestFault = 3 => "guest_fault",
        /// [`crate::event::Frame`].
        Frame = 4 => "frame",
        /// [`crate::event::Vma`].
        Vma = 5 => "vma",
        /// [`crate::event::SyscallEnter`]; `aux` is the number.
        SyscallEnter = 6 => "syscall_enter",
        /// [`crate::event::SyscallExit`]; `aux` is the number.
        SyscallExit = 7 => "syscall_exit",
        /// [`crate::event::Process`].
        Process = 8 => "process",
        /// [`crate::event::Bulk`].
        Bulk = 9 => "bulk",
        /// [`crate::event::Slab`].
        Slab = 10 => "slab",
        /// [`crate::event::Vmalloc`].
        Vmalloc = 11 => "vmalloc",
    }
}

/// One record of the ring: 24 bytes of header, 40 of payload.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Record {
    /// Which payload.
    pub kind: RecordKind,
    /// Bits that belong to the kind, such as [`crate::event::GuestFault::MAJOR`].
    pub flags: u8,
    /// The vCPU that wrote it.
    pub vcpu: u16,
    /// The process it is about; 0 is the kernel.
    pub pid: u32,
    /// TSC when the event began.
    pub tsc: u64,
    /// Position in the stream, counted from 0, modulo 2^32: a gap is a loss.
    pub seq: u32,
    /// A number that belongs to the kind.
    pub aux: u32,
    /// A structure of [`crate::event`].
    pub payload: [u64; PAYLOAD_SIZE / 8],
}

const _: () = assert!(size_of::<Record>() == RECORD_SIZE);

impl Record {
    /// The payload as one of the structures of [`crate::event`].
    pub fn payload_as<T: crate::event::Payload>(&self) -> T {
        T::from_words(&self.payload)
    }
}
