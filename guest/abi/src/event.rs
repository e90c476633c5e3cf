//! The payloads of records: one structure an event, each exactly [`crate::record::PAYLOAD_SIZE`] bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use crate::{
    code::{BulkKind, FaultKind, FrameOp, MigrateType, Moment, Owner, ProcessOp, SlabOp, VmaOp, VmallocOp, Zone},
    record::{PAYLOAD_SIZE, RecordKind},
};

/// A payload: plain bytes of the right size, tied to its record kind.
pub trait Payload: Copy {
    /// The kind of record that carries it.
    const KIND: RecordKind;
    /// Reads the payload out of a record's words. Any bytes are valid.
    fn from_words(words: &[u64; PAYLOAD_SIZE / 8]) -> Self;
    /// The payload as words.
    fn to_words(self) -> [u64; PAYLOAD_SIZE / 8];
}

macro_rules! payload {
    ($($type:ident),+) => { $(
        const _: () = assert!(size_of::<$type>() == PAYLOAD_SIZE);
        impl Payload for $type {
            const KIND: RecordKind = payload!(@kind $type);
            #[inline]
            fn from_words(words: &[u64; PAYLOAD_SIZE / 8]) -> Self {
                transmute!(*words)
            }
            #[inline]
            fn to_words(self) -> [u64; PAYLOAD_SIZE / 8] {
                transmute!(self)
            }
        }
    )+ };
    (@kind StringPart) => { RecordKind::String };
    (@kind $type:ident) => { RecordKind::$type };
}

/// The guest has reached its kernel's main function.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Boot {
    /// The guest's own [`crate::ABI_VERSION`].
    pub abi_version: u32,
    /// Zero.
    pub padding: u32,
    /// Bytes of RAM the guest counts.
    pub memory_bytes: u64,
    /// Frames given to the allocator.
    pub managed_frames: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// A part of a string; the whole is named by its `id` from then on. Strings come before their first use.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StringPart {
    /// What other records call the string. Never 0.
    pub id: u32,
    /// Bytes in the whole string.
    pub length: u16,
    /// Where this part begins.
    pub offset: u16,
    /// The bytes, zero-padded.
    pub bytes: [u8; 32],
}

/// One page fault of the guest. `pid`, `vcpu` and the begin time are in the record's header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct GuestFault {
    /// Faulting guest-virtual address (CR2).
    pub gva: u64,
    /// Instruction that faulted; for a fault the kernel took on a program's behalf, the program's system call.
    pub rip: u64,
    /// Start of the VMA after the fault; 0 if there is none.
    pub vma_start: u64,
    /// TSC ticks from trap entry to just before the return.
    pub ticks: u64,
    /// Frame mapped; 0 if none.
    pub pfn: u32,
    /// Error code as the CPU pushed it (SDM vol. 3, 4.7).
    pub error_code: u16,
    /// How it was resolved.
    pub kind: FaultKind,
    /// Order of the frame.
    pub order: u8,
}

impl GuestFault {
    /// Header flag: the page had to be read in, Linux's *major* fault.
    pub const MAJOR: u8 = 1 << 0;
    /// Header flag: taken inside a system call, on the program's behalf.
    pub const IN_KERNEL: u8 = 1 << 1;
}

/// Frames taken, given back, or announced.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Frame {
    /// First frame.
    pub pfn: u32,
    /// Number of frames: `1 << order`, or any number when announced.
    pub frames: u32,
    /// What happened.
    pub op: FrameOp,
    /// Order of the block; 0 when announced.
    pub order: u8,
    /// Zone of the first frame.
    pub zone: Zone,
    /// Migrate type asked for.
    pub migratetype: MigrateType,
    /// Who has it (for a free: who had it).
    pub owner: Owner,
    /// Zero.
    pub padding: [u8; 3],
    /// The request's gfp flags.
    pub gfp: u32,
    /// String id of the caller, `file:line`; 0 if unknown.
    pub call_site: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// A cache of kernel objects, one of its slabs or one of its objects.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Slab {
    /// First byte of the object or slab (a kernel address); 0 for the cache itself.
    pub address: u64,
    /// Bytes asked for.
    pub bytes_requested: u32,
    /// Bytes taken.
    pub bytes_allocated: u32,
    /// String id of the cache's name.
    pub cache: u32,
    /// String id of the caller, `file:line`; 0 if unknown.
    pub call_site: u32,
    /// The request's gfp flags.
    pub gfp: u32,
    /// What happened.
    pub op: SlabOp,
    /// Zero.
    pub padding: [u8; 3],
    /// Zero.
    pub reserved: u64,
}

/// An area of the kernel's own virtual memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Vmalloc {
    /// First byte.
    pub address: u64,
    /// Bytes that can be used, the guard page not among them.
    pub size: u64,
    /// Frames behind it.
    pub frames: u32,
    /// [`crate::snapshot::AreaFlags`].
    pub flags: u32,
    /// String id of the caller, `file:line`; 0 if unknown.
    pub call_site: u32,
    /// For a fault: the frame.
    pub pfn: u32,
    /// What happened.
    pub op: VmallocOp,
    /// Zero.
    pub padding: [u8; 7],
}

/// A change to a process's map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Vma {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Offset in the file, in bytes; for anonymous memory Linux's pgoff times 4096.
    pub offset: u64,
    /// What happened.
    pub op: VmaOp,
    /// PROT_* bits.
    pub prot: u8,
    /// Zero.
    pub padding: u16,
    /// MAP_* bits that describe the mapping (shared, private, anonymous, growsdown).
    pub map_flags: u32,
    /// String id of the file or of a name such as `[heap]`; 0 if anonymous.
    pub file: u32,
    /// Zero.
    pub reserved: u32,
}

/// A system call began. The number is in `aux`; the sixth argument comes with the exit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SyscallEnter {
    /// RDI, RSI, RDX, R10, R8.
    pub args: [u64; 5],
}

/// A system call ended. The number is in `aux`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SyscallExit {
    /// Return value; -errno for an error.
    pub result: i64,
    /// R9, the sixth argument.
    pub arg6: u64,
    /// Zero.
    pub reserved: [u64; 3],
}

/// A program started or ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Process {
    /// What happened.
    pub op: ProcessOp,
    /// Zero.
    pub padding: [u8; 3],
    /// For an exit: wait status as `wait(2)` encodes it.
    pub status: u32,
    /// String id of the program's path.
    pub program: u32,
    /// Zero.
    pub padding2: u32,
    /// For an exit: minor faults the guest's own counter saw.
    pub min_flt: u64,
    /// For an exit: major faults.
    pub maj_flt: u64,
    /// For an exec: entry address.
    pub entry: u64,
}

/// Bytes elsewhere in guest memory, sent with the bulk port. The host copies them before it lets the vCPU go on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Bulk {
    /// Guest-physical address of the bytes; contiguous.
    pub gpa: u64,
    /// Number of bytes, at most [`Bulk::MAX_LENGTH`].
    pub length: u32,
    /// What they are.
    pub kind: BulkKind,
    /// Depends on the kind: a stream, a snapshot kind.
    pub name: u8,
    /// For snapshots.
    pub moment: Moment,
    /// Zero for the last (or only) part; a snapshot longer than one buffer comes in parts.
    pub more: u8,
    /// Zero.
    pub reserved: [u64; 3],
}

impl Bulk {
    /// Longest bulk transfer the host takes.
    pub const MAX_LENGTH: u32 = 1 << 20;
}

payload!(Boot, StringPart, GuestFault, Frame, Vma, SyscallEnter, SyscallExit, Process, Bulk, Slab, Vmalloc);
