//! What the host tells the guest at boot: one [`BootInfo`] at [`crate::layout::BOOT_INFO_PHYS`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::code::{FrameAllocator, Owner, SlabAllocator, VmaIndex};

/// First eight bytes of a boot info: "PGLBBOOT" read as a little-endian number.
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"PGLBBOOT");
/// Ranges a boot info can list.
pub const MAX_RANGES: usize = 16;
/// NUMA nodes a machine can have.
pub const MAX_NODES: usize = 4;
/// CPUID leaves a boot info can list.
pub const MAX_CPUID: usize = 64;

/// A range of guest-physical memory. Page aligned; `start..end`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// For a reserved range: who it belongs to. Unused for RAM.
    pub owner: Owner,
    /// For RAM: its NUMA node. Unused for a reserved range.
    pub node: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// One answer of the fixed CPU model that ring 3 sees.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CpuidLeaf {
    /// EAX asked for.
    pub leaf: u32,
    /// ECX asked for; [`CpuidLeaf::ANY`] where the leaf has no subleaves.
    pub subleaf: u32,
    /// Answer.
    pub eax: u32,
    /// Answer.
    pub ebx: u32,
    /// Answer.
    pub ecx: u32,
    /// Answer.
    pub edx: u32,
}

impl CpuidLeaf {
    /// `subleaf` of a leaf whose answer does not depend on ECX.
    pub const ANY: u32 = u32::MAX;
}

bitflags::bitflags! {
    /// Switches of a boot info.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BootFlags: u32 {
        /// Record events in the ring. Without it only console, snapshots, process events and diagnoses are sent.
        const TRACE = 1 << 0;
        /// CPUID faulting is there: use it and answer ring 3 from [`BootInfo::cpuid`].
        const CPUID_FAULTING = 1 << 1;
        /// Ring 3 runs natively and ring 0 in KVM's emulator: KVM over PVM, with shadow paging.
        const RING_0_EMULATED = 1 << 2;
        /// Ring [`crate::port::FAULT_TRAP`] after every page fault of the program.
        const TRAP_FAULTS = 1 << 3;
        /// Do not keep migrate types apart in pageblocks of their own.
        const NO_MOBILITY_GROUPING = 1 << 4;
        /// A vmalloc area gets its frames by faults, at the first touch of each page.
        const LAZY_VMALLOC = 1 << 5;
    }
}

bitflags::bitflags! {
    /// Checks of kernel objects, with the letters of Linux's `slab_debug=`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SlabDebug: u8 {
        /// F: consistency of each object that is given back.
        const CHECKS = 1 << 0;
        /// Z: red zones around each object.
        const RED_ZONE = 1 << 1;
        /// P: free objects are filled with a pattern.
        const POISON = 1 << 2;
        /// U: who took and who gave back each object.
        const TRACK = 1 << 3;
    }
}

/// Everything the guest kernel is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct BootInfo {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// [`crate::ABI_VERSION`].
    pub version: u32,
    /// [`BootFlags`].
    pub flags: u32,
    /// Seed of everything random the guest hands out (AT_RANDOM, getrandom).
    pub seed: u64,
    /// RAM.
    pub ram: [Range; MAX_RANGES],
    /// Entries of `ram` in use.
    pub ram_count: u32,
    /// Entries of `reserved` in use.
    pub reserved_count: u32,
    /// Ranges of RAM that are in use at boot.
    pub reserved: [Range; MAX_RANGES],
    /// Trace window: guest-physical address and bytes; the ring header is its first page.
    pub trace_start: u64,
    /// Bytes of the trace window.
    pub trace_size: u64,
    /// Initramfs (cpio newc): first byte.
    pub initramfs_start: u64,
    /// Initramfs: bytes.
    pub initramfs_size: u64,
    /// Command block: `argc` NUL-terminated arguments, then `envc` NUL-terminated `NAME=VALUE`s.
    pub command_start: u64,
    /// Command block: bytes, all NULs included.
    pub command_size: u64,
    /// Arguments in the command block, the program's name included.
    pub argc: u32,
    /// Environment strings in the command block.
    pub envc: u32,
    /// Path of the program in the initramfs, NUL-terminated.
    pub program: [u8; 256],
    /// Entries of `cpuid` in use.
    pub cpuid_count: u32,
    /// How VMAs are found.
    pub vma_index: VmaIndex,
    /// vm.overcommit_memory: 0, 1 or 2.
    pub overcommit: u8,
    /// What hands out frames.
    pub frame_allocator: FrameAllocator,
    /// What hands out kernel objects.
    pub slab_allocator: SlabAllocator,
    /// The CPU model for ring 3.
    pub cpuid: [CpuidLeaf; MAX_CPUID],
    /// Bytes at the top of each node's RAM that only movable contents may have (zone Movable), in all nodes together.
    pub movable: u64,
    /// Bytes at the top of RAM that the direct map leaves out (zone HighMem).
    pub highmem: u64,
    /// NUMA nodes, at least 1.
    pub node_count: u32,
    /// [`SlabDebug`] of all caches.
    pub slab_debug: u8,
    /// Zero.
    pub padding: [u8; 3],
    /// How far nodes are from each other, as ACPI's SLIT has it: 10 is a node's own memory.
    pub distance: [[u8; MAX_NODES]; MAX_NODES],
}

const _: () = assert!(size_of::<Range>() == 24);
const _: () = assert!(size_of::<CpuidLeaf>() == 24);
const _: () = assert!(size_of::<BootInfo>() <= crate::layout::BOOT_INFO_SIZE as usize);
