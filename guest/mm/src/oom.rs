//! What is said when memory has run out and the program is killed for it: Linux's report, as far as its subjects exist
//! here.

use core::fmt::{self, Display};

use pagelab_abi::snapshot::{MemHeader, MmHeader, ZoneEntry};

use crate::{
    frame::{Gfp, Refused},
    mem_info::MemInfo,
    text::kb,
};

/// Everything a report is made of.
pub struct Report<'a> {
    /// The request that could not be met; `None` where only a limit of the kernel's own was hit.
    pub refused: Option<Refused>,
    /// The program that is killed, which also asked.
    pub task: &'a MmHeader,
    /// Memory as a whole.
    pub memory: &'a MemHeader,
    /// The zones that have memory.
    pub zones: &'a [ZoneEntry],
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (task, memory) = (self.task, self.memory);
        let comm = Comm(&task.comm);
        if let Some(Refused { order, gfp, owner }) = self.refused {
            writeln!(f, "{comm} invoked oom-killer: gfp_mask={}, order={order}, for {}", GfpNames(gfp), Owner(owner))?;
        } else {
            writeln!(f, "{comm} invoked oom-killer")?;
        }
        writeln!(f, "{}", MemInfo { memory, zones: self.zones })?;
        let rss = task.rss_anon + task.rss_file + task.rss_shmem;
        writeln!(
            f,
            "Tasks state (memory values in pages):\n\
             [  pid  ] total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes name\n\
             [{:>7}] {:>8} {rss:>8} {:>8} {:>8} {:>9} {:>14} {comm}",
            task.pid, task.total_vm, task.rss_anon, task.rss_file, task.rss_shmem, task.pgtables_bytes
        )?;
        write!(
            f,
            "Out of memory: Killed process {} ({comm}) total-vm:{}kB, anon-rss:{}kB, file-rss:{}kB, shmem-rss:{}kB, \
             pgtables:{}kB",
            task.pid,
            kb(task.total_vm),
            kb(task.rss_anon),
            kb(task.rss_file),
            kb(task.rss_shmem),
            task.pgtables_bytes / 1024
        )
    }
}

struct Owner(pagelab_abi::code::Owner);

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name().unwrap_or("?"))
    }
}

/// A program's name, up to its NUL.
struct Comm<'a>(&'a [u8; 16]);

impl Display for Comm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        name.utf8_chunks().try_for_each(|part| f.write_str(part.valid()))
    }
}

/// gfp flags, the number and Linux's names.
struct GfpNames(Gfp);

impl Display for GfpNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Gfp, &str); 23] = [
            (Gfp::HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"),
            (Gfp::HIGHUSER, "GFP_HIGHUSER"),
            (Gfp::USER, "GFP_USER"),
            (Gfp::KERNEL, "GFP_KERNEL"),
            (Gfp::ATOMIC, "GFP_ATOMIC"),
            (Gfp::DMA, "GFP_DMA"),
            (Gfp::DMA32, "GFP_DMA32"),
            (Gfp::HIGH, "__GFP_HIGH"),
            (Gfp::IO, "__GFP_IO"),
            (Gfp::FS, "__GFP_FS"),
            (Gfp::NOWARN, "__GFP_NOWARN"),
            (Gfp::NOFAIL, "__GFP_NOFAIL"),
            (Gfp::NORETRY, "__GFP_NORETRY"),
            (Gfp::ZERO, "__GFP_ZERO"),
            (Gfp::NOMEMALLOC, "__GFP_NOMEMALLOC"),
            (Gfp::MEMALLOC, "__GFP_MEMALLOC"),
            (Gfp::HARDWALL, "__GFP_HARDWALL"),
            (Gfp::THISNODE, "__GFP_THISNODE"),
            (Gfp::RECLAIMABLE, "__GFP_RECLAIMABLE"),
            (Gfp::MOVABLE, "__GFP_MOVABLE"),
            (Gfp::HIGHMEM, "__GFP_HIGHMEM"),
            (Gfp::DIRECT_RECLAIM, "__GFP_DIRECT_RECLAIM"),
            (Gfp::KSWAPD_RECLAIM, "__GFP_KSWAPD_RECLAIM"),
        ];
        write!(f, "{:#x}(", self.0.bits())?;
        let (mut left, mut first) = (self.0, true);
        for (flags, name) in NAMES {
            if left.contains(flags) {
                left -= flags;
                write!(f, "{}{name}", if first { "" } else { "|" })?;
                first = false;
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use pagelab_abi::{
        code,
        snapshot::{MIGRATE_TYPES, ORDERS},
    };
    use std::{format, string::ToString};

    use super::*;

    #[test]
    fn a_report_says_who_asked_and_what_there_was() {
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"hoard");
        let task = MmHeader {
            pid: 100,
            comm,
            total_vm: 3000,
            rss_anon: 2500,
            rss_file: 20,
            rss_shmem: 3,
            pgtables_bytes: 40960,
            ..MmHeader::default()
        };
        let memory =
            MemHeader { ram: 4096, managed: 3900, free: 50, anon: 2500, file: 23, shmem: 3, ..MemHeader::default() };
        let mut free_blocks = [0; ORDERS];
        (free_blocks[0], free_blocks[4]) = (2, 3);
        let mut blocks_by_type = [[0; ORDERS]; MIGRATE_TYPES];
        (blocks_by_type[0][0], blocks_by_type[1][0], blocks_by_type[1][4]) = (1, 1, 3);
        let zone = ZoneEntry {
            zone: code::Zone::Dma,
            blocks_by_type,
            lowmem_reserve: [0, 7, 7, 7, 7],
            present: 4096,
            managed: 3900,
            free: 50,
            watermark: [50, 60, 70],
            free_blocks,
            ..ZoneEntry::default()
        };
        let refused = Some(Refused { order: 0, gfp: Gfp::HIGHUSER_MOVABLE | Gfp::ZERO, owner: code::Owner::Anon });
        let text = Report { refused, task: &task, memory: &memory, zones: &[zone] }.to_string();
        let expected = [
            "hoard invoked oom-killer: gfp_mask=0x100dca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO), order=0, for anon",
            "Mem-Info:",
            "anon:2500 file:20 shmem:3 slab_reclaimable:0 slab_unreclaimable:0 pagetables:0 vmalloc:0 free:50",
            "Node 0 DMA free:200kB min:200kB low:240kB high:280kB present:16384kB managed:15600kB free_pcp:0kB",
            "lowmem_reserve[]: 0 7 7 7 7",
            "Node 0 DMA: 2*4kB (UM) 0*8kB 0*16kB 0*32kB 3*64kB (M) 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 200kB",
            "23 total pagecache pages",
            "4096 pages RAM",
            "0 pages HighMem/MovableOnly",
            "196 pages reserved",
            "Tasks state (memory values in pages):",
            "[  pid  ] total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes name",
            "[    100]     3000     2523     2500       20         3          40960 hoard",
            "Out of memory: Killed process 100 (hoard) total-vm:12000kB, anon-rss:10000kB, file-rss:80kB, \
             shmem-rss:12kB, pgtables:40kB",
        ];
        assert_eq!(text, expected.join("\n"));
        assert!(format!("{}", GfpNames(Gfp::KERNEL | Gfp::ZERO)).ends_with("(GFP_KERNEL|__GFP_ZERO)"));
    }
}
