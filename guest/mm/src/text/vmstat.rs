//! `/proc/vmstat`: counts of pages as they are now, and of events since boot.

use core::fmt;

use pagelab_abi::{
    snapshot::{MemHeader, ZoneEntry},
    vmstat::{COUNT, NAMES},
};

use super::{Sink, kb, memory::Lru, out::Out};

/// The events, as a Linux counts them that has swap but no NUMA, migration, compaction or huge pages; in its order.
const EVENTS: [&str; 54] = [
    "pgpgin",
    "pgpgout",
    "pswpin",
    "pswpout",
    "pgalloc_dma",
    "pgalloc_dma32",
    "pgalloc_normal",
    "pgalloc_movable",
    "allocstall_dma",
    "allocstall_dma32",
    "allocstall_normal",
    "allocstall_movable",
    "pgskip_dma",
    "pgskip_dma32",
    "pgskip_normal",
    "pgskip_movable",
    "pgfree",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pgfault",
    "pgmajfault",
    "pglazyfreed",
    "pgrefill",
    "pgreuse",
    "pgsteal_kswapd",
    "pgsteal_direct",
    "pgsteal_khugepaged",
    "pgscan_kswapd",
    "pgscan_direct",
    "pgscan_khugepaged",
    "pgscan_direct_throttle",
    "pgscan_anon",
    "pgscan_file",
    "pgsteal_anon",
    "pgsteal_file",
    "pginodesteal",
    "slabs_scanned",
    "kswapd_inodesteal",
    "kswapd_low_wmark_hit_quickly",
    "kswapd_high_wmark_hit_quickly",
    "pageoutrun",
    "pgrotated",
    "drop_pagecache",
    "drop_slab",
    "oom_kill",
    "unevictable_pgs_culled",
    "unevictable_pgs_scanned",
    "unevictable_pgs_rescued",
    "unevictable_pgs_mlocked",
    "unevictable_pgs_munlocked",
    "unevictable_pgs_cleared",
    "unevictable_pgs_stranded",
    "swap_ra",
];

/// Which of the guest's counters an event is; `COUNT` if the guest does not count it.
static COUNTERS: [usize; EVENTS.len()] = counters();

const fn counters() -> [usize; EVENTS.len()] {
    let mut found = [COUNT; EVENTS.len()];
    let mut counter = 0;
    while counter < COUNT {
        let mut event = 0;
        while !equal(EVENTS[event].as_bytes(), NAMES[counter].as_bytes()) {
            event += 1;
            assert!(event < EVENTS.len(), "a counter of the guest has no place in vmstat");
        }
        found[event] = counter;
        counter += 1;
    }
    found
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// `/proc/vmstat`. `counters` are in the order of [`pagelab_abi::vmstat::Counter`].
///
/// # Errors
/// The sink's.
pub fn vmstat(sink: &mut dyn Sink, memory: &MemHeader, zones: &[ZoneEntry], counters: &[u64]) -> fmt::Result {
    let free = zones.iter().map(|zone| zone.free).fold(0, u64::saturating_add);
    let mut out = Out::new(sink);
    for (name, value) in zone_statistics(memory, free) {
        out.line(name, value);
    }
    for (name, value) in node_statistics(memory) {
        out.line(name, value);
    }
    for (name, counter) in EVENTS.iter().zip(COUNTERS) {
        out.line(name, counters.get(counter).copied().unwrap_or(0));
    }
    out.line("swap_ra_hit", 0);
    out.line("nr_unstable", 0);
    out.finish()
}

/// The per-zone counts of pages, in Linux's order, of a part of memory with `free` pages in free blocks.
pub(super) fn zone_statistics(memory: &MemHeader, free: u64) -> [(&'static str, u64); 9] {
    let lru = Lru::of(memory);
    [
        ("nr_free_pages", free),
        ("nr_zone_inactive_anon", lru.inactive_anon),
        ("nr_zone_active_anon", 0),
        ("nr_zone_inactive_file", lru.inactive_file),
        ("nr_zone_active_file", 0),
        ("nr_zone_unevictable", lru.unevictable),
        ("nr_zone_write_pending", 0),
        ("nr_mlock", memory.locked),
        ("nr_free_cma", 0),
    ]
}

/// The per-node counts of pages, in Linux's order; nr_kernel_stack is in kilobytes there.
pub(super) fn node_statistics(memory: &MemHeader) -> [(&'static str, u64); 41] {
    let lru = Lru::of(memory);
    let reclaimable = memory.slab_reclaimable.min(memory.slab);
    [
        ("nr_inactive_anon", lru.inactive_anon),
        ("nr_active_anon", 0),
        ("nr_inactive_file", lru.inactive_file),
        ("nr_active_file", 0),
        ("nr_unevictable", lru.unevictable),
        ("nr_slab_reclaimable", reclaimable),
        ("nr_slab_unreclaimable", memory.slab - reclaimable),
        ("nr_isolated_anon", 0),
        ("nr_isolated_file", 0),
        ("workingset_nodes", 0),
        ("workingset_refault_anon", 0),
        ("workingset_refault_file", 0),
        ("workingset_activate_anon", 0),
        ("workingset_activate_file", 0),
        ("workingset_restore_anon", 0),
        ("workingset_restore_file", 0),
        ("workingset_nodereclaim", 0),
        ("nr_anon_pages", memory.anon),
        ("nr_mapped", memory.mapped),
        ("nr_file_pages", memory.file),
        ("nr_dirty", 0),
        ("nr_writeback", 0),
        ("nr_shmem", memory.shmem),
        ("nr_shmem_hugepages", 0),
        ("nr_shmem_pmdmapped", 0),
        ("nr_file_hugepages", 0),
        ("nr_file_pmdmapped", 0),
        ("nr_anon_transparent_hugepages", 0),
        ("nr_vmscan_write", 0),
        ("nr_vmscan_immediate_reclaim", 0),
        ("nr_dirtied", 0),
        ("nr_written", 0),
        ("nr_throttled_written", 0),
        ("nr_kernel_misc_reclaimable", 0),
        ("nr_foll_pin_acquired", 0),
        ("nr_foll_pin_released", 0),
        ("nr_kernel_stack", kb(memory.kernel_stack)),
        ("nr_page_table_pages", memory.page_tables),
        ("nr_sec_page_table_pages", 0),
        ("nr_iommu_pages", 0),
        ("nr_swapcached", 0),
    ]
}
