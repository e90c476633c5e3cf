//! Reading and writing objects word by word, at their addresses in the direct map.

use pagelab_abi::layout::PAGE_OFFSET;

use crate::machine::{Machine, Pfn};

/// Frame and word of an address.
#[inline(always)]
const fn place(address: u64) -> (Pfn, usize) {
    let physical = address - PAGE_OFFSET;
    (Pfn::of_address(physical), (physical >> 3) as usize & 511)
}

/// The word at a direct-map address, a multiple of 8.
#[inline(always)]
pub fn load(machine: &impl Machine, address: u64) -> u64 {
    let (pfn, word) = place(address);
    machine.frame(pfn).0[word]
}

/// Writes the word at a direct-map address, a multiple of 8.
#[inline(always)]
pub fn store(machine: &mut impl Machine, address: u64, value: u64) {
    let (pfn, word) = place(address);
    machine.frame_mut(pfn).0[word] = value;
}

/// Fills `words` words with a value.
pub fn fill(machine: &mut impl Machine, mut address: u64, mut words: u64, value: u64) {
    while words > 0 {
        let (pfn, word) = place(address);
        let here = words.min(512 - word as u64);
        machine.frame_mut(pfn).0[word..word + here as usize].fill(value);
        address += 8 * here;
        words -= here;
    }
}

/// Copies `words` words, the lowest first.
pub fn copy(machine: &mut impl Machine, mut to: u64, mut from: u64, mut words: u64) {
    while words > 0 {
        let (pfn, word) = place(to);
        let here = words.min(512 - word as u64);
        machine.copy_bytes(pfn, 8 * word, from - PAGE_OFFSET, 8 * here as usize);
        (to, from) = (to + 8 * here, from + 8 * here);
        words -= here;
    }
}
