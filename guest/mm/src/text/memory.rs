//! `/proc/meminfo` and `/proc/vmstat`: the machine's memory as a whole.

use core::fmt::{self, Write};

use pagelab_abi::{
    snapshot::{MemHeader, ZoneEntry},
    vmstat::NAMES,
};

use super::kb;

/// Kilobytes of the vmalloc area: 32 TiB less the byte that Linux's own arithmetic loses.
const VMALLOC_TOTAL_KB: u64 = (1 << 35) - 1;

/// `/proc/meminfo`.
pub fn meminfo(w: &mut dyn Write, memory: &MemHeader, zones: &[ZoneEntry]) -> fmt::Result {
    let table: [(&str, u64); 22] = [
        ("MemTotal:", kb(memory.managed)),
        ("MemFree:", kb(memory.free)),
        ("MemAvailable:", kb(available(memory, zones))),
        ("Buffers:", 0),
        ("Cached:", kb(memory.file)),
        ("SwapCached:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("AnonPages:", kb(memory.anon)),
        ("Mapped:", kb(memory.mapped)),
        ("Shmem:", kb(memory.shmem)),
        ("KReclaimable:", 0),
        ("Slab:", kb(memory.slab)),
        ("SReclaimable:", 0),
        ("SUnreclaim:", kb(memory.slab)),
        ("KernelStack:", kb(memory.kernel_stack)),
        ("PageTables:", kb(memory.page_tables)),
        // Linux's default overcommit_ratio is 50 percent; there is no swap to add.
        ("CommitLimit:", kb(memory.managed / 2)),
        ("Committed_AS:", kb(memory.committed)),
        ("VmallocTotal:", VMALLOC_TOTAL_KB),
        ("AnonHugePages:", 0),
        ("Hugepagesize:", 2048),
    ];
    for (name, value) in table {
        writeln!(w, "{name:<16}{value:>8} kB")?;
    }
    Ok(())
}

/// Pages a program could still get without swapping, by Linux's estimate: the free ones above the high watermarks, and
/// the page cache but for the part (half of it, at most the low watermarks) that is better kept.
fn available(memory: &MemHeader, zones: &[ZoneEntry]) -> u64 {
    let sum = |index: usize| zones.iter().map(|zone| zone.watermark[index]).fold(0, u64::saturating_add);
    let (low, reserve) = (sum(1), sum(2));
    let kept = (memory.file / 2).min(low);
    memory.free.saturating_add(memory.file - kept).saturating_sub(reserve)
}

/// `/proc/vmstat`: first the counts of pages as they are now, then the event counters, which are `counters` in the
/// order of [`pagelab_abi::vmstat::Counter`].
pub fn vmstat(w: &mut dyn Write, memory: &MemHeader, zones: &[ZoneEntry], counters: &[u64]) -> fmt::Result {
    let free = zones.iter().map(|zone| zone.free).fold(0, u64::saturating_add);
    writeln!(w, "nr_free_pages {free}")?;
    for (name, value) in node_statistics(memory) {
        writeln!(w, "{name} {value}")?;
    }
    for (name, value) in NAMES.iter().zip(counters) {
        writeln!(w, "{name} {value}")?;
    }
    Ok(())
}

/// The per-node counts of pages, in Linux's order; nr_kernel_stack is in kilobytes there.
pub(super) fn node_statistics(memory: &MemHeader) -> [(&'static str, u64); 7] {
    [
        ("nr_slab_unreclaimable", memory.slab),
        ("nr_anon_pages", memory.anon),
        ("nr_mapped", memory.mapped),
        ("nr_file_pages", memory.file),
        ("nr_shmem", memory.shmem),
        ("nr_kernel_stack", kb(memory.kernel_stack)),
        ("nr_page_table_pages", memory.page_tables),
    ]
}
