//! All page tables of a guest, as its CR3 leads to them, for the run file. Nothing in them is trusted: tables may lie
//! outside RAM, be shared, or lead back to themselves.

use std::collections::{HashSet, VecDeque};

use kvm_bindings::kvm_sregs;
use pagelab_abi::layout::PAGE_SIZE;

use super::{
    memory::Ram,
    walk::{ENTRIES, LEVELS, Step},
};

/// Entries that are kept: the tables of 4 GiB in small pages. Upper tables come first, so what is cut off are page
/// tables.
pub const MAX_ENTRIES: usize = 1 << 20;

/// CR0: paging (SDM vol. 3, 2.5).
const CR0_PG: u64 = 1 << 31;
/// CR4: five levels of tables.
const CR4_LA57: u64 = 1 << 12;
/// EFER: 64-bit mode is active (SDM vol. 3, 2.2.1).
const EFER_LMA: u64 = 1 << 10;

/// The tables of one address space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageTables {
    /// CR3 as it was.
    pub cr3: u64,
    /// The entries that are not zero, top tables first. A table that several paths lead to is here once a level.
    pub entries: Vec<TableEntry>,
    /// Whether [`MAX_ENTRIES`] cut some off.
    pub truncated: bool,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// The entry in its table.
    pub step: Step,
    /// The first guest-virtual address that leads through it.
    pub gva: u64,
}

impl TableEntry {
    /// Frame number of the table that it is in.
    pub fn table(self) -> u64 {
        self.step.gpa / PAGE_SIZE
    }
}

/// CR3, if the registers say that it leads to tables of four levels; else what they lead to.
pub fn cr3(sregs: &kvm_sregs) -> Result<u64, &'static str> {
    if sregs.cr0 & CR0_PG == 0 {
        Err("paging was off")
    } else if sregs.efer & EFER_LMA == 0 {
        Err("the guest was not in 64-bit mode")
    } else if sregs.cr4 & CR4_LA57 != 0 {
        Err("the guest used tables of five levels")
    } else {
        Ok(sregs.cr3)
    }
}

/// Reads the tables behind CR3, but for those at addresses that are not `there`.
pub fn read(ram: &Ram, cr3: u64, there: impl Fn(u64) -> bool) -> PageTables {
    read_at_most(ram, cr3, MAX_ENTRIES, there)
}

fn read_at_most(ram: &Ram, cr3: u64, limit: usize, there: impl Fn(u64) -> bool) -> PageTables {
    let mut tables = PageTables { cr3, ..PageTables::default() };
    let top = Step { level: LEVELS as u32, gpa: 0, index: 0, entry: cr3 }.target();
    let mut seen = HashSet::from([(LEVELS as u32, top)]);
    let mut waiting = VecDeque::from([(LEVELS as u32, top, 0u64)]);
    while let Some((level, table, base)) = waiting.pop_front() {
        if !there(table) {
            continue;
        }
        let Some(bytes) = ram.read(table, PAGE_SIZE as usize) else { continue };
        let (values, _) = bytes.as_chunks::<8>();
        for (index, value) in (0..ENTRIES).zip(values) {
            let step = Step { level, gpa: table + index * 8, index, entry: u64::from_le_bytes(*value) };
            if step.entry == 0 {
                continue;
            }
            if tables.entries.len() == limit {
                tables.truncated = true;
                return tables;
            }
            let gva = canonical(base + index * step.covers());
            tables.entries.push(TableEntry { step, gva });
            if step.is_present() && !step.is_page() && seen.insert((level - 1, step.target())) {
                waiting.push_back((level - 1, step.target(), gva));
            }
        }
    }
    tables
}

/// The address with bit 47 repeated above it.
fn canonical(gva: u64) -> u64 {
    ((gva << 16).cast_signed() >> 16).cast_unsigned()
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

    fn seen(tables: &PageTables) -> Vec<(u32, u64, u64, u64)> {
        tables.entries.iter().map(|entry| (entry.step.level, entry.table(), entry.step.index, entry.gva)).collect()
    }

    #[test]
    fn every_entry_is_there_with_its_address() {
        let ram = ram_with(&[
            (0x1000, 0x2003),
            (0x1000 + 511 * 8, 0x5003),
            (0x2000, 0x3003),
            (0x3008, 0x60_0083),
            (0x3010, 0x4003),
            (0x4000 + 7 * 8, 0x9003),
            (0x4000 + 8 * 8, 0x9002),
            (0x5000 + 510 * 8, 0x8000_0083),
        ]);
        let tables = read(&ram, 0x1018, |_| true);
        assert_eq!(
            seen(&tables),
            [
                (4, 1, 0, 0),
                (4, 1, 511, 0xffff_ff80_0000_0000),
                (3, 2, 0, 0),
                (3, 5, 510, 0xffff_ffff_8000_0000),
                (2, 3, 1, 0x20_0000),
                (2, 3, 2, 0x40_0000),
                (1, 4, 7, 0x40_7000),
                (1, 4, 8, 0x40_8000),
            ]
        );
        assert!(!tables.truncated);
    }

    #[test]
    fn cycles_and_tables_outside_ram_end() {
        let ram = ram_with(&[(0x1000, 0x1003), (0x1008, 0x000f_ffff_ffff_f003)]);
        // The table is one of each level: two entries each.
        assert_eq!(read(&ram, 0x1000, |_| true).entries.len(), 8);
        assert_eq!(read(&ram, u64::MAX, |_| true), PageTables { cr3: u64::MAX, ..PageTables::default() });
        let cut = read_at_most(&ram, 0x1000, 5, |_| true);
        assert!(cut.truncated && cut.entries.len() == 5);
    }

    #[test]
    fn only_four_levels_are_read() {
        let four = kvm_sregs { cr0: CR0_PG, efer: EFER_LMA, cr3: 0x1000, ..kvm_sregs::default() };
        assert_eq!(cr3(&four), Ok(0x1000));
        assert!(cr3(&kvm_sregs { cr4: CR4_LA57, ..four }).is_err());
        assert!(cr3(&kvm_sregs { efer: 0, ..four }).is_err());
        assert!(cr3(&kvm_sregs { cr0: 0, ..four }).is_err());
    }
}
