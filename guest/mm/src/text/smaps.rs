//! `/proc/PID/smaps` and `/proc/PID/smaps_rollup`.

use core::fmt;

use pagelab_abi::{layout::PAGE_SIZE, snapshot::VmaEntry, vm_flags::VmFlags};

use super::{Names, Sink, kb, kilobytes, maps::line, out::Out};

/// The fields of an entry, each with the number 0.
static FIELDS: [[u8; kilobytes::LINE]; 22] = kilobytes::lines([
    "Size:",
    "KernelPageSize:",
    "MMUPageSize:",
    "Rss:",
    "Pss:",
    "Pss_Dirty:",
    "Shared_Clean:",
    "Shared_Dirty:",
    "Private_Clean:",
    "Private_Dirty:",
    "Referenced:",
    "Anonymous:",
    "KSM:",
    "LazyFree:",
    "AnonHugePages:",
    "ShmemPmdMapped:",
    "FilePmdMapped:",
    "Shared_Hugetlb:",
    "Private_Hugetlb:",
    "Swap:",
    "SwapPss:",
    "Locked:",
]);

/// The fields of the sum.
static ROLLUP: [[u8; kilobytes::LINE]; 22] = kilobytes::lines([
    "Rss:",
    "Pss:",
    "Pss_Dirty:",
    "Pss_Anon:",
    "Pss_File:",
    "Pss_Shmem:",
    "Shared_Clean:",
    "Shared_Dirty:",
    "Private_Clean:",
    "Private_Dirty:",
    "Referenced:",
    "Anonymous:",
    "KSM:",
    "LazyFree:",
    "AnonHugePages:",
    "ShmemPmdMapped:",
    "FilePmdMapped:",
    "Shared_Hugetlb:",
    "Private_Hugetlb:",
    "Swap:",
    "SwapPss:",
    "Locked:",
]);

/// The mnemonics, in the order of Linux's own VM_* bits.
const MNEMONICS: [(VmFlags, &[u8; 3]); 21] = [
    (VmFlags::READ, b"rd "),
    (VmFlags::WRITE, b"wr "),
    (VmFlags::EXEC, b"ex "),
    (VmFlags::SHARED, b"sh "),
    (VmFlags::MAYREAD, b"mr "),
    (VmFlags::MAYWRITE, b"mw "),
    (VmFlags::MAYEXEC, b"me "),
    (VmFlags::MAYSHARE, b"ms "),
    (VmFlags::GROWSDOWN, b"gd "),
    (VmFlags::LOCKED, b"lo "),
    (VmFlags::SEQ_READ, b"sr "),
    (VmFlags::RAND_READ, b"rr "),
    (VmFlags::DONTCOPY, b"dc "),
    (VmFlags::LOCKONFAULT, b"lf "),
    (VmFlags::ACCOUNT, b"ac "),
    (VmFlags::NORESERVE, b"nr "),
    (VmFlags::WIPEONFORK, b"wf "),
    (VmFlags::DONTDUMP, b"dd "),
    (VmFlags::HUGEPAGE, b"hg "),
    (VmFlags::NOHUGEPAGE, b"nh "),
    (VmFlags::MERGEABLE, b"mg "),
];

/// `/proc/PID/smaps`, or some entries of it. A CPU without protection keys has no ProtectionKey line, nor has the
/// guest's.
///
/// # Errors
/// The sink's.
pub fn smaps(sink: &mut dyn Sink, vmas: &[VmaEntry], name: &Names<'_>) -> fmt::Result {
    let mut out = Out::new(sink);
    for vma in vmas {
        let path = if vma.name == 0 { None } else { name(vma.name) };
        line(&mut out, vma, path);
        kilobytes::put(&mut out, &FIELDS, &fields(vma));
        out.text("THPeligible:           0\nVmFlags: ");
        let bits = VmFlags::from_bits_truncate(vma.bits);
        for (_, mnemonic) in MNEMONICS.iter().filter(|(bit, _)| bits.contains(*bit)) {
            out.bytes(*mnemonic);
        }
        out.byte(b'\n');
    }
    out.finish()
}

fn fields(vma: &VmaEntry) -> [u64; 22] {
    let pages = |pages: u32| kb(u64::from(pages));
    [
        vma.end.saturating_sub(vma.start) / 1024,
        PAGE_SIZE / 1024,
        PAGE_SIZE / 1024,
        pages(vma.rss),
        vma.pss / 1024,
        vma.pss_dirty / 1024,
        pages(vma.shared_clean),
        pages(vma.shared_dirty),
        pages(vma.private_clean),
        pages(vma.private_dirty),
        pages(vma.referenced),
        pages(vma.anonymous),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        pages(vma.swap),
        pages(vma.swap),
        locked(vma) / 1024,
    ]
}

/// The locked part of the proportional set size, in bytes.
fn locked(vma: &VmaEntry) -> u64 {
    if VmFlags::from_bits_truncate(vma.bits).contains(VmFlags::LOCKED) { vma.pss } else { 0 }
}

/// The sum over the entries of smaps, which `smaps_rollup` is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rollup {
    /// First byte of the first VMA.
    start: u64,
    /// First byte after the last.
    end: u64,
    pages: [u64; 8],
    pss: u64,
    pss_dirty: u64,
    pss_anon: u64,
    pss_shmem: u64,
    locked: u64,
    any: bool,
}

impl Rollup {
    /// Adds the next VMA by address.
    pub fn add(&mut self, vma: &VmaEntry) {
        if !self.any {
            self.start = vma.start;
            self.any = true;
        }
        self.end = vma.end;
        let pages = [
            vma.rss,
            vma.shared_clean,
            vma.shared_dirty,
            vma.private_clean,
            vma.private_dirty,
            vma.referenced,
            vma.anonymous,
            vma.swap,
        ];
        for (sum, count) in self.pages.iter_mut().zip(pages) {
            *sum += u64::from(count);
        }
        self.pss += vma.pss;
        self.pss_dirty += vma.pss_dirty;
        self.pss_anon += vma.pss_anon;
        self.pss_shmem += vma.pss_shmem;
        self.locked += locked(vma);
    }
}

/// `/proc/PID/smaps_rollup`. One without any VMA is `00000000-00000000`.
///
/// # Errors
/// The sink's.
pub fn smaps_rollup(sink: &mut dyn Sink, sum: &Rollup) -> fmt::Result {
    let [rss, shared_clean, shared_dirty, private_clean, private_dirty, referenced, anonymous, swap] =
        sum.pages.map(kb);
    let pss_file = sum.pss.saturating_sub(sum.pss_anon).saturating_sub(sum.pss_shmem);
    let mut out = Out::new(sink);
    line(&mut out, &VmaEntry { start: sum.start, end: sum.end, ..VmaEntry::default() }, Some(b"[rollup]"));
    let values = [
        rss,
        sum.pss / 1024,
        sum.pss_dirty / 1024,
        sum.pss_anon / 1024,
        pss_file / 1024,
        sum.pss_shmem / 1024,
        shared_clean,
        shared_dirty,
        private_clean,
        private_dirty,
        referenced,
        anonymous,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        swap,
        swap,
        sum.locked / 1024,
    ];
    kilobytes::put(&mut out, &ROLLUP, &values);
    out.finish()
}
