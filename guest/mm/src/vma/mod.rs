//! Virtual memory areas: what a process has mapped where.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arena::Slot;

bitflags::bitflags! {
    /// A VMA's flags: the bits of [`pagelab_abi::snapshot::VmaBits`] and the ones that only this crate needs.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct VmFlags: u32 {
        /// Readable.
        const READ = 1 << 0;
        /// Writable.
        const WRITE = 1 << 1;
        /// Executable.
        const EXEC = 1 << 2;
        /// Shared.
        const SHARED = 1 << 3;
        /// mprotect may make it readable.
        const MAYREAD = 1 << 4;
        /// mprotect may make it writable.
        const MAYWRITE = 1 << 5;
        /// mprotect may make it executable.
        const MAYEXEC = 1 << 6;
        /// A shared mapping.
        const MAYSHARE = 1 << 7;
        /// Grows down: a stack.
        const GROWSDOWN = 1 << 8;
        /// Counts against the commit limit.
        const ACCOUNT = 1 << 9;
        /// Reserves nothing.
        const NORESERVE = 1 << 10;
        /// Locked in memory.
        const LOCKED = 1 << 11;
    }
}

/// One VMA. Lives in an arena slot; links are slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Vma {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Offset in the file, in pages; for anonymous memory `start / 4096` at the time of the mmap, as Linux has it.
    pub pgoff: u64,
    /// Largest gap before any VMA of this subtree, in bytes.
    pub subtree_gap: u64,
    /// [`VmFlags`] and, in the top bit, the tree node's colour.
    pub flags_and_colour: u32,
    /// The mapped file; 0 for anonymous memory.
    pub file: u32,
    /// Which anonymous pages it may share a merge with (Linux's anon_vma); 0 before its first anonymous fault.
    pub anon: u32,
    /// Previous by address.
    pub prev: Slot,
    /// Next by address.
    pub next: Slot,
    /// Left child.
    pub left: Slot,
    /// Right child.
    pub right: Slot,
    /// Parent.
    pub parent: Slot,
}

const _: () = assert!(size_of::<Vma>() == 64);

/// The VMAs of one process: a sorted list and a red-black tree over the same slots, and the last one found.
#[derive(Debug, Default)]
pub struct VmaSet {
    /// Lowest.
    pub first: Slot,
    /// Highest.
    pub last: Slot,
    /// Root of the tree.
    pub root: Slot,
    /// Last one a look-up found.
    pub cached: Slot,
    /// How many.
    pub count: u32,
}
