//! An address space: Linux's `mm_struct`. One operation a file; errno values and rules are Linux's.

mod brk;
mod change;
mod destroy;
mod event;
mod file_range;
mod madvise;
mod mincore;
mod mlock;
mod mmap;
mod mprotect;
mod mremap;
mod msync;
mod munmap;
mod place;
mod populate;
mod request;
mod snapshot;
mod stack;
mod usage;

use crate::{
    context::Context,
    frame::OutOfMemory,
    machine::Machine,
    page_table::PageTables,
    trace::Trace,
    vma::{VmFlags, VmaSet},
};

pub use madvise::{Advice, advised_end};
pub use mlock::lock_all;
pub use mmap::Mapped;
pub use mremap::{MremapRequest, Remapped};
pub use populate::{Populate, pages};
pub use request::{MmapRequest, huge_page_error, map, prot, remap};
pub use snapshot::{ROOT_DEVICE, SHMEM_DEVICE};
pub use stack::GrowRefusal;
pub use usage::{Limit, Limits, Usage};

/// One process's memory.
#[derive(Debug)]
pub struct AddressSpace {
    /// The process it belongs to, for events.
    pub pid: u32,
    /// What is mapped.
    pub vmas: VmaSet,
    /// The tables the CPU walks.
    pub tables: PageTables,
    /// Resident pages and sizes.
    pub usage: Usage,
    /// Resource limits.
    pub limits: Limits,
    /// First byte of the heap.
    pub brk_start: u64,
    /// First byte after the heap.
    pub brk: u64,
    /// Bytes of the program's initialised data, which RLIMIT_DATA counts together with the heap.
    pub data_bytes: u64,
    /// Where the stack pointer was at the start: the VMA that holds it is `[stack]`. 0 before there is a stack.
    pub stack_start: u64,
    /// The two locking flags, as far as what will be mapped gets them (mlockall).
    future_locks: VmFlags,
    /// Locked memory that has become writable.
    made_writable: Option<(u64, u64)>,
    /// Inode number of the last shared anonymous memory.
    shared_files: u32,
}

impl AddressSpace {
    /// An empty address space with tables of its own that map nothing, the kernel neither.
    ///
    /// # Errors
    /// No frame for the top table.
    pub fn new<M: Machine, T: Trace>(cx: &mut Context<M, T>, pid: u32) -> Result<Self, OutOfMemory> {
        Ok(Self::with_tables(pid, PageTables::new(cx)?))
    }

    /// An empty address space over tables that map no user page.
    pub fn with_tables(pid: u32, tables: PageTables) -> Self {
        AddressSpace {
            pid,
            vmas: VmaSet::default(),
            tables,
            usage: Usage::default(),
            limits: Limits::default(),
            brk_start: 0,
            brk: 0,
            data_bytes: 0,
            stack_start: 0,
            future_locks: VmFlags::empty(),
            made_writable: None,
            shared_files: 0,
        }
    }
}
