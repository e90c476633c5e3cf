//! maps and smaps.

use pagelab_mm::{
    abi::{snapshot::VmaEntry, vm_flags::VmFlags},
    text,
};

use crate::linux::{linux, rendered, values};

/// The strings of a snapshot; id 0 is none.
#[derive(Default)]
struct Strings(Vec<String>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        self.0.push(text.to_owned());
        self.0.len() as u32
    }

    fn get(&self, id: u32) -> Option<&[u8]> {
        self.0.get(id as usize - 1).map(String::as_bytes)
    }
}

/// Reads a line of maps.
fn parse_line(line: &str, strings: &mut Strings) -> VmaEntry {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (start, end) = fields[0].split_once('-').expect("a range");
    let hex = |text| u64::from_str_radix(text, 16).expect("a hexadecimal number");
    let mut bits = VmFlags::empty();
    for (letter, bit) in [('r', VmFlags::READ), ('w', VmFlags::WRITE), ('x', VmFlags::EXEC), ('s', VmFlags::MAYSHARE)] {
        bits.set(bit, fields[1].contains(letter));
    }
    let name = fields.get(5).map_or(0, |_| strings.add(line[73..].trim_start()));
    let (major, minor) = fields[3].split_once(':').expect("a device");
    VmaEntry {
        device: ((hex(major) << 20) | hex(minor)) as u32,
        start: hex(start),
        end: hex(end),
        offset: hex(fields[2]),
        inode: fields[4].parse().expect("an inode number"),
        name,
        bits: bits.bits(),
        ..VmaEntry::default()
    }
}

#[test]
fn maps_are_linux_maps() {
    let mut strings = Strings::default();
    let theirs = linux("/proc/self/maps");
    let vmas: Vec<_> = theirs.lines().map(|line| parse_line(line, &mut strings)).collect();
    assert!(vmas.len() > 5);
    let ours = rendered(|w| text::maps(w, &vmas, &|id| strings.get(id)));
    assert_eq!(ours, theirs);
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
        let mut vma = parse_line(entry[0], &mut strings);
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
        assert_eq!(ours.lines().collect::<Vec<_>>(), std::iter::once(entry[0]).chain(expected).collect::<Vec<_>>());
        compared += 1;
    }
    assert!(compared > 5, "only {compared} mappings could be compared");
}
