//! buddyinfo and zoneinfo.

use pagelab_mm::{
    abi::{
        code::Zone,
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
    let memory =
        MemHeader { anon: 1, file: 2, mapped: 3, slab: 4, page_tables: 5, kernel_stack: 6, ..MemHeader::default() };
    let ours = rendered(|w| text::zoneinfo(w, &memory, &zones()));
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

/// The running Linux's text, with every run of digits that is not part of a word made 0.
fn without_numbers(text: &str) -> Vec<String> {
    let blank = |line: &str| {
        let words = line.split_inclusive(' ').map(|word| {
            let number = word.trim_end();
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                word.replace(|letter: char| letter.is_ascii_digit(), "#")
            } else {
                word.to_owned()
            }
        });
        words.collect::<String>().replace("# ", "  ").replace('#', " ")
    };
    text.lines().map(blank).collect()
}

#[test]
fn pagetypeinfo_has_the_lines_of_linux_pagetypeinfo() {
    let zones = zones();
    let ours = without_numbers(&rendered(|w| text::pagetypeinfo(w, &zones)));
    // Only root may read it.
    let Ok(theirs) = std::fs::read_to_string("/proc/pagetypeinfo") else { return };
    let theirs: Vec<String> = without_numbers(&theirs).into_iter().filter(|line| !line.contains("CMA")).collect();
    assert_eq!(ours, theirs);
}
