//! The texts of `/proc`, byte for byte as Linux prints them, made of the snapshots of [`pagelab_abi::snapshot`].
//!
//! The guest kernel renders them for a program that reads `/proc`; the host renders them for the run file. Fields whose
//! subject the guest does not have (LRU lists, protection keys, transparent huge pages' counters ...) are left out where
//! a zero would claim something; the ones printed keep Linux's names, order and column widths.
//! Source: Linux's Documentation/filesystems/proc.rst and the texts of a running Linux, which the tests compare with.

mod maps;
mod memory;
mod status;
mod zones;

pub use maps::{DEVICE, Names, maps, smaps};
pub use memory::{meminfo, vmstat};
pub use status::status;
pub use zones::{buddyinfo, zoneinfo};

use pagelab_abi::layout::PAGE_SIZE;

/// Kilobytes in a number of pages.
const fn kb(pages: u64) -> u64 {
    pages.saturating_mul(PAGE_SIZE / 1024)
}
