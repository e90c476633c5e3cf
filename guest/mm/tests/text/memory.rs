//! meminfo and vmstat.

use pagelab_mm::{
    abi::{
        code::Zone,
        snapshot::{MemHeader, ZoneEntry},
        vmstat,
    },
    text,
};

use crate::linux::{common_lines, linux, rendered, values};

#[test]
fn meminfo_is_linux_meminfo() {
    let theirs = linux("/proc/meminfo");
    let values = values(&theirs);
    let pages = |name: &str| values[name] / 4;
    let memory = MemHeader {
        managed: pages("MemTotal"),
        free: pages("MemFree"),
        anon: pages("AnonPages"),
        file: pages("Cached"),
        mapped: pages("Mapped"),
        shmem: pages("Shmem"),
        slab: pages("Slab"),
        page_tables: pages("PageTables"),
        kernel_stack: pages("KernelStack"),
        committed: pages("Committed_AS"),
        commit_limit: pages("CommitLimit"),
        locked: pages("Mlocked"),
        slab_reclaimable: pages("SReclaimable"),
        vmalloc: pages("VmallocUsed"),
        ..MemHeader::default()
    };
    let ours = rendered(|w| text::meminfo(w, &memory, &[]));
    let theirs = common_lines(&theirs, &ours);
    let names = |lines: &[&str]| lines.iter().map(|line| line[..16].to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&ours.lines().collect::<Vec<_>>()), names(&theirs), "names and order");
    // Plain counts in the snapshot; the others are of things that this machine has and the guest has not, or computed.
    let same = [
        "MemTotal:",
        "MemFree:",
        "Cached:",
        "Mlocked:",
        "AnonPages:",
        "Mapped:",
        "Shmem:",
        "Slab:",
        "SReclaimable:",
        "SUnreclaim:",
        "KernelStack:",
        "PageTables:",
        "CommitLimit:",
        "Committed_AS:",
        "VmallocTotal:",
        "VmallocUsed:",
        "Hugepagesize:",
        "HugePages_Total:",
    ];
    let mut compared = 0;
    for (ours, theirs) in ours.lines().zip(theirs) {
        if same.iter().any(|name| ours.starts_with(name)) {
            assert_eq!(ours, theirs);
            compared += 1;
        }
        assert_eq!(ours.len(), theirs.len());
    }
    assert_eq!(compared, same.len());
}

#[test]
fn a_machine_with_highmem_tells_it_after_what_is_locked() {
    let memory = MemHeader { ram: 110, managed: 100, free: 50, highmem: 30, highmem_free: 20, ..MemHeader::default() };
    let text = rendered(|w| text::meminfo(w, &memory, &[]));
    assert!(text.contains(
        "Mlocked:               0 kB\nHighTotal:           120 kB\nHighFree:             80 kB\n\
         LowTotal:            280 kB\nLowFree:             120 kB\nSwapTotal:"
    ));
}

#[test]
fn available_memory_keeps_the_watermarks_back() {
    let zone = ZoneEntry { zone: Zone::Dma32, watermark: [10, 20, 30], managed: 5000, ..ZoneEntry::default() };
    let available = |free, file| {
        let memory = MemHeader { free, file, ..MemHeader::default() };
        values(&rendered(|w| text::meminfo(w, &memory, &[zone])))["MemAvailable"] / 4
    };
    assert_eq!(available(1000, 0), 970);
    assert_eq!(available(1000, 100), 970 + 80);
    assert_eq!(available(1000, 10), 970 + 5);
    assert_eq!(available(10, 0), 0);
}

#[test]
fn available_memory_keeps_the_lowmem_reserve_back_as_far_as_the_zone_has_it() {
    let zone =
        |lowmem_reserve, managed| ZoneEntry { watermark: [1, 2, 3], managed, lowmem_reserve, ..ZoneEntry::default() };
    let zones = [zone([0, 70, 80, 90, 90], 1000), zone([0, 0, 0, 500, 500], 100)];
    let memory = MemHeader { free: 1000, ..MemHeader::default() };
    let text = rendered(|w| text::meminfo(w, &memory, &zones));
    assert_eq!(values(&text)["MemAvailable"] / 4, 1000 - (90 + 3) - 100);
}

#[test]
fn every_page_is_on_one_list() {
    let memory = MemHeader { anon: 10, file: 8, shmem: 3, locked: 2, ..MemHeader::default() };
    let text = rendered(|w| text::meminfo(w, &memory, &[]));
    let pages = |name: &str| values(&text)[name] / 4;
    assert_eq!(pages("Inactive(anon)") + pages("Inactive(file)") + pages("Unevictable"), 10 + 8);
    assert_eq!(pages("Inactive"), pages("Inactive(anon)") + pages("Inactive(file)"));
}

#[test]
fn vmstat_has_the_names_of_linux_vmstat_in_its_order() {
    let counters: Vec<u64> = (100..).take(vmstat::COUNT).collect();
    let zones = [ZoneEntry { free: 3, ..ZoneEntry::default() }, ZoneEntry { free: 4, ..ZoneEntry::default() }];
    let ours = rendered(|w| text::vmstat(w, &MemHeader::default(), &zones, &counters));
    let theirs = linux("/proc/vmstat");
    let mut names = theirs.lines().filter_map(|line| line.split(' ').next());
    for line in ours.lines() {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        assert!(names.any(|their| their == name), "not in Linux's vmstat, or in another place: {name}");
        assert!(value.parse::<u64>().is_ok());
    }
    let value = |name: &str| ours.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    for (value_of_counter, name) in (100u64..).zip(vmstat::NAMES) {
        assert_eq!(value(name), Some(value_of_counter), "{name}");
    }
    assert_eq!(value("pswpin"), Some(0), "what is not counted is 0");
    assert!(ours.starts_with("nr_free_pages 7\n"));
}
