//! `/proc/buddyinfo`, `/proc/zoneinfo` and `/proc/pagetypeinfo`.

use core::fmt;

use pagelab_abi::{
    code::{MigrateType, Owner, Zone},
    snapshot::{self, MemHeader, ORDERS, OWNERS, ZONES, ZoneEntry},
};

use super::{
    Sink,
    out::Out,
    vmstat::{node_statistics, zone_statistics},
};

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

/// `/proc/zoneinfo`: the zones of each node that has memory, also those without (HighMem only where some node has it). The
/// counts of the node come with the first that has some. What is not counted by node (mapped and locked pages) is told
/// with the first node.
///
/// # Errors
/// The sink's.
pub fn zoneinfo(sink: &mut dyn Sink, memory: &MemHeader, zones: &[ZoneEntry]) -> fmt::Result {
    let mut out = Out::new(sink);
    let high = zones.iter().any(|zone| zone.zone == Zone::HighMem && zone.present != 0);
    let nodes = zones.iter().map(|zone| zone.node).max().map_or(1, |last| u16::from(last) + 1);
    for node in 0..nodes {
        let zones_of_node = || zones.iter().filter(move |zone| u16::from(zone.node) == node);
        let whole = if node == 0 { *memory } else { MemHeader::default() };
        let mut node_is_told = false;
        for code in ORDER.into_iter().filter(|&code| high || code != Zone::HighMem) {
            let empty = ZoneEntry { zone: code, node: node as u8, ..ZoneEntry::default() };
            let zone = zones_of_node().find(|zone| zone.zone == code).unwrap_or(&empty);
            head(&mut out, zone);
            if zone.present != 0 && !node_is_told {
                node_is_told = true;
                out.text("\n  per-node stats");
                for (name, value) in node_statistics(&counted(&whole, zones_of_node())) {
                    statistic(&mut out, name, value);
                }
            }
            levels(&mut out, zone);
            if zone.present != 0 {
                contents(&mut out, zone, &counted(&whole, core::iter::once(zone)));
            }
            out.byte(b'\n');
        }
    }
    out.finish()
}

/// The order of zones, from the lowest.
const ORDER: [Zone; ZONES] = [Zone::Dma, Zone::Dma32, Zone::Normal, Zone::HighMem, Zone::Movable];

/// The header of a part of memory: what its zones have handed out, and `rest` for what is not counted by zone.
fn counted<'a>(rest: &MemHeader, zones: impl Iterator<Item = &'a ZoneEntry>) -> MemHeader {
    let mut owned = [0u64; OWNERS];
    for zone in zones {
        for (sum, count) in owned.iter_mut().zip(zone.owned) {
            *sum = sum.saturating_add(count);
        }
    }
    let of = |owner: Owner| owned[usize::from(owner.0) % OWNERS];
    let slab = of(Owner::Slab).saturating_add(of(Owner::PageCacheNode));
    MemHeader {
        anon: of(Owner::Anon).saturating_add(of(Owner::FileCow)),
        file: of(Owner::File).saturating_add(of(Owner::Shmem)),
        shmem: of(Owner::Shmem),
        slab,
        slab_reclaimable: rest.slab_reclaimable.min(slab),
        page_tables: of(Owner::PageTable),
        kernel_stack: of(Owner::KernelStack),
        mapped: rest.mapped,
        locked: rest.locked,
        ..MemHeader::default()
    }
}

/// How much of a zone is free, and how much should be.
fn levels(out: &mut Out<'_>, zone: &ZoneEntry) {
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
}

/// What a zone with memory holds, and what CPUs keep of it.
fn contents(out: &mut Out<'_>, zone: &ZoneEntry, memory: &MemHeader) {
    for (name, value) in zone_statistics(memory, zone.free) {
        statistic(out, name, value);
    }
    out.text("\n  pagesets\n    cpu: 0");
    for (name, value) in [
        ("count:    ", zone.pcp_count),
        ("high:     ", zone.pcp_high),
        ("batch:    ", zone.pcp_batch),
        ("high_min: ", zone.pcp_high),
        ("high_max: ", zone.pcp_high),
    ] {
        out.text("\n              ");
        out.text(name);
        out.decimal(value.into());
    }
    out.text("\n  node_unreclaimable:  0\n  start_pfn:           ");
    out.decimal(zone.start_pfn);
}

fn statistic(out: &mut Out<'_>, name: &str, value: u64) {
    out.text("\n      ");
    out.left(name, 12);
    out.byte(b' ');
    out.decimal(value);
}

/// `/proc/pagetypeinfo`: free blocks and pageblocks by migrate type, for each zone that has memory.
///
/// # Errors
/// The sink's.
pub fn pagetypeinfo(sink: &mut dyn Sink, zones: &[ZoneEntry]) -> fmt::Result {
    let zones = || zones.iter().filter(|zone| zone.present != 0);
    let names = || MIGRATE_TYPES.into_iter().map(|code| code.name().unwrap_or(UNKNOWN));
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
        for (name, counts) in names().zip(zone.blocks_by_type) {
            out.text("Node ");
            out.decimal_right(zone.node.into(), 4);
            out.text(", zone ");
            out.right(zone_name(zone), 8);
            out.text(", type ");
            out.right(name, 12);
            out.byte(b' ');
            for blocks in counts {
                out.decimal_right(blocks, 6);
                out.byte(b' ');
            }
            out.byte(b'\n');
        }
    }
    out.byte(b'\n');
    out.left("Number of blocks type", 23);
    for name in names() {
        out.right(name, 12);
        out.byte(b' ');
    }
    out.byte(b'\n');
    for zone in zones() {
        head(&mut out, zone);
        out.byte(b' ');
        for blocks in zone.pageblocks {
            out.decimal_right(blocks, 12);
            out.byte(b' ');
        }
        out.byte(b'\n');
    }
    out.finish()
}

/// Migrate types in the order of their codes, which is the order of a zone's counts.
const MIGRATE_TYPES: [MigrateType; snapshot::MIGRATE_TYPES] = [
    MigrateType::Unmovable,
    MigrateType::Movable,
    MigrateType::Reclaimable,
    MigrateType::HighAtomic,
    MigrateType::Isolate,
];

fn zone_name(zone: &ZoneEntry) -> &'static str {
    zone.zone.name().unwrap_or(UNKNOWN)
}

fn head(out: &mut Out<'_>, zone: &ZoneEntry) {
    out.text("Node ");
    out.decimal(zone.node.into());
    out.text(", zone ");
    out.right(zone_name(zone), 8);
}
