//! The state of memory as Linux tells it whenever a request for frames fails: `Mem-Info` and what follows.

use core::fmt::{self, Display};

use pagelab_abi::{
    code::Zone,
    snapshot::{MIGRATE_TYPES, MemHeader, ZoneEntry},
};

use crate::text::kb;

/// A letter for each migrate type, in the order of their codes.
const LETTERS: [char; MIGRATE_TYPES] = ['U', 'M', 'E', 'H', 'I'];

/// Memory as a whole and zone by zone: how much is free above which marks, and in what blocks.
pub struct MemInfo<'a> {
    /// Memory as a whole.
    pub memory: &'a MemHeader,
    /// The zones that have memory.
    pub zones: &'a [ZoneEntry],
}

impl Display for MemInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory;
        writeln!(
            f,
            "Mem-Info:\nanon:{} file:{} shmem:{} slab_reclaimable:{} slab_unreclaimable:{} pagetables:{} vmalloc:{} free:{}",
            memory.anon,
            memory.file - memory.shmem.min(memory.file),
            memory.shmem,
            memory.slab_reclaimable,
            memory.slab - memory.slab_reclaimable.min(memory.slab),
            memory.page_tables,
            memory.vmalloc,
            memory.free
        )?;
        for zone in self.zones {
            let [min, low, high] = zone.watermark.map(kb);
            writeln!(
                f,
                "{} free:{}kB min:{min}kB low:{low}kB high:{high}kB present:{}kB managed:{}kB free_pcp:{}kB",
                Name(zone),
                kb(zone.free),
                kb(zone.present),
                kb(zone.managed),
                kb(zone.pcp_count.into())
            )?;
            f.write_str("lowmem_reserve[]:")?;
            zone.lowmem_reserve.iter().try_for_each(|pages| write!(f, " {pages}"))?;
            f.write_str("\n")?;
        }
        for zone in self.zones {
            write!(f, "{}:", Name(zone))?;
            let mut total = 0u64;
            for (order, &blocks) in zone.free_blocks.iter().enumerate() {
                write!(f, " {blocks}*{}kB", kb(1 << order))?;
                total = total.saturating_add(blocks.saturating_mul(1 << order));
                if blocks > 0 {
                    let types = zone.blocks_by_type.iter().zip(LETTERS).filter(|(counts, _)| counts[order] > 0);
                    f.write_str(" (")?;
                    types.map(|(_, letter)| letter).try_for_each(|letter| write!(f, "{letter}"))?;
                    f.write_str(")")?;
                }
            }
            writeln!(f, " = {}kB", kb(total))?;
        }
        let special = |zone: &&ZoneEntry| matches!(zone.zone, Zone::HighMem | Zone::Movable);
        write!(
            f,
            "{} total pagecache pages\n{} pages RAM\n{} pages HighMem/MovableOnly\n{} pages reserved",
            memory.file,
            memory.ram,
            self.zones.iter().filter(special).map(|zone| zone.present).sum::<u64>(),
            memory.ram - memory.managed.min(memory.ram)
        )
    }
}

/// A zone's node and name.
struct Name<'a>(&'a ZoneEntry);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node {} {}", self.0.node, self.0.zone.name().unwrap_or("?"))
    }
}
