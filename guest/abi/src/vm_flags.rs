//! The flags of a VMA, as memory management keeps them and snapshots carry them.

bitflags::bitflags! {
    /// A VMA's flags: Linux's, under Linux's names.
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
        /// Never huge pages (MAP_STACK asks for it).
        const NOHUGEPAGE = 1 << 12;
        /// Locked, but each page only once it was touched (MLOCK_ONFAULT).
        const LOCKONFAULT = 1 << 13;
        /// Will be read in order (MADV_SEQUENTIAL).
        const SEQ_READ = 1 << 14;
        /// Will be read in no order (MADV_RANDOM).
        const RAND_READ = 1 << 15;
        /// A child does not get it (MADV_DONTFORK).
        const DONTCOPY = 1 << 16;
        /// A child finds zeros in it (MADV_WIPEONFORK).
        const WIPEONFORK = 1 << 17;
        /// Not part of a core dump (MADV_DONTDUMP).
        const DONTDUMP = 1 << 18;
        /// Huge pages are wanted (MADV_HUGEPAGE).
        const HUGEPAGE = 1 << 19;
        /// Equal pages may be joined (MADV_MERGEABLE).
        const MERGEABLE = 1 << 20;
    }
}

impl VmFlags {
    /// Readable, writable or executable: a VMA with none of them is a PROT_NONE one.
    pub const ACCESS: VmFlags = VmFlags::READ.union(VmFlags::WRITE).union(VmFlags::EXEC);
    /// Locked, at once or page by page.
    pub const LOCKED_MASK: VmFlags = VmFlags::LOCKED.union(VmFlags::LOCKONFAULT);
    /// What mprotect may later allow in a private mapping.
    pub const MAY: VmFlags = VmFlags::MAYREAD.union(VmFlags::MAYWRITE).union(VmFlags::MAYEXEC);

    /// Counts in VmData: private, writable, no stack.
    pub const fn is_data(self) -> bool {
        self.bits() & (Self::WRITE.bits() | Self::SHARED.bits() | Self::GROWSDOWN.bits()) == Self::WRITE.bits()
    }

    /// Counts in VmStk.
    pub const fn is_stack(self) -> bool {
        self.contains(Self::GROWSDOWN)
    }

    /// Counts in VmExe and VmLib: executable, not writable, no stack.
    pub const fn is_exec(self) -> bool {
        self.bits() & (Self::EXEC.bits() | Self::WRITE.bits() | Self::GROWSDOWN.bits()) == Self::EXEC.bits()
    }
}
