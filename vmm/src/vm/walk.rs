//! A walk of the guest's page tables in host code, for diagnoses. It trusts nothing it reads.

use pagelab_abi::layout::{PAGE_SHIFT, PAGE_SIZE};

use super::memory::Ram;

/// Entry bit 0: present (SDM vol. 3, 4.5).
const PRESENT: u64 = 1 << 0;
/// Bit 7 of a PDPT or PD entry: it maps a page itself.
const HUGE: u64 = 1 << 7;
/// Bits 12-51: the physical address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The guest-physical address behind a guest-virtual one under 4-level paging with this CR3; `None` if it is not
/// mapped, not canonical, or a table lies outside RAM.
pub fn translate(ram: &Ram, cr3: u64, gva: u64) -> Option<u64> {
    let sign = gva as i64 >> 47;
    if sign != 0 && sign != -1 {
        return None;
    }
    let mut table = cr3 & ADDRESS;
    for level in (0..4).rev() {
        let shift = PAGE_SHIFT + 9 * level;
        let index = (gva >> shift) & 0x1ff;
        let entry = ram.read_u64(table + index * 8)?;
        if entry & PRESENT == 0 {
            return None;
        }
        let leaf = level == 0 || (level < 3 && entry & HUGE != 0);
        if leaf {
            let inside = (1u64 << shift) - 1;
            return Some((entry & ADDRESS & !inside) | (gva & inside));
        }
        table = entry & ADDRESS;
    }
    None
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
    use crate::vm::memory::Backing;

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
    }

    #[test]
    fn tables_outside_ram_end_the_walk() {
        let ram = ram_with(&[(0x1000, 0x000f_ffff_ffff_f003)]);
        assert_eq!(translate(&ram, 0x1000, 0), None);
        assert_eq!(translate(&ram, u64::MAX, 0), None);
        assert!(read(&ram, 0x1000, u64::MAX - 3, 16).is_empty());
    }

    #[test]
    fn reads_stop_at_the_first_unmapped_page() {
        let ram = ram_with(&[(0x1000, 0x2003), (0x2000, 0x3003), (0x3000, 0x4003), (0x4000, 0x9003)]);
        ram.write(0x9ffc, b"last").expect("inside RAM");
        assert_eq!(read(&ram, 0x1000, 0xffc, 16), b"last");
    }
}
