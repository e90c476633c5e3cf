//! Tells present pages by /proc/self/pagemap: an independent witness of every copy.

use std::{fs::File, io, os::unix::fs::FileExt};

use pagelab_abi::layout::PAGE_SIZE;

use crate::vm::Ram;

/// Bit 63 of an entry: present (Linux: Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
/// Bit 62: swapped.
const SWAPPED: u64 = 1 << 62;
/// Bytes of address space looked at in one read, a multiple of every backing's unit.
const WINDOW: u64 = PAGE_SIZE << 14;

/// The bits that say that this process holds a page of guest RAM.
pub(super) fn held_bits(ram: &Ram) -> u64 {
    // A file's page that was swapped out has no entry; what looks like one is a marker of userfaultfd.
    if ram.backing().is_file() { PRESENT } else { PRESENT | SWAPPED }
}

/// This process's page map, as far as guest RAM is concerned.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    buffer: Vec<u8>,
    held: u64,
}

impl Pagemap {
    pub(super) fn open(ram: &Ram) -> io::Result<Pagemap> {
        let held = held_bits(ram);
        let buffer = vec![0; (WINDOW / PAGE_SIZE * 8) as usize];
        Ok(Pagemap { file: File::open("/proc/self/pagemap")?, buffer, held })
    }

    /// For each page of the `length` bytes from `start` on, whether this process holds it, in memory or in swap. At most
    /// one of [`Pagemap::windows`].
    pub(super) fn held(&mut self, start: u64, length: u64) -> io::Result<impl Iterator<Item = bool> + Clone> {
        let part = &mut self.buffer[..(length / PAGE_SIZE * 8) as usize];
        self.file.read_exact_at(part, start / PAGE_SIZE * 8)?;
        let (entries, _) = part.as_chunks::<8>();
        let held = self.held;
        Ok(entries.iter().map(move |entry| u64::from_ne_bytes(*entry) & held != 0))
    }

    /// Splits an extent into what one call of [`Pagemap::held`] takes.
    pub(super) fn windows(start: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
        (0..length).step_by(WINDOW as usize).map(move |offset| (start + offset, WINDOW.min(length - offset)))
    }
}

/// Pages of guest RAM that this process holds, in memory or in swap.
pub(super) fn present_pages(ram: &Ram) -> io::Result<u64> {
    let maps = present_map(ram)?;
    Ok(maps.iter().flatten().map(|word| u64::from(word.count_ones())).sum())
}

/// Which pages of guest RAM this process holds, in memory or in swap: a bitmap for each extent.
pub(super) fn present_map(ram: &Ram) -> io::Result<Vec<Vec<u64>>> {
    let mut pagemap = Pagemap::open(ram)?;
    let mut maps = Vec::new();
    for extent in ram.extents() {
        let mut map = vec![0u64; (extent.size / PAGE_SIZE).div_ceil(64) as usize];
        let mut pages = 0..;
        for (start, length) in Pagemap::windows(extent.host, extent.size) {
            for (held, page) in pagemap.held(start, length)?.zip(&mut pages) {
                map[page / 64] |= u64::from(held) << (page % 64);
            }
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

    #[test]
    fn a_huge_page_is_512_pages() {
        for backing in [Backing::TransparentHuge, Backing::Hugetlb2M] {
            let ram = match Ram::new(pagelab_abi::layout::MIN_MEMORY, backing, true) {
                Ok(ram) => ram,
                Err(error) => {
                    eprintln!("skipped: {backing}: {error}");
                    continue;
                }
            };
            ram.write(5 << 20, &[1]).expect("inside RAM");
            let present = present_pages(&ram).expect("pagemap is readable");
            // A host short of memory may give a small page where a transparent huge one was asked for.
            assert!(present == 512 || backing == Backing::TransparentHuge && present == 1, "{backing}: {present}");
        }
    }
}
