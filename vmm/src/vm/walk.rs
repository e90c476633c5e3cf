//! A walk of the guest's page tables in host code, for diagnoses. It trusts nothing it reads.

use pagelab_abi::layout::{PAGE_SHIFT, PAGE_SIZE};

use super::memory::Ram;

/// Entry bit 0: present (SDM vol. 3, 4.5).
const PRESENT: u64 = 1 << 0;
/// Bit 7 of a PDPT or PD entry: it maps a page itself.
const HUGE: u64 = 1 << 7;
/// Bits 12-51: the physical address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits of an entry by the letters Linux's and the manuals' dumps have for them. `PS` above the lowest table only.
const FLAGS: [(u64, &str); 8] = [
    (PRESENT, "P"),
    (1 << 1, "W"),
    (1 << 2, "U"),
    (1 << 5, "A"),
    (1 << 6, "D"),
    (HUGE, "PS"),
    (1 << 8, "G"),
    (1 << 63, "NX"),
];

/// Tables on the way to a 4 KiB page.
pub const LEVELS: usize = 4;
/// Entries of a table.
pub const ENTRIES: u64 = 512;
/// What entries are called, from the top table down (SDM vol. 3, 4.5).
pub const NAMES: [&str; LEVELS] = ["PML4E", "PDPTE", "PDE", "PTE"];

/// One entry that a walk meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The level of its table: 4 for the PML4, 1 for a page table.
    pub level: u32,
    /// Guest-physical address of the entry.
    pub gpa: u64,
    /// Its place in its table.
    pub index: u64,
    /// The entry.
    pub entry: u64,
}

impl Step {
    /// What the entry is called.
    pub fn name(self) -> &'static str {
        NAMES[LEVELS - self.level as usize]
    }

    /// Whether it leads on.
    pub fn is_present(self) -> bool {
        self.entry & PRESENT != 0
    }

    /// Whether it maps a page and not a table.
    pub fn is_page(self) -> bool {
        self.is_present() && (self.level == 1 || (self.level < 4 && self.entry & HUGE != 0))
    }

    /// Bytes of address space that it covers.
    pub fn covers(self) -> u64 {
        1 << shift(self.level)
    }

    /// Guest-physical address of the table or page behind it; of no meaning where there is none.
    pub fn target(self) -> u64 {
        // Bits of a large page's address below its size are flags (PAT) or reserved.
        let below = if self.is_page() { self.covers() - 1 } else { 0 };
        self.entry & ADDRESS & !below
    }

    /// Its flags, as `P W U A D PS G NX`.
    pub fn flags(self) -> String {
        let named = FLAGS.iter().filter(|(bit, _)| self.entry & bit != 0 && (*bit != HUGE || self.level > 1));
        named.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
    }
}

/// Bits of an address below those that choose an entry of this level.
fn shift(level: u32) -> u32 {
    PAGE_SHIFT + 9 * (level - 1)
}

/// Whether an address is one under 4-level paging: bits 48-63 repeat bit 47.
pub fn is_canonical(gva: u64) -> bool {
    matches!(gva.cast_signed() >> 47, 0 | -1)
}

/// The entries on the way to a guest-virtual address under 4-level paging with this CR3, from the top table down. The
/// last one maps the page or is not present; fewer if a table lies outside RAM, none if the address is not canonical.
pub fn steps(ram: &Ram, cr3: u64, gva: u64) -> Vec<Step> {
    steps_in(|_, gpa| ram.read_u64(gpa), cr3, gva)
}

/// As [`steps`], through tables that are read by `read`: of a table of this level, the entry at a guest-physical address.
pub fn steps_in(mut read: impl FnMut(u32, u64) -> Option<u64>, cr3: u64, gva: u64) -> Vec<Step> {
    let mut steps = Vec::with_capacity(LEVELS);
    if !is_canonical(gva) {
        return steps;
    }
    let mut table = cr3 & ADDRESS;
    for level in (1..=LEVELS as u32).rev() {
        let index = (gva >> shift(level)) % ENTRIES;
        let gpa = table + index * 8;
        let Some(entry) = read(level, gpa) else { break };
        let step = Step { level, gpa, index, entry };
        steps.push(step);
        if !step.is_present() || step.is_page() {
            break;
        }
        table = step.target();
    }
    steps
}

/// The guest-physical address behind a guest-virtual one under 4-level paging with this CR3; `None` if it is not
/// mapped, not canonical, or a table lies outside RAM.
pub fn translate(ram: &Ram, cr3: u64, gva: u64) -> Option<u64> {
    let last = *steps(ram, cr3, gva).last()?;
    last.is_page().then(|| last.target() | (gva & (last.covers() - 1)))
}

/// Reads up to `length` bytes at a guest-virtual address: as many as are mapped to RAM from there on.
pub fn read(ram: &Ram, cr3: u64, gva: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let Some(at) = gva.checked_add(bytes.len() as u64) else { break };
        let in_page = (PAGE_SIZE - at % PAGE_SIZE) as usize;
        let part = in_page.min(length - bytes.len());
        let Some(found) = translate(ram, cr3, at).and_then(|gpa| ram.read(gpa, part)) else { break };
        bytes.extend_from_slice(&found);
    }
    bytes
}

/// Reads a 64-bit number at a guest-virtual address.
pub fn read_u64(ram: &Ram, cr3: u64, gva: u64) -> Option<u64> {
    let bytes = read(ram, cr3, gva, 8);
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    fn ram_with(entries: &[(u64, u64)]) -> Ram {
        let ram = Ram::new(pagelab_abi::layout::MIN_MEMORY, Backing::Anonymous, false).expect("16 MiB can be mapped");
        for (gpa, value) in entries {
            ram.write(*gpa, &value.to_le_bytes()).expect("inside RAM");
        }
        ram
    }

    #[test]
    fn walks_pages_of_all_three_sizes() {
        let ram = ram_with(&[
            (0x1000, 0x2003),                         // PML4[0] -> PDPT
            (0x2000, 0x3003),                         // PDPT[0] -> PD
            (0x2008, 0x4000_0000 | HUGE | 1),         // PDPT[1]: 1 GiB
            (0x3000, 0x4003),                         // PD[0] -> PT
            (0x3008, 0x60_0000 | HUGE | 1),           // PD[1]: 2 MiB
            (0x4000 + 5 * 8, 0x9000 | (1 << 63) | 1), // PT[5], no-execute
        ]);
        assert_eq!(translate(&ram, 0x1000, 0x5123), Some(0x9123));
        assert_eq!(translate(&ram, 0x1018, 0x5123), Some(0x9123), "CR3's low bits are not part of the address");
        assert_eq!(translate(&ram, 0x1000, 0x20_0456), Some(0x60_0456));
        assert_eq!(translate(&ram, 0x1000, 0x4012_3456), Some(0x4012_3456));
        assert_eq!(translate(&ram, 0x1000, 0x6000), None, "not present");
        assert_eq!(translate(&ram, 0x1000, 0x8000_0000_0000), None, "not canonical");

        let entries = |gva| steps(&ram, 0x1000, gva).iter().map(|step| step.entry).collect::<Vec<_>>();
        assert_eq!(entries(0x5123), [0x2003, 0x3003, 0x4003, 0x9000 | (1 << 63) | 1]);
        assert_eq!(entries(0x6000), [0x2003, 0x3003, 0x4003, 0]);
        assert_eq!(entries(0x4012_3456), [0x2003, 0x4000_0000 | HUGE | 1]);
        assert!(entries(0x8000_0000_0000).is_empty());
        let last = steps(&ram, 0x1000, 0x20_0456)[2];
        assert_eq!((last.name(), last.flags().as_str(), last.covers()), ("PDE", "P PS", 2 << 20));
        let lowest = Step { level: 1, entry: u64::MAX, ..last };
        assert_eq!((lowest.name(), lowest.flags().as_str()), ("PTE", "P W U A D G NX"), "bit 7 is PAT there");
    }

    #[test]
    fn tables_outside_ram_end_the_walk() {
        let ram = ram_with(&[(0x1000, 0x000f_ffff_ffff_f003)]);
        assert_eq!(translate(&ram, 0x1000, 0), None);
        assert_eq!(translate(&ram, u64::MAX, 0), None);
        let first = Step { level: 4, gpa: 0x1000, index: 0, entry: 0x000f_ffff_ffff_f003 };
        assert_eq!(steps(&ram, 0x1000, 0), [first]);
        assert!(steps(&ram, u64::MAX, 0).is_empty());
        assert!(read(&ram, 0x1000, u64::MAX - 3, 16).is_empty());
    }

    #[test]
    fn reads_stop_at_the_first_unmapped_page() {
        let ram = ram_with(&[(0x1000, 0x2003), (0x2000, 0x3003), (0x3000, 0x4003), (0x4000, 0x9003)]);
        ram.write(0x9ffc, b"last").expect("inside RAM");
        assert_eq!(read(&ram, 0x1000, 0xffc, 16), b"last");
    }
}
