//! `/proc/buddyinfo` and `/proc/zoneinfo`.

use core::fmt::{self, Write};

use pagelab_abi::snapshot::{MemHeader, ZoneEntry};

use super::memory::node_statistics;

/// What a zone of unknown code is called.
const UNKNOWN: &str = "?";

/// `/proc/buddyinfo`: free blocks of each order, for each zone that has memory.
pub fn buddyinfo(w: &mut dyn Write, zones: &[ZoneEntry]) -> fmt::Result {
    for zone in zones.iter().filter(|zone| zone.present != 0) {
        head(w, zone)?;
        w.write_char(' ')?;
        for blocks in zone.free_blocks {
            write!(w, "{blocks:>6} ")?;
        }
        w.write_char('\n')?;
    }
    Ok(())
}

/// `/proc/zoneinfo`. The counts of the node come with the first zone that has memory.
pub fn zoneinfo(w: &mut dyn Write, memory: &MemHeader, zones: &[ZoneEntry]) -> fmt::Result {
    let mut node_is_told = false;
    for zone in zones {
        head(w, zone)?;
        let populated = zone.present != 0;
        if populated && !node_is_told {
            node_is_told = true;
            w.write_str("\n  per-node stats")?;
            for (name, value) in node_statistics(memory) {
                write!(w, "\n      {name:<12} {value}")?;
            }
        }
        write!(w, "\n  pages free     {}", zone.free)?;
        let table: [(&str, u64); 8] = [
            ("boost", 0),
            ("min", zone.watermark[0]),
            ("low", zone.watermark[1]),
            ("high", zone.watermark[2]),
            ("spanned", zone.spanned),
            ("present", zone.present),
            ("managed", zone.managed),
            ("cma", 0),
        ];
        for (name, value) in table {
            write!(w, "\n        {name:<8} {value}")?;
        }
        if populated {
            write!(w, "\n      {:<12} {}", "nr_free_pages", zone.free)?;
            write!(w, "\n  start_pfn:           {}", zone.start_pfn)?;
        }
        w.write_char('\n')?;
    }
    Ok(())
}

fn head(w: &mut dyn Write, zone: &ZoneEntry) -> fmt::Result {
    write!(w, "Node {}, zone {:>8}", zone.node, zone.zone.name().unwrap_or(UNKNOWN))
}
