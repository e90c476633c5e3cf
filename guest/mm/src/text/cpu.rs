//! `/proc/cpuinfo`: the CPU model that ring 3 sees.

use core::fmt;

use pagelab_abi::boot::CpuidLeaf;

use super::{Sink, out::Out};

/// Megahertz and bogomips: the guest's clock is logical, and these are only there for programs that look.
const SPEED: &str = "cpu MHz\t\t: 1000.000\n";
const BOGOMIPS: &str = "bogomips\t: 2000.00\n";

/// Names of the bits of leaf 1 EDX, in Linux's order; an empty one has no name.
const LEAF_1_EDX: [&str; 32] = [
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov",
    "pat", "pse36", "pn", "clflush", "", "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe",
];
/// Of leaf 1 ECX. OSXSAVE has none.
const LEAF_1_ECX: [&str; 32] = [
    "pni",
    "pclmulqdq",
    "dtes64",
    "monitor",
    "ds_cpl",
    "vmx",
    "smx",
    "est",
    "tm2",
    "ssse3",
    "cid",
    "sdbg",
    "fma",
    "cx16",
    "xtpr",
    "pdcm",
    "",
    "pcid",
    "dca",
    "sse4_1",
    "sse4_2",
    "x2apic",
    "movbe",
    "popcnt",
    "tsc_deadline_timer",
    "aes",
    "xsave",
    "",
    "avx",
    "f16c",
    "rdrand",
    "hypervisor",
];
/// Of leaf 80000001h EDX, as far as they are not the same as those of leaf 1.
const EXTENDED_EDX: [(u32, &str); 8] = [
    (11, "syscall"),
    (19, "mp"),
    (20, "nx"),
    (22, "mmxext"),
    (25, "fxsr_opt"),
    (26, "pdpe1gb"),
    (27, "rdtscp"),
    (29, "lm"),
];
/// Of leaf 80000001h ECX.
const EXTENDED_ECX: [(u32, &str); 4] = [(0, "lahf_lm"), (1, "cmp_legacy"), (5, "abm"), (6, "sse4a")];
/// What Linux adds for a TSC of a constant rate.
const INVARIANT_TSC: &str = "constant_tsc nonstop_tsc ";

/// `/proc/cpuinfo` for the one CPU, from the leaves that answer its CPUID.
///
/// # Errors
/// The sink's.
pub fn cpuinfo(sink: &mut dyn Sink, model: &[CpuidLeaf]) -> fmt::Result {
    let leaf = |number: u32| {
        let found = model.iter().find(|leaf| leaf.leaf == number);
        found.map_or([0; 4], |leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
    };
    let [max, vendor @ ..] = leaf(0);
    let [signature, misc, ecx, edx] = leaf(1);
    let [_, _, extended_ecx, extended_edx] = leaf(0x8000_0001);
    let (family, model_number, stepping) = identity(signature);
    let mut out = Out::new(sink);
    out.text("processor\t: 0\nvendor_id\t: ");
    for register in [vendor[0], vendor[2], vendor[1]] {
        out.bytes(&register.to_le_bytes());
    }
    number(&mut out, "\ncpu family\t: ", family);
    number(&mut out, "\nmodel\t\t: ", model_number);
    out.text("\nmodel name\t: ");
    for part in 0x8000_0002..=0x8000_0004 {
        for register in leaf(part) {
            for byte in register.to_le_bytes() {
                if byte != 0 {
                    out.byte(byte);
                }
            }
        }
    }
    number(&mut out, "\nstepping\t: ", stepping);
    out.byte(b'\n');
    out.text(SPEED);
    number(&mut out, "cache size\t: ", last_cache_kb(model));
    out.text(
        " KB\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\napicid\t\t: 0\ninitial apicid\t: 0\n",
    );
    number(&mut out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: ", max);
    out.text("\nwp\t\t: yes\nflags\t\t: ");
    let mut separator = "";
    let mut flag = |name: &str| {
        if !name.is_empty() {
            out.text(separator);
            out.text(name.trim_end());
            separator = " ";
        }
    };
    (0..32).filter(|bit| edx >> bit & 1 != 0).for_each(|bit: usize| flag(LEAF_1_EDX[bit]));
    EXTENDED_EDX.iter().filter(|(bit, _)| extended_edx >> bit & 1 != 0).for_each(|(_, name)| flag(name));
    if leaf(0x8000_0007)[3] >> 8 & 1 != 0 {
        flag(INVARIANT_TSC);
    }
    flag("cpuid");
    (0..32).filter(|bit| ecx >> bit & 1 != 0).for_each(|bit: usize| flag(LEAF_1_ECX[bit]));
    EXTENDED_ECX.iter().filter(|(bit, _)| extended_ecx >> bit & 1 != 0).for_each(|(_, name)| flag(name));
    out.text("\nbugs\t\t:\n");
    out.text(BOGOMIPS);
    let line = (misc >> 8 & 0xff) * 8;
    number(&mut out, "clflush size\t: ", line);
    number(&mut out, "\ncache_alignment\t: ", line);
    let [addresses, ..] = leaf(0x8000_0008);
    number(&mut out, "\naddress sizes\t: ", addresses & 0xff);
    number(&mut out, " bits physical, ", addresses >> 8 & 0xff);
    out.text(" bits virtual\npower management:\n\n");
    out.finish()
}

fn number(out: &mut Out<'_>, before: &str, value: u32) {
    out.text(before);
    out.decimal(value.into());
}

/// Family, model and stepping of a signature (SDM vol. 2, CPUID leaf 1).
fn identity(signature: u32) -> (u32, u32, u32) {
    let base = signature >> 8 & 0xf;
    let family = if base == 0xf { base + (signature >> 20 & 0xff) } else { base };
    let model = signature >> 4 & 0xf;
    let model = if base == 6 || base == 0xf { model | (signature >> 12 & 0xf0) } else { model };
    (family, model, signature & 0xf)
}

/// Size of the largest cache that leaf 4 describes.
fn last_cache_kb(model: &[CpuidLeaf]) -> u32 {
    let size = |leaf: &CpuidLeaf| {
        let field = |shift: u32, mask: u32| u64::from((leaf.ebx >> shift & mask) + 1);
        (field(22, 0x3ff) * field(12, 0x3ff) * field(0, 0xfff) * (u64::from(leaf.ecx) + 1) / 1024) as u32
    };
    model.iter().filter(|leaf| leaf.leaf == 4 && leaf.eax & 0x1f != 0).map(size).max().unwrap_or(0)
}
