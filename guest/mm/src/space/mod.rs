//! An address space: Linux's `mm_struct`.

use crate::{page_table::PageTables, vma::VmaSet};

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
}

/// Sizes and counts, in pages unless they say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Anonymous pages present; the zero page does not count.
    pub rss_anon: u64,
    /// File pages present.
    pub rss_file: u64,
    /// Largest sum of the two so far.
    pub hiwater_rss: u64,
    /// Mapped pages.
    pub total_vm: u64,
    /// Largest `total_vm` so far.
    pub peak_vm: u64,
    /// Private writable pages that are not stack.
    pub data_vm: u64,
    /// Stack pages.
    pub stack_vm: u64,
    /// Executable, not writable pages.
    pub exec_vm: u64,
    /// Locked pages.
    pub locked_vm: u64,
    /// Minor faults.
    pub min_flt: u64,
    /// Major faults.
    pub maj_flt: u64,
}

/// Resource limits, in bytes (`u64::MAX` is RLIM_INFINITY).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// RLIMIT_STACK.
    pub stack: u64,
    /// RLIMIT_DATA.
    pub data: u64,
    /// RLIMIT_AS.
    pub address_space: u64,
    /// vm.max_map_count.
    pub max_map_count: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { stack: 8 << 20, data: u64::MAX, address_space: u64::MAX, max_map_count: 65530 }
    }
}
