//! The texts of `/proc`, byte for byte as Linux 6.12 prints them, made of the snapshots of [`pagelab_abi::snapshot`].
//!
//! The guest kernel renders them for a program that reads `/proc`; the host renders them for the run file. What the guest
//! does not have (swap, transparent huge pages, protection keys ...) is as in a Linux built or booted without it: a 0
//! where Linux prints one, no line where it prints none.
//! Source: Linux's Documentation/filesystems/proc.rst and the texts of a running Linux, which the tests compare with.

mod cpu;
mod kilobytes;
mod limits;
mod maps;
mod memory;
mod out;
mod slabs;
mod smaps;
mod stat;
mod status;
mod system;
mod task;
mod vmalloc;
mod vmstat;
mod zones;

pub use cpu::cpuinfo;
pub use limits::limits;
pub use maps::{Names, maps};
pub use memory::meminfo;
pub use out::Sink;
pub use slabs::slabinfo;
pub use smaps::{Rollup, smaps, smaps_rollup};
pub use stat::{stat, statm};
pub use status::status;
pub use system::{
    HOSTNAME, Mount, RELEASE, VERSION, loadavg, mask, mountinfo, mounts, number, system_stat, uptime, uuid, version,
};
pub use task::{Signals, Task};
pub use vmalloc::{Caller, vmallocinfo};
pub use vmstat::vmstat;
pub use zones::{buddyinfo, pagetypeinfo, zoneinfo};

use pagelab_abi::layout::PAGE_SIZE;

/// Kilobytes in a number of pages.
pub(crate) const fn kb(pages: u64) -> u64 {
    pages.saturating_mul(PAGE_SIZE / 1024)
}
