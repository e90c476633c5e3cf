//! Virtual memory areas: what a process has mapped where.

mod anon;
mod carve;
#[cfg(any(test, feature = "sim"))]
mod check;
mod find;
mod insert;
mod merge;
mod recent;
mod remove;
mod resize;
mod slots;
mod split;
mod tree;
mod unmapped_area;

use pagelab_abi::{
    code::VmaIndex,
    layout::{PAGE_SHIFT, STACK_GUARD_GAP},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::slab::Slot;

pub use merge::Candidate;
pub use pagelab_abi::vm_flags::VmFlags;
pub use recent::Recent;
pub use slots::Slots;

// The tree node's colour shares a word with the flags.
const _: () = assert!(VmFlags::all().bits() & Vma::RED == 0);

/// Which file is mapped: its slot in cache `address_space`. 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileId(pub u32);

/// One VMA. Lives in an object of cache `vm_area_struct`; links are slots.
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

impl Vma {
    /// The colour bit of `flags_and_colour`: set for a red node.
    const RED: u32 = 1 << 31;

    /// A VMA that is in no set yet. `start` and `end` are page aligned.
    pub fn new(start: u64, end: u64, pgoff: u64, flags: VmFlags, file: u32) -> Vma {
        Vma { start, end, pgoff, flags_and_colour: flags.bits(), file, ..Vma::default() }
    }

    /// Its flags.
    #[inline]
    pub const fn flags(&self) -> VmFlags {
        VmFlags::from_bits_retain(self.flags_and_colour & !Self::RED)
    }

    /// Replaces its flags.
    #[inline]
    pub fn set_flags(&mut self, flags: VmFlags) {
        self.flags_and_colour = flags.bits() | self.flags_and_colour & Self::RED;
    }

    /// Its size in pages.
    #[inline]
    pub const fn pages(&self) -> u64 {
        (self.end - self.start) >> PAGE_SHIFT
    }

    /// Whether `address` is in it.
    #[inline]
    pub const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// Whether nothing but anonymous memory is mapped here.
    #[inline]
    pub const fn is_anonymous(&self) -> bool {
        self.file == 0
    }

    /// The page offset that belongs to `address`, which may be outside.
    #[inline]
    pub const fn pgoff_at(&self, address: u64) -> u64 {
        self.pgoff.wrapping_add(address >> PAGE_SHIFT).wrapping_sub(self.start >> PAGE_SHIFT)
    }

    /// Where the room below it ends: its start, less the guard gap if it grows down.
    #[inline]
    pub const fn start_gap(&self) -> u64 {
        if self.flags_and_colour & VmFlags::GROWSDOWN.bits() != 0 {
            self.start.saturating_sub(STACK_GUARD_GAP)
        } else {
            self.start
        }
    }
}

/// The VMAs of one process: a sorted list and a red-black tree over the same slots, and the last one found.
///
/// Each operation is in a file of its own and takes the store that the slots are in.
#[derive(Debug, Default)]
pub struct VmaSet {
    /// Lowest.
    pub first: Slot,
    /// Highest.
    pub last: Slot,
    /// Root of the tree.
    pub root: Slot,
    /// What a look-up goes by. The tree is kept in any case: insertion and the search for room need it.
    pub index: VmaIndex,
    /// Last one a look-up found; 0 unless `index` is [`VmaIndex::Cached`].
    pub cached: Slot,
    /// Where the last search for room ended.
    pub recent: Recent,
    /// How many.
    pub count: u32,
    /// The last anon identity given out; see [`VmaSet::prepare_anon`].
    pub last_anon: u32,
}
