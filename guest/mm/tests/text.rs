//! The texts of `/proc` against the ones of the running Linux: its texts are read into snapshots, and what is rendered
//! of those must be the same bytes.

use std::{collections::HashMap, fs};

use pagelab_mm::{
    abi::{
        code::Zone,
        snapshot::{MemHeader, MmHeader, VmaEntry, ZoneEntry},
        vm_flags::VmFlags,
        vmstat,
    },
    text,
};

fn linux(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rendered(render: impl FnOnce(&mut dyn std::fmt::Write) -> std::fmt::Result) -> String {
    let mut text = String::new();
    render(&mut text).expect("a string takes everything");
    text
}

/// `NAME: VALUE kB` lines as numbers.
fn values(text: &str) -> HashMap<&str, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name, value.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

/// The lines of `theirs` whose first word is the first word of a line of `ours`.
fn common_lines<'a>(theirs: &'a str, ours: &str) -> Vec<&'a str> {
    let word = |line: &'_ str| line.split_whitespace().next().map(str::to_owned);
    let known: Vec<_> = ours.lines().map(word).collect();
    theirs.lines().filter(|line| known.contains(&word(line))).collect()
}

/// The strings of a snapshot; id 0 is none.
#[derive(Default)]
struct Strings(Vec<String>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        self.0.push(text.to_owned());
        self.0.len() as u32
    }

    fn get(&self, id: u32) -> Option<&str> {
        self.0.get(id as usize - 1).map(String::as_str)
    }
}

/// Reads a line of maps, and gives it back with the device that the guest's files have.
fn parse_line(line: &str, strings: &mut Strings) -> (VmaEntry, String) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (start, end) = fields[0].split_once('-').expect("a range");
    let hex = |text| u64::from_str_radix(text, 16).expect("a hexadecimal number");
    let mut bits = VmFlags::empty();
    for (letter, bit) in [('r', VmFlags::READ), ('w', VmFlags::WRITE), ('x', VmFlags::EXEC), ('s', VmFlags::MAYSHARE)] {
        bits.set(bit, fields[1].contains(letter));
    }
    let name = fields.get(5).map_or(0, |_| strings.add(line[73..].trim_start()));
    let vma = VmaEntry {
        start: hex(start),
        end: hex(end),
        offset: hex(fields[2]),
        inode: fields[4].parse().expect("an inode number"),
        name,
        bits: bits.bits(),
        ..VmaEntry::default()
    };
    let device = if vma.inode == 0 { "00:00" } else { "00:02" };
    (vma, line.replacen(&format!(" {} ", fields[3]), &format!(" {device} "), 1))
}

#[test]
fn maps_are_linux_maps() {
    let mut strings = Strings::default();
    let (vmas, expected): (Vec<_>, Vec<_>) =
        linux("/proc/self/maps").lines().map(|line| parse_line(line, &mut strings)).unzip();
    assert!(vmas.len() > 5);
    let ours = rendered(|w| text::maps(w, &vmas, &|id| strings.get(id)));
    assert_eq!(ours.lines().collect::<Vec<_>>(), expected);
    assert!(ours.ends_with('\n'));
}

#[test]
fn smaps_are_linux_smaps() {
    const MNEMONICS: [(&str, VmFlags); 12] = [
        ("rd", VmFlags::READ),
        ("wr", VmFlags::WRITE),
        ("ex", VmFlags::EXEC),
        ("sh", VmFlags::SHARED),
        ("mr", VmFlags::MAYREAD),
        ("mw", VmFlags::MAYWRITE),
        ("me", VmFlags::MAYEXEC),
        ("ms", VmFlags::MAYSHARE),
        ("gd", VmFlags::GROWSDOWN),
        ("lo", VmFlags::LOCKED),
        ("ac", VmFlags::ACCOUNT),
        ("nr", VmFlags::NORESERVE),
    ];
    let text = linux("/proc/self/smaps");
    let lines: Vec<&str> = text.lines().collect();
    let mut compared = 0;
    // A mapping begins with a small hexadecimal digit; the fields that follow, with a capital letter.
    for entry in lines.chunk_by(|_, next| next.starts_with(|letter: char| letter.is_ascii_uppercase())) {
        let mut strings = Strings::default();
        let (mut vma, head) = parse_line(entry[0], &mut strings);
        let fields = entry[1..].join("\n");
        let values = values(&fields);
        let pages = |name: &str| u32::try_from(values[name] / 4).expect("a small VMA");
        let flags: Vec<&str> = fields.split("VmFlags: ").nth(1).expect("flags").split_whitespace().collect();
        // What the guest's Linux does not have cannot be compared: special mappings, transparent huge pages.
        if flags.iter().any(|flag| MNEMONICS.iter().all(|(known, _)| known != flag))
            || values["THPeligible"] != 0
            || ["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "KSM", "LazyFree", "KernelPageSize"]
                .iter()
                .any(|name| values[name] != if *name == "KernelPageSize" { 4 } else { 0 })
        {
            continue;
        }
        let bits = MNEMONICS.iter().filter(|(name, _)| flags.contains(name)).map(|(_, bit)| *bit).collect::<VmFlags>();
        vma = VmaEntry {
            bits: bits.bits(),
            rss: pages("Rss"),
            anonymous: pages("Anonymous"),
            shared_clean: pages("Shared_Clean"),
            shared_dirty: pages("Shared_Dirty"),
            private_clean: pages("Private_Clean"),
            private_dirty: pages("Private_Dirty"),
            referenced: pages("Referenced"),
            swap: pages("Swap"),
            pss: values["Pss"] * 1024,
            pss_dirty: values["Pss_Dirty"] * 1024,
            ..vma
        };
        let expected = entry[1..].iter().copied().filter(|line| !line.starts_with("ProtectionKey:"));
        let ours = rendered(|w| text::smaps(w, &[vma], &|id| strings.get(id)));
        assert_eq!(ours.lines().collect::<Vec<_>>(), std::iter::once(&*head).chain(expected).collect::<Vec<_>>());
        compared += 1;
    }
    assert!(compared > 5, "only {compared} mappings could be compared");
}

#[test]
fn status_is_linux_status() {
    let theirs = linux("/proc/self/status");
    let values = values(&theirs);
    let pages = |name: &str| values[name] / 4;
    let mut comm = [0; 16];
    let name = theirs.lines().next().and_then(|line| line.strip_prefix("Name:\t")).expect("a name");
    comm[..name.len()].copy_from_slice(name.as_bytes());
    let mm = MmHeader {
        pid: values["Pid"] as u32,
        comm,
        peak_vm: pages("VmPeak"),
        total_vm: pages("VmSize"),
        locked_vm: pages("VmLck"),
        hiwater_rss: pages("VmHWM"),
        rss_anon: pages("RssAnon"),
        rss_file: pages("RssFile"),
        rss_shmem: pages("RssShmem"),
        data_vm: pages("VmData"),
        stack_vm: pages("VmStk"),
        exec_vm: pages("VmExe") + pages("VmLib"),
        pgtables_bytes: values["VmPTE"] * 1024,
        swap: pages("VmSwap"),
        text_bytes: values["VmExe"] * 1024 - 100,
        ..MmHeader::default()
    };
    let ours = rendered(|w| text::status(w, &mm));
    let theirs = theirs.replace(&format!("Threads:\t{}", values["Threads"]), "Threads:\t1");
    let expected: Vec<String> = common_lines(&theirs, &ours)
        .into_iter()
        .map(|line| if line.starts_with("State:") { "State:\tR (running)".to_owned() } else { line.to_owned() })
        .collect();
    assert_eq!(ours.lines().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 4 + 16 + 1);
}

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
        ..MemHeader::default()
    };
    let ours = rendered(|w| text::meminfo(w, &memory, &[]));
    let theirs = common_lines(&theirs, &ours);
    let names = |lines: &[&str]| lines.iter().map(|line| line[..16].to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&ours.lines().collect::<Vec<_>>()), names(&theirs), "names and order");
    // What is not a plain count in the snapshot, or a thing that this machine has and the guest has not.
    let differs =
        ["MemAvailable", "Buffers", "Swap", "SReclaimable", "SUnreclaim", "KReclaimable", "CommitLimit", "AnonHuge"];
    for (ours, theirs) in ours.lines().zip(theirs) {
        if !differs.iter().any(|name| ours.starts_with(name)) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.len(), theirs.len());
    }
}

#[test]
fn available_memory_keeps_the_watermarks_back() {
    let zone = ZoneEntry { zone: Zone::Dma32, watermark: [10, 20, 30], ..ZoneEntry::default() };
    let available = |free, file| {
        let memory = MemHeader { free, file, ..MemHeader::default() };
        values(&rendered(|w| text::meminfo(w, &memory, &[zone])))["MemAvailable"] / 4
    };
    assert_eq!(available(1000, 0), 970);
    assert_eq!(available(1000, 100), 970 + 80);
    assert_eq!(available(1000, 10), 970 + 5);
    assert_eq!(available(10, 0), 0);
}

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

/// A line without the number at its end.
fn shape(line: &str) -> String {
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
    assert!(ours.starts_with("nr_free_pages 7\n"));
    assert!(ours.ends_with(&format!("oom_kill {}\n", 100 + vmstat::COUNT - 1)));
}
