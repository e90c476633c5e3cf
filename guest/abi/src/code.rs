//! The codes that records carry, with the names that run files and reports show.

open_code! {
    /// How a guest page fault was resolved. Linux's own words where it has them.
    FaultKind: u8 {
        /// First write to anonymous memory: a zero-filled frame.
        AnonWrite = 1 => "anon_write",
        /// First read of anonymous memory: the shared zero page.
        AnonRead = 2 => "anon_read",
        /// Read (or execution) of a private file mapping: the page-cache frame, read-only.
        FileRead = 3 => "file_read",
        /// Write to a private file mapping: a private copy of the page.
        FileWrite = 4 => "file_write",
        /// Read of a shared mapping.
        SharedRead = 5 => "shared_read",
        /// Write to a shared mapping.
        SharedWrite = 6 => "shared_write",
        /// Write to a present read-only page of a writable private mapping: copied (from another owner or the zero page).
        Cow = 7 => "cow",
        /// The stack VMA had to grow (the frame is anonymous).
        Stack = 8 => "stack",
        /// The page came back from swap.
        SwapIn = 9 => "swap_in",
        /// A huge page was mapped.
        Huge = 10 => "huge",
        /// Rights raised in place, no frame taken.
        Prot = 11 => "prot",
        /// A fault on kernel memory.
        Kernel = 12 => "kernel",
        /// The page was already mapped as wanted.
        Spurious = 13 => "spurious",
        /// No VMA there: SIGSEGV, SEGV_MAPERR.
        SegvMapErr = 14 => "segv_maperr",
        /// A VMA, but not with these rights: SIGSEGV, SEGV_ACCERR.
        SegvAccErr = 15 => "segv_accerr",
        /// Past the end of the mapped file: SIGBUS.
        SigBus = 16 => "sigbus",
        /// No frame could be found.
        Oom = 17 => "oom",
    }
}

impl FaultKind {
    /// Whether the fault counts in vmstat's `pgfault` (and, if major, `pgmajfault`): as in Linux every fault does that
    /// gets as far as a VMA that grants the access.
    pub const fn counts_as_pgfault(self) -> bool {
        !matches!(self, Self::Kernel | Self::SegvMapErr | Self::SegvAccErr)
    }

    /// Whether the fault counts in its process's `min_flt` or `maj_flt`: as in Linux only a fault that succeeds does.
    pub const fn counts_for_task(self) -> bool {
        self.counts_as_pgfault() && !matches!(self, Self::SigBus | Self::Oom)
    }
}

open_code! {
    /// Who a frame was taken for.
    Owner: u8 {
        /// Not handed out (or never announced).
        None = 0 => "none",
        /// The kernel's image: text, data, bss.
        Kernel = 1 => "kernel",
        /// Boot info, initial page tables, arguments: what the VMM wrote before the start.
        Boot = 2 => "boot",
        /// The initramfs.
        Initramfs = 3 => "initramfs",
        /// The `Page` array.
        MemMap = 4 => "mem_map",
        /// A page-table page.
        PageTable = 5 => "page_table",
        /// A kernel stack.
        KernelStack = 6 => "kernel_stack",
        /// Anonymous user memory.
        Anon = 7 => "anon",
        /// A page-cache page: the contents of a file.
        File = 8 => "file",
        /// A private copy of a file page.
        FileCow = 9 => "file_cow",
        /// Slabs: VMAs and other kernel objects.
        Slab = 10 => "slab",
        /// A node of a page-cache index.
        PageCacheNode = 11 => "page_cache_node",
        /// The shared zero page.
        ZeroPage = 12 => "zero_page",
        /// A kernel buffer.
        Buffer = 13 => "buffer",
        /// Firmware, holes: never given to the allocator.
        Reserved = 14 => "reserved",
        /// A page of tmpfs, of a memfd or of shared anonymous memory.
        Shmem = 15 => "shmem",
        /// Behind a vmalloc area.
        Vmalloc = 16 => "vmalloc",
        /// A kmalloc too large for the general caches.
        Kmalloc = 17 => "kmalloc",
        /// Memory that a device shares: dma_alloc_coherent.
        Dma = 18 => "dma",
    }
}

open_code! {
    /// What happened to a frame.
    FrameOp: u8 {
        /// In use since before tracing began: announced after the fact.
        Announce = 1 => "announce",
        /// Taken from the allocator.
        Alloc = 2 => "alloc",
        /// Given back.
        Free = 3 => "free",
    }
}

open_code! {
    /// Linux's zones.
    Zone: u8 {
        /// Below 16 MiB.
        Dma = 0 => "DMA",
        /// Below 4 GiB.
        Dma32 = 1 => "DMA32",
        /// The rest of directly mapped memory.
        Normal = 2 => "Normal",
        /// Movable allocations only.
        Movable = 3 => "Movable",
        /// RAM that the direct map leaves out.
        HighMem = 4 => "HighMem",
    }
}

open_code! {
    /// Linux's migrate types.
    MigrateType: u8 {
        /// Kernel memory that cannot move.
        Unmovable = 0 => "Unmovable",
        /// User memory.
        Movable = 1 => "Movable",
        /// Caches that can be dropped.
        Reclaimable = 2 => "Reclaimable",
        /// Kept for requests of more than one frame that cannot wait.
        HighAtomic = 3 => "HighAtomic",
        /// Not to be handed out for now.
        Isolate = 4 => "Isolate",
    }
}

open_code! {
    /// What hands out the frames of a zone.
    FrameAllocator: u8 {
        /// Free lists of blocks of 1 to 1024 frames, joined with their buddies.
        Buddy = 0 => "buddy",
        /// One bit a frame, searched from where the last search ended.
        Bitmap = 1 => "bitmap",
    }
}

open_code! {
    /// What hands out the objects of a slab.
    SlabAllocator: u8 {
        /// A queue of free objects' numbers beside the objects, and an array of objects for each CPU: Linux's SLAB.
        Queued = 0 => "queued",
        /// A list of free objects through the objects themselves: Linux's SLUB.
        Freelist = 1 => "freelist",
    }
}

open_code! {
    /// What happened to a cache of kernel objects or in it.
    SlabOp: u8 {
        /// A cache was made: `bytes_requested` is an object's size, `bytes_allocated` what it takes with its padding.
        Create = 1 => "create",
        /// A slab was added: `address` is its first byte, `bytes_allocated` its size. Comes before the first touch.
        Grow = 2 => "grow",
        /// A slab was given back.
        Reap = 3 => "reap",
        /// An object was handed out.
        Alloc = 4 => "alloc",
        /// An object was given back.
        Free = 5 => "free",
        /// A cache was destroyed.
        Destroy = 6 => "destroy",
    }
}

open_code! {
    /// What happened in the kernel's own virtual memory.
    VmallocOp: u8 {
        /// An area was mapped.
        Map = 1 => "map",
        /// An area was unmapped.
        Unmap = 2 => "unmap",
        /// A page of an area was given its frame by a fault.
        Fault = 3 => "fault",
    }
}

open_code! {
    /// What happened to a VMA.
    VmaOp: u8 {
        /// A new range was mapped (before any merge).
        Map = 1 => "map",
        /// A range was unmapped.
        Unmap = 2 => "unmap",
        /// A range changed its rights.
        Protect = 3 => "protect",
        /// The heap grew or shrank; the range is the whole heap after it.
        Brk = 4 => "brk",
        /// The stack grew; the range is the whole stack after it.
        Grow = 5 => "grow",
        /// A VMA was split; the range is the lower part.
        Split = 6 => "split",
        /// Neighbours were merged; the range is the result.
        Merge = 7 => "merge",
        /// MADV_DONTNEED over a range.
        DontNeed = 8 => "dontneed",
        /// mremap moved a mapping or made it grow; the range is where it is now. What went is told by `unmap`.
        Remap = 9 => "remap",
        /// A range was locked in memory.
        Lock = 10 => "lock",
        /// A range is no longer locked.
        Unlock = 11 => "unlock",
        /// madvise changed the flags of a range.
        Advise = 12 => "advise",
    }
}

open_code! {
    /// How a VMA is found by its address: what `find_vma` looks at.
    VmaIndex: u8 {
        /// The last one found, then the red-black tree.
        Cached = 0 => "cached",
        /// The red-black tree.
        Tree = 1 => "tree",
        /// The list, from the lowest address on.
        List = 2 => "list",
    }
}

open_code! {
    /// What happened to a process.
    ProcessOp: u8 {
        /// A program was started.
        Exec = 1 => "exec",
        /// A program ended; the value is its wait status, as `wait(2)` encodes it.
        Exit = 2 => "exit",
    }
}

open_code! {
    /// What a bulk record carries.
    BulkKind: u8 {
        /// Bytes the program wrote; `name` is 1 for standard output, 2 for standard error.
        Console = 1 => "console",
        /// A binary snapshot; `name` is a [`SnapshotKind`], `moment` a [`Moment`].
        Snapshot = 2 => "snapshot",
        /// The text of a kernel panic; the panic port follows.
        Panic = 4 => "panic",
        /// Why a program was ended or not even begun: text for people.
        Diagnosis = 5 => "diagnosis",
        /// A program that a signal ended: one [`crate::crash::Crash`] and the bytes of its stack.
        Crash = 6 => "crash",
    }
}

open_code! {
    /// Which binary structure a snapshot record carries.
    SnapshotKind: u8 {
        /// One [`crate::snapshot::MmHeader`] and its [`crate::snapshot::VmaEntry`]s: maps, smaps, status are made of it.
        Mm = 1 => "mm",
        /// One [`crate::snapshot::MemHeader`] and its [`crate::snapshot::ZoneEntry`]s: meminfo, buddyinfo, zoneinfo.
        Memory = 2 => "memory",
        /// The array of [`crate::vmstat::Counter`]s.
        VmStat = 3 => "vmstat",
        /// Counts of system calls answered with ENOSYS: [`crate::snapshot::MissingSyscall`]s.
        MissingSyscalls = 4 => "missing_syscalls",
        /// Caches of kernel objects: slabinfo.
        Slab = 5 => "slab",
        /// Areas of the kernel's own virtual memory: vmallocinfo.
        Vmalloc = 6 => "vmalloc",
    }
}

open_code! {
    /// When a snapshot was taken.
    Moment: u8 {
        /// The program was loaded and has not run yet.
        Exec = 1 => "exec",
        /// The program has ended and its memory is still there.
        Exit = 2 => "exit",
        /// Asked for in between.
        Request = 3 => "request",
    }
}
