//! What a program left behind that a signal ended: one [`Crash`], and the bytes of its stack right after it.
//!
//! The guest sends it as a [`crate::code::BulkKind::Crash`]. The host makes the diagnosis of it, and trusts none of it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::trap::TrapFrame;

/// Bytes of code that a crash record has room for.
pub const CODE_BYTES: usize = 32;
/// Most bytes of stack that follow a crash record.
pub const STACK_BYTES: usize = 16 << 10;

open_code! {
    /// What brought the signal about.
    CrashCause: u8 {
        /// A page fault that could not be resolved.
        PageFault = 1 => "page_fault",
        /// Another exception of the CPU.
        Exception = 2 => "exception",
        /// A return to ring 3 at an address that no program can have.
        BadReturn = 3 => "bad_return",
        /// A system call of the program sent it, or a timer of the program's.
        Sent = 4 => "sent",
        /// No frame could be found.
        OutOfMemory = 5 => "out_of_memory",
        /// The stack had no room for the frame of a signal's handler.
        SignalFrame = 6 => "signal_frame",
    }
}

/// A VMA, or none: all zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Area {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// [`crate::vm_flags::VmFlags`].
    pub flags: u32,
    /// String id of its name; 0 if it has none.
    pub name: u32,
}

/// A program at the moment it was ended by a signal.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Crash {
    /// The signal's number.
    pub signal: u32,
    /// Its `si_code`.
    pub code: i32,
    /// Its `si_addr`; 0 where the signal has none.
    pub address: u64,
    /// Address of the instruction that brought it about. RIP may already be behind it.
    pub instruction: u64,
    /// Where the bytes of the stack begin: RSP, or the next page if there is nothing at RSP.
    pub stack_start: u64,
    /// How many there are, at most [`STACK_BYTES`].
    pub stack_length: u32,
    /// Bytes of `code_bytes` in use.
    pub code_length: u8,
    /// What brought the signal about.
    pub cause: CrashCause,
    /// Zero.
    pub padding: [u8; 2],
    /// The program's memory from `instruction` on, as far as it could be read without a fault.
    pub code_bytes: [u8; CODE_BYTES],
    /// What is mapped at `address`.
    pub at: Area,
    /// The nearest mapping below, if none is at `address`.
    pub below: Area,
    /// The nearest mapping above, if none is at `address`.
    pub above: Area,
    /// What is mapped at `instruction`.
    pub of_instruction: Area,
    /// What is mapped at RSP.
    pub of_stack: Area,
    /// The registers.
    pub frame: TrapFrame,
}

const _: () = assert!(size_of::<Crash>() == 384);
