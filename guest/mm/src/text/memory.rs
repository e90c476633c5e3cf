//! `/proc/meminfo`: the machine's memory as a whole.

use core::fmt;

use pagelab_abi::snapshot::{MemHeader, ZoneEntry};

use super::{Sink, kb, kilobytes, out::Out};

/// Kilobytes of the vmalloc area: 32 TiB less the byte that Linux's own arithmetic loses.
const VMALLOC_TOTAL_KB: u64 = (1 << 35) - 1;
/// Kilobytes of a huge page, by which the direct map goes.
const HUGE_PAGE_KB: u64 = 2048;

/// The first lines.
static FIRST: [[u8; kilobytes::LINE]; 14] = kilobytes::lines([
    "MemTotal:",
    "MemFree:",
    "MemAvailable:",
    "Buffers:",
    "Cached:",
    "SwapCached:",
    "Active:",
    "Inactive:",
    "Active(anon):",
    "Inactive(anon):",
    "Active(file):",
    "Inactive(file):",
    "Unevictable:",
    "Mlocked:",
]);

/// Lines that only a machine with HighMem has.
static HIGHMEM: [[u8; kilobytes::LINE]; 4] = kilobytes::lines(["HighTotal:", "HighFree:", "LowTotal:", "LowFree:"]);

/// The lines from there to the vmalloc area.
static MIDDLE: [[u8; kilobytes::LINE]; 19] = kilobytes::lines([
    "SwapTotal:",
    "SwapFree:",
    "Dirty:",
    "Writeback:",
    "AnonPages:",
    "Mapped:",
    "Shmem:",
    "KReclaimable:",
    "Slab:",
    "SReclaimable:",
    "SUnreclaim:",
    "KernelStack:",
    "PageTables:",
    "SecPageTables:",
    "NFS_Unstable:",
    "Bounce:",
    "WritebackTmp:",
    "CommitLimit:",
    "Committed_AS:",
]);

/// The lines after that area, up to those that count huge pages.
static SECOND: [[u8; kilobytes::LINE]; 8] = kilobytes::lines([
    "VmallocUsed:",
    "VmallocChunk:",
    "Percpu:",
    "AnonHugePages:",
    "ShmemHugePages:",
    "ShmemPmdMapped:",
    "FileHugePages:",
    "FilePmdMapped:",
]);

/// The last lines.
static LAST: [[u8; kilobytes::LINE]; 5] =
    kilobytes::lines(["Hugepagesize:", "Hugetlb:", "DirectMap4k:", "DirectMap2M:", "DirectMap1G:"]);

/// `/proc/meminfo`. What the guest does not have (swap, huge pages, a disk to write to) is 0.
///
/// # Errors
/// The sink's.
pub fn meminfo(sink: &mut dyn Sink, memory: &MemHeader, zones: &[ZoneEntry]) -> fmt::Result {
    let lru = Lru::of(memory);
    let inactive = lru.inactive_anon.saturating_add(lru.inactive_file);
    let mut out = Out::new(sink);
    let first = [
        memory.managed,
        memory.free,
        available(memory, zones),
        0,
        memory.file,
        0,
        0,
        inactive,
        0,
        lru.inactive_anon,
        0,
        lru.inactive_file,
        lru.unevictable,
        lru.unevictable,
    ];
    kilobytes::put(&mut out, &FIRST, &first.map(kb));
    if memory.highmem != 0 {
        let (total, free) = (memory.highmem, memory.highmem_free);
        let low = [total, free, memory.managed.saturating_sub(total), memory.free.saturating_sub(free)];
        kilobytes::put(&mut out, &HIGHMEM, &low.map(kb));
    }
    let reclaimable = memory.slab_reclaimable.min(memory.slab);
    let middle = [
        0,
        0,
        0,
        0,
        memory.anon,
        memory.mapped,
        memory.shmem,
        reclaimable,
        memory.slab,
        reclaimable,
        memory.slab - reclaimable,
        memory.kernel_stack,
        memory.page_tables,
        0,
        0,
        0,
        0,
        memory.commit_limit,
        memory.committed,
    ];
    kilobytes::put(&mut out, &MIDDLE, &middle.map(kb));
    out.text("VmallocTotal:   ");
    out.decimal_right(VMALLOC_TOTAL_KB, 8);
    out.text(" kB\n");
    kilobytes::put(&mut out, &SECOND, &[kb(memory.vmalloc), 0, 0, 0, 0, 0, 0, 0]);
    out.text(
        "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n",
    );
    let direct = kb(memory.ram.saturating_sub(memory.highmem)).div_ceil(HUGE_PAGE_KB).saturating_mul(HUGE_PAGE_KB);
    kilobytes::put(&mut out, &LAST, &[HUGE_PAGE_KB, 0, 0, direct, 0]);
    out.finish()
}

/// The lists that reclaim would go through. Nothing ages yet: every page that could be reclaimed is on an inactive
/// list, where Linux puts a new one.
pub(super) struct Lru {
    pub(super) inactive_anon: u64,
    pub(super) inactive_file: u64,
    pub(super) unevictable: u64,
}

impl Lru {
    /// Locked pages are nearly always anonymous, and are taken for such.
    pub(super) fn of(memory: &MemHeader) -> Lru {
        let anon = memory.anon.saturating_add(memory.shmem);
        let unevictable = memory.locked.min(anon);
        Lru { inactive_anon: anon - unevictable, inactive_file: memory.file.saturating_sub(memory.shmem), unevictable }
    }
}

/// Pages a program could still get without swapping, by Linux's estimate: the free ones above the reserves (of each
/// zone its high watermark and the most it keeps for other requests), and the page cache but for the part (half of it,
/// at most the low watermarks) that is better kept.
fn available(memory: &MemHeader, zones: &[ZoneEntry]) -> u64 {
    let sum = |of: fn(&ZoneEntry) -> u64| zones.iter().map(of).fold(0, u64::saturating_add);
    let low = sum(|zone| zone.watermark[1]);
    let reserve = sum(|zone| {
        let kept = zone.lowmem_reserve.iter().copied().max().unwrap_or(0);
        kept.saturating_add(zone.watermark[2]).min(zone.managed)
    });
    let cache = memory.file.saturating_sub(memory.shmem);
    let kept = (cache / 2).min(low);
    memory.free.saturating_add(cache - kept).saturating_sub(reserve)
}
