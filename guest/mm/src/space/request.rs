//! What a program asks of `mmap` and `mprotect`: Linux's numbers (x86-64).

use crate::vma::{FileId, VmFlags};

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
    /// MAP_GROWSDOWN.
    pub const GROWSDOWN: u64 = 0x100;
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
    /// MAP_FIXED_NOREPLACE.
    pub const FIXED_NOREPLACE: u64 = 0x10_0000;
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
}

impl MmapRequest {
    /// Whether the caller is to fault every page in after a success (MAP_POPULATE, MAP_LOCKED), for writing where
    /// that is allowed. It is the caller's business because it records faults.
    pub fn populates(&self) -> bool {
        self.flags & (map::POPULATE | map::NONBLOCK) == map::POPULATE || self.flags & map::LOCKED != 0
    }

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
