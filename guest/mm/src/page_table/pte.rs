//! One entry of a page table (Intel SDM vol. 3A, 4.5, table 4-20).

use core::fmt;

use crate::{machine::Pfn, vma::VmFlags};

/// A page-table entry that maps a 4 KiB page, or 0.
///
/// Two encodings are ours, and Linux's: a *PROT_NONE* entry has bit 8 set and bit 0 clear, so the CPU sees a hole while
/// the frame stays; a *special* entry (bit 9) maps a frame that belongs to nobody, the zero page, which neither
/// counts as resident nor holds a reference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// Nothing is mapped.
    pub const EMPTY: Pte = Pte(0);
    /// P: the CPU may use the entry.
    pub const PRESENT: u64 = 1 << 0;
    /// R/W: writes are allowed.
    pub const WRITABLE: u64 = 1 << 1;
    /// U/S: ring 3 may use the entry.
    pub const USER: u64 = 1 << 2;
    /// PWT: write-through. With [`Pte::CACHE_DISABLE`], uncached, which is what a device wants.
    pub const WRITE_THROUGH: u64 = 1 << 3;
    /// PCD: not cached.
    pub const CACHE_DISABLE: u64 = 1 << 4;
    /// A: the CPU used the entry.
    pub const ACCESSED: u64 = 1 << 5;
    /// D: the CPU wrote through the entry.
    pub const DIRTY: u64 = 1 << 6;
    /// PS, in an entry above the lowest table: it maps a huge page itself.
    pub const HUGE: u64 = 1 << 7;
    /// With P clear: mapped, but not accessible.
    pub const PROT_NONE: u64 = 1 << 8;
    /// Software: the frame is not counted (the zero page).
    pub const SPECIAL: u64 = 1 << 9;
    /// XD: no instruction fetches.
    pub const NX: u64 = 1 << 63;
    /// Bits of the frame's address.
    pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// What an entry that points to a lower table holds besides the address: the rights are the leaf's.
    pub(crate) const TABLE: u64 = Self::PRESENT | Self::WRITABLE | Self::USER | Self::ACCESSED;

    /// What an entry of the kernel half that points to a lower table holds besides the address.
    pub(crate) const KERNEL_TABLE: u64 = Self::PRESENT | Self::WRITABLE | Self::ACCESSED;

    /// An entry of the kernel's for data: writable, not executable, not for ring 3. Not global, so that loading CR3
    /// flushes it.
    #[inline]
    pub fn kernel(pfn: Pfn) -> Pte {
        Pte(pfn.address() | Self::PRESENT | Self::WRITABLE | Self::ACCESSED | Self::DIRTY | Self::NX)
    }

    /// The entry, uncached: a device's.
    #[inline]
    pub fn uncached(self) -> Pte {
        Pte(self.0 | Self::WRITE_THROUGH | Self::CACHE_DISABLE)
    }

    /// A read-only, accessed user entry for a page of a VMA with these flags: not executable without EXEC,
    /// not accessible without any right.
    #[inline]
    pub fn user(pfn: Pfn, flags: VmFlags) -> Pte {
        Pte(pfn.address() | Self::ACCESSED | Self::access_bits(flags))
    }

    /// The bits that say whether ring 3 may read and execute.
    #[inline]
    fn access_bits(flags: VmFlags) -> u64 {
        let present = if flags.intersects(VmFlags::READ.union(VmFlags::WRITE).union(VmFlags::EXEC)) {
            Self::PRESENT
        } else {
            Self::PROT_NONE
        };
        let nx = if flags.contains(VmFlags::EXEC) { 0 } else { Self::NX };
        present | Self::USER | nx
    }

    /// The entry with the rights of a VMA with these flags, except that nothing becomes writable: for that one has to
    /// know whether the frame is shared.
    pub fn with_rights(self, flags: VmFlags) -> Pte {
        let kept = self.0 & !(Self::PRESENT | Self::PROT_NONE | Self::WRITABLE | Self::NX);
        let writable = if flags.contains(VmFlags::WRITE) { self.0 & Self::WRITABLE } else { 0 };
        Pte(kept | writable | Self::access_bits(flags))
    }

    /// The entry, writable.
    #[inline]
    pub fn writable(self) -> Pte {
        Pte(self.0 | Self::WRITABLE)
    }

    /// The entry, writable and dirty: what a write fault leaves behind.
    #[inline]
    pub fn written(self) -> Pte {
        Pte(self.0 | Self::WRITABLE | Self::DIRTY | Self::ACCESSED)
    }

    /// The entry, marked special.
    #[inline]
    pub fn special(self) -> Pte {
        Pte(self.0 | Self::SPECIAL)
    }

    /// Whether a frame is mapped, accessible or not.
    #[inline]
    pub fn is_mapped(self) -> bool {
        self.0 & (Self::PRESENT | Self::PROT_NONE) != 0
    }

    /// Whether the CPU sees the entry.
    #[inline]
    pub fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether it maps a huge page, if it is no entry of a lowest table.
    #[inline]
    pub fn is_huge(self) -> bool {
        self.0 & Self::HUGE != 0
    }

    /// Whether writes are allowed.
    #[inline]
    pub fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// Whether ring 3 may use it.
    #[inline]
    pub fn is_user(self) -> bool {
        self.0 & Self::USER != 0
    }

    /// Whether the CPU used it.
    #[inline]
    pub fn is_accessed(self) -> bool {
        self.0 & Self::ACCESSED != 0
    }

    /// Whether the CPU wrote through it.
    #[inline]
    pub fn is_dirty(self) -> bool {
        self.0 & Self::DIRTY != 0
    }

    /// Whether instruction fetches are forbidden.
    #[inline]
    pub fn is_nx(self) -> bool {
        self.0 & Self::NX != 0
    }

    /// Whether the frame is the zero page: not counted, not referenced.
    #[inline]
    pub fn is_special(self) -> bool {
        self.0 & Self::SPECIAL != 0
    }

    /// The frame.
    #[inline]
    pub fn pfn(self) -> Pfn {
        Pfn::of_address(self.0 & Self::ADDRESS)
    }
}

impl fmt::Debug for Pte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (Self::PRESENT, 'p'),
            (Self::WRITABLE, 'w'),
            (Self::USER, 'u'),
            (Self::ACCESSED, 'a'),
            (Self::DIRTY, 'd'),
            (Self::PROT_NONE, 'n'),
            (Self::SPECIAL, 's'),
            (Self::NX, 'x'),
        ];
        write!(f, "Pte({:#x} ", self.pfn().0)?;
        for (bit, letter) in flags {
            write!(f, "{}", if self.0 & bit != 0 { letter } else { '-' })?;
        }
        f.write_str(")")
    }
}
