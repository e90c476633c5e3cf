//! Texts that were taken from a Linux and written down, and what they must come of.

use pagelab_mm::{
    abi::{snapshot::VmaEntry, vm_flags::VmFlags},
    text::{self, Rollup},
};

use crate::linux::rendered;

/// Two mappings of one program: its text, and a heap of which one page was touched.
const SMAPS: &str = "\
00400000-00402000 r-xp 00001000 fe:00 247030                             /usr/bin/a\\012b
Size:                  8 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   8 kB
Pss:                   6 kB
Pss_Dirty:             0 kB
Shared_Clean:          4 kB
Shared_Dirty:          0 kB
Private_Clean:         4 kB
Private_Dirty:         0 kB
Referenced:            8 kB
Anonymous:             0 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:                0 kB
THPeligible:           0
VmFlags: rd ex mr mw me 
7fffffbde000-7ffffffff000 rw-p 00000000 00:00 0                          [heap]
Size:               4228 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   4 kB
Pss:                   4 kB
Pss_Dirty:             4 kB
Shared_Clean:          0 kB
Shared_Dirty:          0 kB
Private_Clean:         0 kB
Private_Dirty:         4 kB
Referenced:            4 kB
Anonymous:             4 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:                4 kB
THPeligible:           0
VmFlags: rd wr mr mw me lo ac 
";

const ROLLUP: &str = "\
00400000-7ffffffff000 ---p 00000000 00:00 0                              [rollup]
Rss:                  12 kB
Pss:                  10 kB
Pss_Dirty:             4 kB
Pss_Anon:              4 kB
Pss_File:              6 kB
Pss_Shmem:             0 kB
Shared_Clean:          4 kB
Shared_Dirty:          0 kB
Private_Clean:         4 kB
Private_Dirty:         4 kB
Referenced:           12 kB
Anonymous:             4 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:                4 kB
";

fn vmas() -> [VmaEntry; 2] {
    let rights = VmFlags::READ | VmFlags::MAY;
    [
        VmaEntry {
            start: 0x40_0000,
            end: 0x40_2000,
            offset: 0x1000,
            inode: 247_030,
            device: 0xfe << 20,
            name: 1,
            bits: (rights | VmFlags::EXEC).bits(),
            rss: 2,
            shared_clean: 1,
            private_clean: 1,
            referenced: 2,
            pss: 4096 + 2048,
            ..VmaEntry::default()
        },
        VmaEntry {
            start: 0x7fff_ffbd_e000,
            end: 0x7fff_ffff_f000,
            name: 2,
            bits: (rights | VmFlags::WRITE | VmFlags::ACCOUNT | VmFlags::LOCKED).bits(),
            rss: 1,
            private_dirty: 1,
            referenced: 1,
            anonymous: 1,
            pss: 4096,
            pss_dirty: 4096,
            pss_anon: 4096,
            ..VmaEntry::default()
        },
    ]
}

#[test]
fn smaps_and_its_sum() {
    let name = |id| Some(if id == 1 { &b"/usr/bin/a\nb"[..] } else { b"[heap]" });
    assert_eq!(rendered(|w| text::smaps(w, &vmas(), &name)), SMAPS);
    let mut sum = Rollup::default();
    vmas().iter().for_each(|vma| sum.add(vma));
    assert_eq!(rendered(|w| text::smaps_rollup(w, &sum)), ROLLUP);
    let heads = SMAPS.lines().filter(|line| line.contains('-') && !line.contains(':') || line.contains("p 0"));
    let maps: String = heads.flat_map(|line| [line, "\n"]).collect();
    assert_eq!(rendered(|w| text::maps(w, &vmas(), &name)), maps);
}

#[test]
fn a_number_wider_than_its_column_makes_the_line_longer() {
    let vma = VmaEntry { start: 0x1000, end: 0x7000_0000_0000, ..VmaEntry::default() };
    let text = rendered(|w| text::smaps(w, &[vma], &|_| None));
    assert!(text.starts_with("00001000-700000000000 ---p 00000000 00:00 0 \nSize:           120259084284 kB\n"));
    assert!(text.contains("\nKernelPageSize:        4 kB\n"));
}

#[test]
fn an_empty_address_space_has_a_sum() {
    let text = rendered(|w| text::smaps_rollup(w, &Rollup::default()));
    assert!(
        text.starts_with("00000000-00000000 ---p 00000000 00:00 0                                  [rollup]\nRss:")
    );
}
