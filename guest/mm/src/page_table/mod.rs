//! x86-64 page tables: 4 levels, 4 KiB pages.

use crate::machine::Pfn;

/// The user half of one address space's page tables.
#[derive(Debug)]
pub struct PageTables {
    /// Top table (PML4).
    pub root: Pfn,
    /// Table frames in use, the top one included.
    pub tables: u64,
}
