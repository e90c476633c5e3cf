//! `/proc/PID/maps` and `/proc/PID/smaps`.

use core::fmt::{self, Write};

use pagelab_abi::{layout::PAGE_SIZE, snapshot::VmaEntry, vm_flags::VmFlags};

use super::kb;

/// Device of the guest's files, major and minor: the initramfs is the only file system. Linux's rootfs has this one.
pub const DEVICE: (u32, u32) = (0, 2);

/// Column in which the path of a `maps` line begins, if what comes before is not longer.
const PATH_COLUMN: usize = 73;

/// Finds the text of a string id.
pub type Names<'a> = dyn Fn(u32) -> Option<&'a str> + 'a;

/// `/proc/PID/maps`.
pub fn maps(w: &mut dyn Write, vmas: &[VmaEntry], name: &Names<'_>) -> fmt::Result {
    vmas.iter().try_for_each(|vma| line(w, vma, name))
}

/// `/proc/PID/smaps`. A CPU without protection keys has no ProtectionKey line, nor has the guest's.
pub fn smaps(w: &mut dyn Write, vmas: &[VmaEntry], name: &Names<'_>) -> fmt::Result {
    vmas.iter().try_for_each(|vma| {
        line(w, vma, name)?;
        fields(w, vma)?;
        flags(w, VmFlags::from_bits_truncate(vma.bits))
    })
}

/// One line of `maps`, which is also the head of an entry of `smaps`.
fn line(w: &mut dyn Write, vma: &VmaEntry, name: &Names<'_>) -> fmt::Result {
    let bits = VmFlags::from_bits_truncate(vma.bits);
    let mark = |bit, letter| if bits.contains(bit) { letter } else { '-' };
    let device = if vma.inode == 0 { (0, 0) } else { DEVICE };
    let mut counted = Counted { inner: w, count: 0 };
    write!(
        counted,
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        vma.start,
        vma.end,
        mark(VmFlags::READ, 'r'),
        mark(VmFlags::WRITE, 'w'),
        mark(VmFlags::EXEC, 'x'),
        if bits.contains(VmFlags::MAYSHARE) { 's' } else { 'p' },
        vma.offset,
        device.0,
        device.1,
        vma.inode,
    )?;
    if let Some(path) = (vma.name != 0).then(|| name(vma.name)).flatten() {
        let padding = PATH_COLUMN.saturating_sub(counted.count).max(1);
        write!(w, "{:padding$}{path}", "")?;
    }
    w.write_char('\n')
}

fn fields(w: &mut dyn Write, vma: &VmaEntry) -> fmt::Result {
    let pages = |pages: u32| kb(u64::from(pages));
    let size = vma.end.saturating_sub(vma.start) / 1024;
    let locked = vma.bits & VmFlags::LOCKED.bits() != 0;
    let table: [(&str, u64); 22] = [
        ("Size:", size),
        ("KernelPageSize:", PAGE_SIZE / 1024),
        ("MMUPageSize:", PAGE_SIZE / 1024),
        ("Rss:", pages(vma.rss)),
        ("Pss:", vma.pss / 1024),
        ("Pss_Dirty:", vma.pss_dirty / 1024),
        ("Shared_Clean:", pages(vma.shared_clean)),
        ("Shared_Dirty:", pages(vma.shared_dirty)),
        ("Private_Clean:", pages(vma.private_clean)),
        ("Private_Dirty:", pages(vma.private_dirty)),
        ("Referenced:", pages(vma.referenced)),
        ("Anonymous:", pages(vma.anonymous)),
        ("KSM:", 0),
        ("LazyFree:", 0),
        ("AnonHugePages:", 0),
        ("ShmemPmdMapped:", 0),
        ("FilePmdMapped:", 0),
        ("Shared_Hugetlb:", 0),
        ("Private_Hugetlb:", 0),
        ("Swap:", pages(vma.swap)),
        ("SwapPss:", pages(vma.swap)),
        ("Locked:", if locked { vma.pss / 1024 } else { 0 }),
    ];
    for (name, value) in table {
        writeln!(w, "{name:<16}{value:>8} kB")?;
    }
    writeln!(w, "{:<16}{:>8}", "THPeligible:", 0)
}

/// Linux prints the mnemonics in the order of its own VM_* bits.
fn flags(w: &mut dyn Write, bits: VmFlags) -> fmt::Result {
    const MNEMONICS: [(VmFlags, &str); 21] = [
        (VmFlags::READ, "rd"),
        (VmFlags::WRITE, "wr"),
        (VmFlags::EXEC, "ex"),
        (VmFlags::SHARED, "sh"),
        (VmFlags::MAYREAD, "mr"),
        (VmFlags::MAYWRITE, "mw"),
        (VmFlags::MAYEXEC, "me"),
        (VmFlags::MAYSHARE, "ms"),
        (VmFlags::GROWSDOWN, "gd"),
        (VmFlags::LOCKED, "lo"),
        (VmFlags::SEQ_READ, "sr"),
        (VmFlags::RAND_READ, "rr"),
        (VmFlags::DONTCOPY, "dc"),
        (VmFlags::LOCKONFAULT, "lf"),
        (VmFlags::ACCOUNT, "ac"),
        (VmFlags::NORESERVE, "nr"),
        (VmFlags::WIPEONFORK, "wf"),
        (VmFlags::DONTDUMP, "dd"),
        (VmFlags::HUGEPAGE, "hg"),
        (VmFlags::NOHUGEPAGE, "nh"),
        (VmFlags::MERGEABLE, "mg"),
    ];
    w.write_str("VmFlags: ")?;
    for (_, mnemonic) in MNEMONICS.iter().filter(|(bit, _)| bits.contains(*bit)) {
        write!(w, "{mnemonic} ")?;
    }
    w.write_char('\n')
}

/// Counts the bytes that pass through.
struct Counted<'a> {
    inner: &'a mut dyn Write,
    count: usize,
}

impl Write for Counted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.count += text.len();
        self.inner.write_str(text)
    }
}
