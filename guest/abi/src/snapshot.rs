//! Snapshots of the guest's state: binary, cheap to write in the guest; the texts of `/proc` are made of them by
//! `pagelab_mm::text`, in the guest for a program that reads `/proc` and on the host for the run file.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A process's memory as a whole: Linux's `/proc/PID/status` and the frame of `maps` and `smaps`.
/// `vma_count` [`VmaEntry`]s follow. Sizes are in pages unless they say bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MmHeader {
    /// The process.
    pub pid: u32,
    /// Entries that follow.
    pub vma_count: u32,
    /// Comm: the program's base name, NUL-padded (Linux's TASK_COMM_LEN).
    pub comm: [u8; 16],
    /// Largest total size so far.
    pub peak_vm: u64,
    /// Total size now.
    pub total_vm: u64,
    /// Locked pages.
    pub locked_vm: u64,
    /// Largest RSS so far.
    pub hiwater_rss: u64,
    /// Anonymous pages present (the zero page does not count).
    pub rss_anon: u64,
    /// File pages present.
    pub rss_file: u64,
    /// Shared-memory pages present.
    pub rss_shmem: u64,
    /// Private writable pages that are not stack.
    pub data_vm: u64,
    /// Stack pages.
    pub stack_vm: u64,
    /// Executable pages.
    pub exec_vm: u64,
    /// Bytes of page tables.
    pub pgtables_bytes: u64,
    /// Pages in swap.
    pub swap: u64,
    /// Bytes of the program's text (status' VmExe is this, rounded).
    pub text_bytes: u64,
    /// Minor faults so far.
    pub min_flt: u64,
    /// Major faults so far.
    pub maj_flt: u64,
    /// Program break: start and end.
    pub brk: [u64; 2],
}

/// One VMA: a row of `maps`, an entry of `smaps`. Counts are in pages and come from a walk over its PTEs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VmaEntry {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Offset in the file in bytes (0 for anonymous memory).
    pub offset: u64,
    /// Inode number, 0 for anonymous memory.
    pub inode: u64,
    /// String id of the file or name; 0 if none.
    pub name: u32,
    /// [`crate::vm_flags::VmFlags`].
    pub bits: u32,
    /// Present PTEs, without the zero page.
    pub rss: u32,
    /// Of these: anonymous.
    pub anonymous: u32,
    /// Of these: mapped twice or more and clean.
    pub shared_clean: u32,
    /// Mapped twice or more and dirty.
    pub shared_dirty: u32,
    /// Mapped once and clean.
    pub private_clean: u32,
    /// Mapped once and dirty.
    pub private_dirty: u32,
    /// With the accessed bit.
    pub referenced: u32,
    /// In swap.
    pub swap: u32,
    /// Proportional set size in units of 1/4096 page, so in bytes.
    pub pss: u64,
    /// The dirty part of it.
    pub pss_dirty: u64,
    /// PTEs that map the zero page (not in rss).
    pub zero: u32,
    /// Device of the file as Linux's dev_t: major number << 20 | minor number. 0 for anonymous memory.
    pub device: u32,
    /// Of `pss`: anonymous memory.
    pub pss_anon: u64,
    /// Of `pss`: shared memory (tmpfs, shared anonymous).
    pub pss_shmem: u64,
}

/// The machine's memory as a whole, in pages; `zone_count` [`ZoneEntry`]s follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MemHeader {
    /// Zones that follow.
    pub zone_count: u32,
    /// Zero.
    pub padding: u32,
    /// All RAM of the guest.
    pub ram: u64,
    /// Frames given to the allocator (MemTotal).
    pub managed: u64,
    /// Free frames (MemFree).
    pub free: u64,
    /// Anonymous frames.
    pub anon: u64,
    /// Page-cache frames (Cached).
    pub file: u64,
    /// File pages mapped by a process (Mapped).
    pub mapped: u64,
    /// Shared-memory frames.
    pub shmem: u64,
    /// Frames of kernel objects (Slab).
    pub slab: u64,
    /// Frames of page tables.
    pub page_tables: u64,
    /// Frames of kernel stacks.
    pub kernel_stack: u64,
    /// Pages promised to programs (Committed_AS).
    pub committed: u64,
    /// Pages that may be promised where overcommit is off (CommitLimit).
    pub commit_limit: u64,
    /// Locked pages (Mlocked).
    pub locked: u64,
    /// Of `slab`: frames of caches that can be taken back (SReclaimable).
    pub slab_reclaimable: u64,
    /// Frames behind vmalloc areas (VmallocUsed).
    pub vmalloc: u64,
    /// Frames of zone HighMem (HighTotal).
    pub highmem: u64,
    /// Of these: free (HighFree).
    pub highmem_free: u64,
}

/// Orders a zone's free lists have: 0 to 10.
pub const ORDERS: usize = 11;
/// Owners that are counted apart; a power of two.
pub const OWNERS: usize = 32;
/// Zones a node can have, in Linux's order: DMA, DMA32, Normal, HighMem, Movable.
pub const ZONES: usize = 5;
/// Migrate types, in Linux's order: Unmovable, Movable, Reclaimable, HighAtomic, Isolate.
pub const MIGRATE_TYPES: usize = 5;

/// One zone, in pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ZoneEntry {
    /// [`crate::code::Zone`].
    pub zone: crate::code::Zone,
    /// NUMA node.
    pub node: u8,
    /// Zero.
    pub padding: [u8; 6],
    /// First frame number.
    pub start_pfn: u64,
    /// Frames from the first to the last.
    pub spanned: u64,
    /// Of these: RAM.
    pub present: u64,
    /// Of these: given to the allocator.
    pub managed: u64,
    /// Free frames.
    pub free: u64,
    /// Watermarks min, low, high.
    pub watermark: [u64; 3],
    /// What is kept in addition from requests that could be met in a higher zone, by the highest zone they may use.
    pub lowmem_reserve: [u64; ZONES],
    /// Free blocks of each order.
    pub free_blocks: [u64; ORDERS],
    /// Of these, by migrate type.
    pub blocks_by_type: [[u64; ORDERS]; MIGRATE_TYPES],
    /// Pageblocks by migrate type.
    pub pageblocks: [u64; MIGRATE_TYPES],
    /// Frames handed out, by [`crate::code::Owner`].
    pub owned: [u64; OWNERS],
    /// Free frames that CPU 0's lists keep: neither in the blocks nor in `free`.
    pub pcp_count: u32,
    /// Most frames that list keeps.
    pub pcp_high: u32,
    /// Frames it takes or gives at a time.
    pub pcp_batch: u32,
    /// Zero.
    pub padding2: u32,
}

/// A system call the guest does not have, and how often it was asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MissingSyscall {
    /// Number.
    pub number: u32,
    /// Calls.
    pub count: u32,
}

/// One cache of kernel objects: a line of slabinfo.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CacheEntry {
    /// Its name, NUL-padded.
    pub name: [u8; 32],
    /// Objects handed out to users; what CPUs keep does not count.
    pub active_objects: u64,
    /// Objects in all slabs.
    pub objects: u64,
    /// Slabs with an object handed out.
    pub active_slabs: u64,
    /// Slabs.
    pub slabs: u64,
    /// Bytes an object takes.
    pub object_size: u32,
    /// Objects in a slab.
    pub objects_per_slab: u32,
    /// Pages in a slab.
    pub pages_per_slab: u32,
    /// Most objects that a CPU keeps; 0 if it keeps none.
    pub limit: u32,
    /// Objects that a CPU takes or gives at a time.
    pub batch: u32,
    /// Nonzero if the slabs can be taken back by reclaim.
    pub reclaimable: u32,
}

bitflags::bitflags! {
    /// What an area of the kernel's own virtual memory is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AreaFlags: u32 {
        /// ioremap: a device's addresses.
        const IOREMAP = 1 << 0;
        /// vmalloc.
        const ALLOC = 1 << 1;
        /// vmap: frames of the caller's.
        const MAP = 1 << 2;
        /// dma_alloc_coherent.
        const DMA_COHERENT = 1 << 3;
        /// Frames come with the first touch.
        const LAZY = 1 << 4;
    }
}

/// One area of the kernel's own virtual memory: a line of vmallocinfo.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VmallocEntry {
    /// First byte.
    pub start: u64,
    /// First byte after it, the guard page included.
    pub end: u64,
    /// For [`AreaFlags::IOREMAP`]: the first physical byte.
    pub physical: u64,
    /// Frames behind it.
    pub pages: u32,
    /// [`AreaFlags`].
    pub flags: u32,
    /// String id of the caller, `file:line`; 0 if unknown.
    pub caller: u32,
    /// Zero.
    pub padding: u32,
}

const _: () = assert!(crate::code::Owner::ALL.len() <= OWNERS);
const _: () = assert!(size_of::<CacheEntry>() == 88);
const _: () = assert!(size_of::<VmallocEntry>() == 40);
const _: () = assert!(size_of::<MmHeader>() == 160);
const _: () = assert!(size_of::<VmaEntry>() == 112);
const _: () = assert!(size_of::<MemHeader>() == 144);
const _: () = assert!(size_of::<ZoneEntry>() == 952);
