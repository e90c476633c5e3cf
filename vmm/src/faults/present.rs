//! Which pages of guest RAM the host has, as ranges: what a run began with and what it ended with.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use pagelab_abi::layout::PAGE_SIZE;

use super::pagemap::held_bits;
use crate::vm::Ram;

/// Entries read at a time.
const CHUNK: u64 = 1 << 14;

/// The frame numbers of the pages that this process holds, in memory or in swap, in rising order.
pub fn present_ranges(ram: &Ram) -> io::Result<Vec<Range<u64>>> {
    let held = held_bits(ram);
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut buffer = vec![0u8; (CHUNK * 8) as usize];
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for extent in ram.extents() {
        let (first, gfn, pages) = (extent.host / PAGE_SIZE, extent.gpa / PAGE_SIZE, extent.size / PAGE_SIZE);
        for done in (0..pages).step_by(CHUNK as usize) {
            let part = &mut buffer[..((pages - done).min(CHUNK) * 8) as usize];
            pagemap.read_exact_at(part, (first + done) * 8)?;
            let (entries, _) = part.as_chunks::<8>();
            for (frame, _) in (gfn + done..).zip(entries).filter(|(_, entry)| u64::from_ne_bytes(**entry) & held != 0) {
                match ranges.last_mut() {
                    Some(last) if last.end == frame => last.end += 1,
                    _ => ranges.push(frame..frame + 1),
                }
            }
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    #[test]
    fn neighbours_are_one_range() {
        let ram = Ram::new(pagelab_abi::layout::MIN_MEMORY, Backing::Anonymous, true).expect("16 MiB can be mapped");
        assert_eq!(present_ranges(&ram).expect("pagemap is readable"), []);
        for page in [3, 4, 5, 9] {
            ram.write(page * PAGE_SIZE, &[1]).expect("inside RAM");
        }
        assert_eq!(present_ranges(&ram).expect("pagemap is readable"), [3..6, 9..10]);
    }
}
