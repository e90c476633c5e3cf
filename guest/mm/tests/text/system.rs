//! Texts about the system: cpuinfo, slabinfo, mounts, uptime, stat.

use pagelab_mm::{
    abi::{boot::CpuidLeaf, snapshot::CacheEntry},
    text::{self, Mount},
};

use crate::linux::{linux, rendered};

#[test]
fn slabinfo_has_the_columns_of_linux_slabinfo() {
    let mut name = [0; 32];
    name[..14].copy_from_slice(b"vm_area_struct");
    let cache = CacheEntry {
        name,
        active_objects: 70,
        objects: 122,
        active_slabs: 2,
        slabs: 2,
        object_size: 64,
        objects_per_slab: 61,
        pages_per_slab: 1,
        limit: 120,
        batch: 60,
        reclaimable: 0,
    };
    let ours = rendered(|w| text::slabinfo(w, [cache]));
    let expected = "slabinfo - version: 2.1\n\
        # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> \
        <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n\
        vm_area_struct        70    122     64   61    1 : tunables  120   60    0 : slabdata      2      2      0\n";
    assert_eq!(ours, expected);
    // Only root may read it.
    let Ok(theirs) = std::fs::read_to_string("/proc/slabinfo") else { return };
    assert_eq!(theirs.lines().take(2).collect::<Vec<_>>(), expected.lines().take(2).collect::<Vec<_>>());
    let theirs = theirs.lines().find(|line| line.starts_with("vm_area_struct ")).expect("Linux has VMAs");
    assert_eq!(theirs.find(" : tunables"), ours.lines().nth(2).and_then(|line| line.find(" : tunables")));
}

#[test]
fn uptime_has_two_digits_after_the_point() {
    assert_eq!(rendered(|w| text::uptime(w, 61_059_999_999)), "61.05 0.00\n");
    assert_eq!(rendered(|w| text::uptime(w, 0)), "0.00 0.00\n");
}

#[test]
fn system_stat_has_lines_of_linux_stat_in_its_order() {
    let ours = rendered(|w| text::system_stat(w, 123, 946_684_800, 1));
    let theirs = linux("/proc/stat");
    let columns = |line: &str| line.split(' ').count();
    let mut rest = theirs.lines();
    for line in ours.lines() {
        let name = line.split(' ').next();
        let their = rest.find(|their| their.split(' ').next() == name);
        let their = their.unwrap_or_else(|| panic!("not in Linux's stat, or in another place: {line:?}"));
        assert!(line.starts_with("intr") || columns(line) == columns(their), "{line:?} and {their:?}");
    }
    assert!(ours.starts_with("cpu  123 0 "));
}

#[test]
fn mounts_tell_the_same_twice() {
    let mount = Mount { source: "proc", target: "/proc", kind: "proc", options: "rw,relatime", minor: 21 };
    let root = Mount { source: "rootfs", target: "/", kind: "rootfs", options: "rw", minor: 2 };
    assert_eq!(
        rendered(|w| text::mounts(w, &[root, mount])),
        "rootfs / rootfs rw 0 0\nproc /proc proc rw,relatime 0 0\n"
    );
    assert_eq!(
        rendered(|w| text::mountinfo(w, &[root, mount])),
        "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 0:21 / /proc rw,relatime - proc proc rw\n"
    );
}

#[test]
fn a_uuid_is_of_version_4() {
    assert_eq!(rendered(|w| text::uuid(w, [0xff; 16])), "ffffffff-ffff-4fff-bfff-ffffffffffff\n");
}

#[test]
fn cpuinfo_is_made_of_the_leaves_and_has_the_lines_of_linux_cpuinfo() {
    let leaf = |leaf, [eax, ebx, ecx, edx]: [u32; 4]| CpuidLeaf { leaf, subleaf: CpuidLeaf::ANY, eax, ebx, ecx, edx };
    let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
    let model = [
        leaf(0, [0xd, word(b"Genu"), word(b"ntel"), word(b"ineI")]),
        leaf(1, [0x0001_06a5, 8 << 8, 1 | 1 << 20, 1 | 1 << 26]),
        leaf(4, [0x163, 15 << 22 | 63, 8191, 0]),
        leaf(0x8000_0001, [0, 0, 1, 1 << 11 | 1 << 20 | 1 << 29]),
        leaf(0x8000_0002, [word(b"a CP"), word(b"U\0\0\0"), 0, 0]),
        leaf(0x8000_0007, [0, 0, 0, 1 << 8]),
        leaf(0x8000_0008, [40 | 48 << 8, 0, 0, 0]),
    ];
    let ours = rendered(|w| text::cpuinfo(w, &model));
    for line in [
        "vendor_id\t: GenuineIntel",
        "cpu family\t: 6",
        "model\t\t: 26",
        "model name\t: a CPU",
        "stepping\t: 5",
        "cache size\t: 8192 KB",
        "cpuid level\t: 13",
        "flags\t\t: fpu sse2 syscall nx lm constant_tsc nonstop_tsc cpuid pni sse4_2 lahf_lm",
        "clflush size\t: 64",
        "address sizes\t: 40 bits physical, 48 bits virtual",
    ] {
        assert!(ours.lines().any(|our| our == line), "{line:?} in\n{ours}");
    }
    let theirs = linux("/proc/cpuinfo");
    let name = |line: &str| line.split(':').next().map(str::to_owned);
    let mut rest = theirs.lines().map(name);
    for line in ours.lines() {
        assert!(rest.any(|their| their == name(line)), "not in Linux's cpuinfo, or in another place: {line:?}");
    }
}
