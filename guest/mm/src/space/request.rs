//! What a program asks of `mmap` and `mprotect`: Linux's numbers (x86-64).

use crate::{
    errno::Errno,
    vma::{FileId, VmFlags},
};

/// PROT_* bits.
pub mod prot {
    /// PROT_READ.
    pub const READ: u64 = 1;
    /// PROT_WRITE.
    pub const WRITE: u64 = 2;
    /// PROT_EXEC.
    pub const EXEC: u64 = 4;
    /// PROT_SEM: allowed, without effect on x86.
    pub const SEM: u64 = 8;
    /// PROT_GROWSDOWN: mprotect from the start of the stack VMA.
    pub const GROWSDOWN: u64 = 0x0100_0000;
    /// PROT_GROWSUP: for stacks that grow up, which x86 has not.
    pub const GROWSUP: u64 = 0x0200_0000;
}

/// MAP_* bits.
pub mod map {
    /// MAP_SHARED.
    pub const SHARED: u64 = 0x01;
    /// MAP_PRIVATE.
    pub const PRIVATE: u64 = 0x02;
    /// MAP_SHARED_VALIDATE.
    pub const SHARED_VALIDATE: u64 = 0x03;
    /// MAP_TYPE: mask of the three above.
    pub const TYPE: u64 = 0x0f;
    /// MAP_FIXED.
    pub const FIXED: u64 = 0x10;
    /// MAP_ANONYMOUS.
    pub const ANONYMOUS: u64 = 0x20;
    /// MAP_32BIT.
    pub const LOW_2GIB: u64 = 0x40;
    /// MAP_ABOVE4G: without effect here, where nothing goes below 4 GiB by itself.
    pub const ABOVE_4GIB: u64 = 0x80;
    /// MAP_GROWSDOWN.
    pub const GROWSDOWN: u64 = 0x100;
    /// MAP_DENYWRITE: ignored.
    pub const DENYWRITE: u64 = 0x800;
    /// MAP_EXECUTABLE: ignored.
    pub const EXECUTABLE: u64 = 0x1000;
    /// MAP_LOCKED.
    pub const LOCKED: u64 = 0x2000;
    /// MAP_NORESERVE.
    pub const NORESERVE: u64 = 0x4000;
    /// MAP_POPULATE.
    pub const POPULATE: u64 = 0x8000;
    /// MAP_NONBLOCK: with MAP_POPULATE, do not populate.
    pub const NONBLOCK: u64 = 0x1_0000;
    /// MAP_STACK.
    pub const STACK: u64 = 0x2_0000;
    /// MAP_HUGETLB: there are no such pages; see [`super::huge_page_error`].
    pub const HUGETLB: u64 = 0x4_0000;
    /// MAP_FIXED_NOREPLACE.
    pub const FIXED_NOREPLACE: u64 = 0x10_0000;
    /// Where MAP_HUGETLB has log2 of the page size, six bits.
    pub const HUGE_SHIFT: u32 = 26;
    /// What a file may be mapped with by MAP_SHARED_VALIDATE: all flags that were there before it.
    pub const LEGACY: u64 = SHARED
        | PRIVATE
        | FIXED
        | ANONYMOUS
        | LOW_2GIB
        | ABOVE_4GIB
        | GROWSDOWN
        | DENYWRITE
        | EXECUTABLE
        | LOCKED
        | NORESERVE
        | POPULATE
        | NONBLOCK
        | STACK
        | HUGETLB
        | 21 << HUGE_SHIFT
        | 30 << HUGE_SHIFT;
}

/// MREMAP_* bits.
pub mod remap {
    /// MREMAP_MAYMOVE.
    pub const MAYMOVE: u64 = 1;
    /// MREMAP_FIXED.
    pub const FIXED: u64 = 2;
    /// MREMAP_DONTUNMAP.
    pub const DONTUNMAP: u64 = 4;
}

/// The arguments of `mmap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmapRequest {
    /// Where: a wish, or an order with MAP_FIXED.
    pub addr: u64,
    /// Bytes; rounded up to pages.
    pub length: u64,
    /// [`prot`] bits. Others are ignored, as Linux does.
    pub prot: u64,
    /// [`map`] bits. Others are ignored, as Linux does.
    pub flags: u64,
    /// The file and the offset in it, in bytes; `None` for anonymous memory. MAP_ANONYMOUS itself is not looked at:
    /// the caller has looked up the descriptor or has not.
    pub file: Option<(FileId, u64)>,
    /// The file's descriptor is open for writing: its pages may be written through a shared mapping.
    pub writable: bool,
    /// The file's descriptor is not open for reading: it cannot be mapped.
    pub write_only: bool,
}

/// What a program gets that asks `mmap` for huge pages (MAP_HUGETLB) of anonymous memory: as on a Linux that has set none
/// aside.
pub const fn huge_page_error(flags: u64) -> Errno {
    match flags >> map::HUGE_SHIFT & 0x3f {
        // The default size, 2 MiB and 1 GiB.
        0 | 21 | 30 => Errno::ENOMEM,
        _ => Errno::EINVAL,
    }
}

impl MmapRequest {
    /// The VMA flags asked for, before the kind of mapping adds its own.
    pub(super) fn vm_flags(&self) -> VmFlags {
        let mut flags = access(self.prot) | VmFlags::MAY;
        let translation = [
            (map::GROWSDOWN, VmFlags::GROWSDOWN),
            (map::LOCKED, VmFlags::LOCKED),
            (map::STACK, VmFlags::NOHUGEPAGE),
            (map::NORESERVE, VmFlags::NORESERVE),
        ];
        for (bit, flag) in translation {
            flags.set(flag, self.flags & bit != 0);
        }
        flags
    }
}

/// The access flags that PROT_* bits ask for.
pub(super) fn access(prot: u64) -> VmFlags {
    VmFlags::from_bits_truncate(prot as u32) & VmFlags::ACCESS
}

const _: () = {
    assert!(prot::READ == VmFlags::READ.bits() as u64);
    assert!(prot::WRITE == VmFlags::WRITE.bits() as u64);
    assert!(prot::EXEC == VmFlags::EXEC.bits() as u64);
};
