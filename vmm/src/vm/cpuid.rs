//! The fixed CPU model that ring 3 sees: x86-64-v2 (SSE4.2), and nothing whose use would differ from host to host.
//!
//! It is shaped like Intel's Nehalem, the last generation before XSAVE: a program that asks finds a coherent CPU
//! (vendor, family, caches), and FXSAVE state is all there is to switch. Leaves are those of SDM vol. 2, CPUID.

use pagelab_abi::boot::CpuidLeaf;

/// The brand string of the model, as leaves 0x80000002 to 0x80000004 give it.
pub const BRAND: &str = "pagelab x86-64-v2 virtual CPU";

/// Highest basic leaf of the model.
const MAX_BASIC: u32 = 0xd;
/// Highest extended leaf of the model.
const MAX_EXTENDED: u32 = 0x8000_0008;

/// Leaf 1 EAX: family 6, model 1Ah (Nehalem), stepping 5.
const SIGNATURE: u32 = 0x0001_06a5;
/// Leaf 1 EBX: CLFLUSH line of 8 quadwords, one logical processor, APIC id 0.
const LINE_AND_COUNT: u32 = (8 << 8) | (1 << 16);
/// Leaf 1 ECX: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT, and bit 31, "runs under a hypervisor".
const FEATURES_ECX: u32 = 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 31;
/// Leaf 1 EDX: FPU, PSE, TSC, MSR, PAE, CX8, PGE, CMOV, PAT, CLFSH, MMX, FXSR, SSE, SSE2.
const FEATURES_EDX: u32 = 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 13
    | 1 << 15
    | 1 << 16
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// Leaf 2: no descriptors but "see leaf 4" (FFh) and 64-byte prefetching (F0h); AL is 1, "read once".
const DESCRIPTORS: u32 = 0x00f0_ff01;
/// Leaf 0x80000001 ECX: LAHF and SAHF in 64-bit mode.
const EXTENDED_ECX: u32 = 1;
/// Leaf 0x80000001 EDX: SYSCALL, NX, long mode.
const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 29;
/// Leaf 0x80000008 EAX: 40 physical and 48 linear address bits.
const ADDRESS_BITS: u32 = 40 | 48 << 8;

/// One cache as leaf 4 describes it.
struct Cache {
    /// 1 data, 2 instruction, 3 unified.
    kind: u32,
    level: u32,
    ways: u32,
    sets: u32,
    inclusive: bool,
}

/// 32 KiB + 32 KiB, 256 KiB, 8 MiB; lines of 64 bytes.
const CACHES: [Cache; 4] = [
    Cache { kind: 1, level: 1, ways: 8, sets: 64, inclusive: false },
    Cache { kind: 2, level: 1, ways: 4, sets: 128, inclusive: false },
    Cache { kind: 3, level: 2, ways: 8, sets: 512, inclusive: false },
    Cache { kind: 3, level: 3, ways: 16, sets: 8192, inclusive: true },
];

fn leaf(leaf: u32, answer: [u32; 4]) -> CpuidLeaf {
    subleaf(leaf, CpuidLeaf::ANY, answer)
}

fn subleaf(leaf: u32, subleaf: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> CpuidLeaf {
    CpuidLeaf { leaf, subleaf, eax, ebx, ecx, edx }
}

/// Four bytes of text as CPUID packs them.
fn word(text: &[u8], index: usize) -> u32 {
    let byte = |offset| u32::from(text.get(index * 4 + offset).copied().unwrap_or(0));
    byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
}

/// Every leaf of the model. What is not listed answers zeros.
pub fn model() -> Vec<CpuidLeaf> {
    let vendor = b"GenuineIntel";
    let mut leaves = vec![
        // The vendor goes by EBX, EDX, ECX.
        leaf(0, [MAX_BASIC, word(vendor, 0), word(vendor, 2), word(vendor, 1)]),
        leaf(1, [SIGNATURE, LINE_AND_COUNT, FEATURES_ECX, FEATURES_EDX]),
        leaf(2, [DESCRIPTORS, 0, 0, 0]),
    ];
    for (index, cache) in CACHES.iter().enumerate() {
        let eax = cache.kind | cache.level << 5 | 1 << 8;
        let ebx = 63 | (cache.ways - 1) << 22;
        leaves.push(subleaf(4, index as u32, [eax, ebx, cache.sets - 1, u32::from(cache.inclusive) << 1]));
    }
    // The end of leaf 4's list.
    leaves.push(subleaf(4, CACHES.len() as u32, [0; 4]));
    // Structured features, topology, XSAVE: none.
    leaves.extend([leaf(7, [0; 4]), leaf(0xb, [0; 4]), leaf(0xd, [0; 4])]);
    leaves.push(leaf(0x8000_0000, [MAX_EXTENDED, 0, 0, 0]));
    leaves.push(leaf(0x8000_0001, [0, 0, EXTENDED_ECX, EXTENDED_EDX]));
    for part in 0..3 {
        let words = std::array::from_fn(|index| word(BRAND.as_bytes(), part * 4 + index));
        leaves.push(leaf(0x8000_0002 + part as u32, words));
    }
    leaves.push(leaf(0x8000_0005, [0; 4]));
    // L2: 256 KiB, 8-way (code 6), lines of 64 bytes.
    leaves.push(leaf(0x8000_0006, [0, 0, 256 << 16 | 6 << 12 | 64, 0]));
    // The TSC runs at a constant rate in all states.
    leaves.push(leaf(0x8000_0007, [0, 0, 0, 1 << 8]));
    leaves.push(leaf(0x8000_0008, [ADDRESS_BITS, 0, 0, 0]));
    leaves
}

#[cfg(test)]
mod tests {
    use pagelab_abi::boot::MAX_CPUID;

    use super::*;

    fn find(number: u32) -> CpuidLeaf {
        *model().iter().find(|leaf| leaf.leaf == number).expect("the model has this leaf")
    }

    #[test]
    fn fits_the_boot_info_without_repeating_itself() {
        let model = model();
        assert!(model.len() <= MAX_CPUID);
        let mut keys: Vec<_> = model.iter().map(|leaf| (leaf.leaf, leaf.subleaf)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), model.len());
        assert!(model.iter().all(|leaf| leaf.leaf <= MAX_BASIC || (0x8000_0000..=MAX_EXTENDED).contains(&leaf.leaf)));
    }

    #[test]
    fn text_leaves_spell_vendor_and_brand() {
        let zero = find(0);
        let vendor: Vec<u8> = [zero.ebx, zero.edx, zero.ecx].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(vendor, b"GenuineIntel");
        let brand: Vec<u8> = (0x8000_0002..=0x8000_0004)
            .flat_map(|number| {
                let leaf = find(number);
                [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
            })
            .flat_map(u32::to_le_bytes)
            .collect();
        assert_eq!(String::from_utf8_lossy(&brand).trim_end_matches('\0'), BRAND);
        assert!(BRAND.len() < 48);
    }

    #[test]
    fn caches_have_the_sizes_of_their_geometry() {
        let size = |cache: &Cache| cache.ways * cache.sets * 64;
        assert_eq!(CACHES.iter().map(size).collect::<Vec<_>>(), [32 << 10, 32 << 10, 256 << 10, 8 << 20]);
    }

    #[test]
    fn offers_no_state_beyond_fxsave() {
        let features = find(1).ecx;
        for (bit, name) in [(26, "XSAVE"), (27, "OSXSAVE"), (28, "AVX"), (30, "RDRAND")] {
            assert_eq!(features & 1 << bit, 0, "{name}");
        }
        assert_eq!(find(7).ebx & 1 << 9, 0, "ERMS");
        assert_eq!(find(7).edx & 1 << 4, 0, "FSRM");
    }
}
