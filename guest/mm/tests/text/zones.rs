//! buddyinfo and zoneinfo.

use pagelab_mm::{
    abi::{
        code::{Owner, Zone},
        snapshot::{MemHeader, ZoneEntry},
    },
    text,
};

use crate::linux::{linux, rendered};

/// The zones of the running Linux, from its zoneinfo and buddyinfo.
fn zones() -> Vec<ZoneEntry> {
    let buddy = linux("/proc/buddyinfo");
    let text = linux("/proc/zoneinfo");
    text.split("Node ")
        .skip(1)
        .filter_map(|part| {
            let name = part.lines().next()?.split_whitespace().last()?;
            let value = |wanted: &str| {
                let line = part.lines().find(|line| line.trim_start().starts_with(wanted));
                line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(0)
            };
            let mut zone = ZoneEntry {
                zone: Zone::from_name(name)?,
                start_pfn: value("start_pfn:"),
                spanned: value("spanned "),
                present: value("present "),
                managed: value("managed "),
                free: value("pages free "),
                watermark: [value("min "), value("low "), value("high ")],
                ..ZoneEntry::default()
            };
            if let Some(line) = buddy.lines().find(|line| line.contains(&format!(" {name} "))) {
                let counts = line.split_whitespace().skip(4).map(|count| count.parse().expect("a count"));
                zone.free_blocks.iter_mut().zip(counts).for_each(|(blocks, count)| *blocks = count);
            }
            Some(zone)
        })
        .collect()
}

/// A line without its numbers; of a list of numbers only that it is one.
fn shape(line: &str) -> String {
    let line = line.split_once('(').map_or(line, |(before, _)| before);
    line.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_owned()
}

#[test]
fn buddyinfo_is_linux_buddyinfo() {
    let (mut ours, mut theirs) = (String::new(), String::new());
    // Free lists move while they are read: one reading in which nothing did is enough.
    for _ in 0..50 {
        let zones = zones();
        ours = rendered(|w| text::buddyinfo(w, &zones));
        theirs = linux("/proc/buddyinfo");
        if ours == theirs {
            return;
        }
    }
    assert_eq!(ours, theirs);
}

#[test]
fn zoneinfo_has_the_lines_of_linux_zoneinfo_in_its_order() {
    let mut zones = zones();
    zones[0].owned[usize::from(Owner::KernelStack.0)] = 6;
    let ours = rendered(|w| text::zoneinfo(w, &MemHeader::default(), &zones));
    let theirs = linux("/proc/zoneinfo");
    let mut rest = theirs.lines();
    for line in ours.lines() {
        assert!(
            rest.any(|their| shape(their) == shape(line)),
            "not in Linux's zoneinfo, or in another place: {line:?}"
        );
    }
    assert!(ours.contains("\n      nr_kernel_stack 24\n"), "kernel stacks are counted in kilobytes");
}

#[test]
fn zoneinfo_tells_what_zones_keep_and_the_zones_without_memory() {
    let dma = ZoneEntry {
        zone: Zone::Dma,
        present: 10,
        managed: 9,
        watermark: [4, 5, 6],
        lowmem_reserve: [0, 11, 12, 13, 13],
        ..ZoneEntry::default()
    };
    let text = rendered(|w| text::zoneinfo(w, &MemHeader::default(), &[dma]));
    assert!(text.contains("        promo    7\n"));
    assert!(text.contains("        protection: (0, 11, 12, 13, 13)\n"));
    assert!(text.ends_with("Node 0, zone  Movable\n  pages free     0\n        boost    0\n        min      0\n        low      0\n        high     0\n        promo    0\n        spanned  0\n        present  0\n        managed  0\n        cma      0\n        protection: (0, 0, 0, 0, 0)\n"));
    assert_eq!(text.matches("per-node stats").count(), 1);
}

/// What the running Linux's pagetypeinfo counts, in the zones of its zoneinfo. Its CMA is left out.
fn zones_by_type(theirs: &str) -> Vec<ZoneEntry> {
    let mut zones = zones();
    let types = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate"];
    let mut columns = Vec::new();
    for line in theirs.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers = |from: usize| words[from..].iter().map(|word| word.parse().expect("a count"));
        let zone_of = |name: &str| {
            let name = name.trim_end_matches(',');
            zones.iter().position(|zone| zone.zone.name() == Some(name)).expect("a zone of zoneinfo")
        };
        match words.as_slice() {
            ["Number", "of", "blocks", "type", names @ ..] => columns = names.to_vec(),
            ["Node", _, "zone", zone, "type", kind, ..] => {
                let zone = zone_of(zone);
                if let Some(kind) = types.iter().position(|name| name == kind) {
                    numbers(6).zip(&mut zones[zone].blocks_by_type[kind]).for_each(|(count, place)| *place = count);
                }
            }
            ["Node", _, "zone", zone, ..] => {
                let zone = zone_of(zone);
                for (count, name) in numbers(4).zip(&columns) {
                    if let Some(kind) = types.iter().position(|known| known == name) {
                        zones[zone].pageblocks[kind] = count;
                    }
                }
            }
            _ => {}
        }
    }
    zones
}

#[test]
fn pagetypeinfo_is_linux_pagetypeinfo() {
    // Only root may read it.
    let theirs = || std::fs::read_to_string("/proc/pagetypeinfo");
    if theirs().is_err() {
        return;
    }
    // Linux stops counting a list at 100,000 blocks and writes >100000: such a text says less than ours.
    let mut texts = (0..100).map(|_| theirs().expect("it could be read before"));
    let Some(theirs) = texts.find(|text| !text.contains('>')) else { return };
    let ours = rendered(|w| text::pagetypeinfo(w, &zones_by_type(&theirs)));
    // A kernel with CMA has one type more than the guest.
    let column = theirs.lines().find(|line| line.starts_with("Number")).and_then(|line| line.find("         CMA "));
    let without_cma = theirs.lines().filter(|line| !line.contains("type          CMA"));
    let theirs: Vec<String> = without_cma
        .map(|line| match column {
            Some(at) if line.len() > at && !line.contains("type ") || line.starts_with("Number") => {
                let at = column.unwrap_or(line.len());
                format!("{}{}", &line[..at], &line[(at + 13).min(line.len())..])
            }
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs);
}

#[test]
fn each_node_tells_its_own() {
    let zone = |node: u8, zone: Zone, anon: u64| {
        let mut entry =
            ZoneEntry { zone, node, present: 100, managed: 90, free: 10, pcp_high: 7, ..ZoneEntry::default() };
        entry.owned[usize::from(Owner::Anon.0)] = anon;
        entry
    };
    let zones = [zone(0, Zone::Dma, 1), zone(0, Zone::HighMem, 2), zone(1, Zone::Movable, 4)];
    let memory = MemHeader { locked: 1, mapped: 9, ..MemHeader::default() };
    let text = rendered(|w| text::zoneinfo(w, &memory, &zones));
    let nodes: Vec<&str> = text.split("per-node stats").collect();
    assert_eq!(nodes.len(), 3);
    assert!(nodes[1].contains("\n      nr_anon_pages 3\n") && nodes[2].contains("\n      nr_anon_pages 4\n"));
    assert!(nodes[1].contains("\n      nr_mapped    9\n") && nodes[2].contains("\n      nr_mapped    0\n"));
    assert!(text.contains("Node 0, zone  HighMem\n") && text.contains("Node 1, zone  HighMem\n"));
    assert!(text.contains("\n              high:     7\n"));
    assert_eq!(text.matches("\n  pages free     ").count(), 10);
}
