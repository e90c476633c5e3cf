//! `/proc/buddyinfo`, `/proc/zoneinfo` and `/proc/pagetypeinfo`.

use core::fmt;

use pagelab_abi::{
    code::Zone,
    snapshot::{MemHeader, ORDERS, ZoneEntry},
};

use super::{Sink, memory::Lru, out::Out, vmstat::node_statistics};

/// What a zone of unknown code is called.
const UNKNOWN: &str = "?";
/// Order of a pageblock.
const PAGEBLOCK_ORDER: u32 = 9;

/// `/proc/buddyinfo`: free blocks of each order, for each zone that has memory.
///
/// # Errors
/// The sink's.
pub fn buddyinfo(sink: &mut dyn Sink, zones: &[ZoneEntry]) -> fmt::Result {
    let mut out = Out::new(sink);
    for zone in zones.iter().filter(|zone| zone.present != 0) {
        head(&mut out, zone);
        out.byte(b' ');
        for blocks in zone.free_blocks {
            out.decimal_right(blocks, 6);
            out.byte(b' ');
        }
        out.byte(b'\n');
    }
    out.finish()
}

/// `/proc/zoneinfo`, also of the zones without memory. The counts of the node come with the first that has some.
///
/// # Errors
/// The sink's.
pub fn zoneinfo(sink: &mut dyn Sink, memory: &MemHeader, zones: &[ZoneEntry]) -> fmt::Result {
    let mut out = Out::new(sink);
    let mut node_is_told = false;
    for &code in Zone::ALL {
        let empty = ZoneEntry { zone: code, ..ZoneEntry::default() };
        let zone = zones.iter().find(|zone| zone.zone == code).unwrap_or(&empty);
        head(&mut out, zone);
        let populated = zone.present != 0;
        if populated && !node_is_told {
            node_is_told = true;
            out.text("\n  per-node stats");
            for (name, value) in node_statistics(memory) {
                statistic(&mut out, name, value);
            }
        }
        out.text("\n  pages free     ");
        out.decimal(zone.free);
        let [min, low, high] = zone.watermark;
        for (name, value) in [
            ("boost    ", 0),
            ("min      ", min),
            ("low      ", low),
            ("high     ", high),
            ("promo    ", high.saturating_add(high.saturating_sub(low))),
            ("spanned  ", zone.spanned),
            ("present  ", zone.present),
            ("managed  ", zone.managed),
            ("cma      ", 0),
        ] {
            out.text("\n        ");
            out.text(name);
            out.decimal(value);
        }
        out.text("\n        protection: (");
        for (index, pages) in zone.lowmem_reserve.into_iter().enumerate() {
            out.text(if index == 0 { "" } else { ", " });
            out.decimal(pages);
        }
        out.byte(b')');
        if populated {
            // The lists are the node's; the guest's are told in the zone that user memory comes from first.
            let lru = Lru::of(memory);
            let last = zones.iter().rfind(|zone| zone.present != 0).is_some_and(|last| last.zone == code);
            let here = |value: u64| if last { value } else { 0 };
            for (name, value) in [
                ("nr_free_pages", zone.free),
                ("nr_zone_inactive_anon", here(lru.inactive_anon)),
                ("nr_zone_active_anon", 0),
                ("nr_zone_inactive_file", here(lru.inactive_file)),
                ("nr_zone_active_file", 0),
                ("nr_zone_unevictable", here(lru.unevictable)),
                ("nr_zone_write_pending", 0),
                ("nr_mlock", here(memory.locked)),
                ("nr_free_cma", 0),
            ] {
                statistic(&mut out, name, value);
            }
            out.text("\n  pagesets\n    cpu: 0");
            for name in ["count:    ", "high:     ", "batch:    ", "high_min: ", "high_max: "] {
                out.text("\n              ");
                out.text(name);
                out.byte(b'0');
            }
            out.text("\n  node_unreclaimable:  0\n  start_pfn:           ");
            out.decimal(zone.start_pfn);
        }
        out.byte(b'\n');
    }
    out.finish()
}

fn statistic(out: &mut Out<'_>, name: &str, value: u64) {
    out.text("\n      ");
    out.left(name, 12);
    out.byte(b' ');
    out.decimal(value);
}

/// `/proc/pagetypeinfo`. The allocator has one list an order and does not sort by migrate type yet: all is movable, as
/// all of Linux's pageblocks are at boot.
///
/// # Errors
/// The sink's.
pub fn pagetypeinfo(sink: &mut dyn Sink, zones: &[ZoneEntry]) -> fmt::Result {
    const TYPES: [&str; 5] = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate"];
    const ALL_ARE: usize = 1;
    let zones = || zones.iter().filter(|zone| zone.present != 0);
    let mut out = Out::new(sink);
    out.text("Page block order: ");
    out.decimal(PAGEBLOCK_ORDER.into());
    out.text("\nPages per block:  ");
    out.decimal(1 << PAGEBLOCK_ORDER);
    out.text("\n\n");
    out.left("Free pages count per migrate type at order", 43);
    out.byte(b' ');
    for order in 0..ORDERS as u64 {
        out.decimal_right(order, 6);
        out.byte(b' ');
    }
    out.byte(b'\n');
    for zone in zones() {
        for (index, name) in TYPES.iter().enumerate() {
            out.text("Node ");
            out.decimal_right(zone.node.into(), 4);
            out.text(", zone ");
            out.right(zone_name(zone), 8);
            out.text(", type ");
            out.right(name, 12);
            out.byte(b' ');
            for blocks in zone.free_blocks {
                out.decimal_right(if index == ALL_ARE { blocks } else { 0 }, 6);
                out.byte(b' ');
            }
            out.byte(b'\n');
        }
    }
    out.byte(b'\n');
    out.left("Number of blocks type", 23);
    for name in TYPES {
        out.right(name, 12);
        out.byte(b' ');
    }
    out.byte(b'\n');
    for zone in zones() {
        head(&mut out, zone);
        out.byte(b' ');
        let end = zone.start_pfn.saturating_add(zone.spanned);
        let blocks = end.div_ceil(1 << PAGEBLOCK_ORDER).saturating_sub(zone.start_pfn >> PAGEBLOCK_ORDER);
        for index in 0..TYPES.len() {
            out.decimal_right(if index == ALL_ARE { blocks } else { 0 }, 12);
            out.byte(b' ');
        }
        out.byte(b'\n');
    }
    out.finish()
}

fn zone_name(zone: &ZoneEntry) -> &'static str {
    zone.zone.name().unwrap_or(UNKNOWN)
}

fn head(out: &mut Out<'_>, zone: &ZoneEntry) {
    out.text("Node ");
    out.decimal(zone.node.into());
    out.text(", zone ");
    out.right(zone_name(zone), 8);
}
