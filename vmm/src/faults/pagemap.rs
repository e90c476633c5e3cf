//! Counts present pages through /proc/self/pagemap: an independent witness of every copy.

use std::{fs::File, io, os::unix::fs::FileExt};

use pagelab_abi::layout::PAGE_SIZE;

use crate::vm::Ram;

/// Bit 63: present; bit 62: swapped (Linux: Documentation/admin-guide/mm/pagemap.rst).
pub(super) const HELD: u64 = 1 << 63 | 1 << 62;
/// Entries read at a time.
const CHUNK: u64 = 1 << 14;

/// Pages of guest RAM that this process holds, in memory or in swap.
pub(super) fn present_pages(ram: &Ram) -> io::Result<u64> {
    let maps = present_map(ram)?;
    Ok(maps.iter().flatten().map(|word| u64::from(word.count_ones())).sum())
}

/// Which pages of guest RAM this process holds, in memory or in swap: a bitmap for each extent.
pub(super) fn present_map(ram: &Ram) -> io::Result<Vec<Vec<u64>>> {
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut buffer = vec![0u8; (CHUNK * 8) as usize];
    let mut maps = Vec::new();
    for extent in ram.extents() {
        let first = extent.host / PAGE_SIZE;
        let end = first + extent.size / PAGE_SIZE;
        let mut map = vec![0u64; (end - first).div_ceil(64) as usize];
        let mut page = first;
        while page < end {
            let part = &mut buffer[..((end - page).min(CHUNK) * 8) as usize];
            pagemap.read_exact_at(part, page * 8)?;
            let (entries, _) = part.as_chunks::<8>();
            for (entry, index) in entries.iter().zip(page - first..) {
                if u64::from_ne_bytes(*entry) & HELD != 0 {
                    map[(index / 64) as usize] |= 1 << (index % 64);
                }
            }
            page += entries.len() as u64;
        }
        maps.push(map);
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    #[test]
    fn counts_what_was_written_and_nothing_else() {
        for backing in [Backing::Anonymous, Backing::Memfd] {
            let ram = Ram::new(pagelab_abi::layout::MIN_MEMORY, backing, true).expect("16 MiB can be mapped");
            assert_eq!(present_pages(&ram).expect("pagemap is readable"), 0, "{backing:?}");
            for page in [0, 7, 4095] {
                ram.write(page * PAGE_SIZE + 5, &[1]).expect("inside RAM");
            }
            assert_eq!(present_pages(&ram).expect("pagemap is readable"), 3, "{backing:?}");
        }
    }
}
