//! What the guest shows the host when it rings [`crate::port::FAULT_TRAP`].
//!
//! The host reads both structures from the guest's memory, through the guest's own page tables. Nothing here is to be
//! trusted: an address may lead nowhere.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::code::FaultKind;

/// What the entry code leaves on the kernel's stack, lowest address first. The entry code depends on this order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TrapFrame {
    /// CR2: the faulting address, if this is a page fault.
    pub fault_address: u64,
    /// TSC at trap entry.
    pub tsc: u64,
    /// General register, as are those that follow.
    pub r15: u64,
    /// R14.
    pub r14: u64,
    /// R13.
    pub r13: u64,
    /// R12.
    pub r12: u64,
    /// R11.
    pub r11: u64,
    /// R10.
    pub r10: u64,
    /// R9.
    pub r9: u64,
    /// R8.
    pub r8: u64,
    /// RDI.
    pub rdi: u64,
    /// RSI.
    pub rsi: u64,
    /// RBP.
    pub rbp: u64,
    /// RBX.
    pub rbx: u64,
    /// RCX.
    pub rcx: u64,
    /// RDX.
    pub rdx: u64,
    /// RAX.
    pub rax: u64,
    /// What the stub says of the trap; its low byte is the CPU's vector.
    pub vector: u64,
    /// Error code; 0 where the CPU pushes none.
    pub error: u64,
    /// Instruction to go on with.
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

const _: () = assert!(size_of::<TrapFrame>() == 24 * 8);

impl TrapFrame {
    /// Whether ring 3 was interrupted.
    pub const fn is_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

/// One page fault of the program, handled. R8 holds its guest-virtual address when the port is rung.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FaultTrap {
    /// Guest-virtual address of the [`TrapFrame`]: the registers at the fault, CR2 and the error code.
    pub frame: u64,
    /// The page-table entries on the way to the address before the fault was handled, PML4E to PTE; 0 where a table was
    /// missing.
    pub entries_before: [u64; 4],
    /// Start of the VMA after the fault; 0 if there is none.
    pub vma_start: u64,
    /// First byte after that VMA.
    pub vma_end: u64,
    /// Guest-virtual address of its name (a path without its slash, or a name in brackets).
    pub name: u64,
    /// Bytes of the name; 0 for anonymous memory.
    pub name_length: u32,
    /// [`crate::vm_flags::VmFlags`] of the VMA.
    pub vma_flags: u32,
    /// Frame mapped; 0 if none.
    pub pfn: u32,
    /// How the fault was resolved, or why not.
    pub kind: FaultKind,
    /// Zero.
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<FaultTrap>() == 80);
