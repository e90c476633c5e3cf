//! Tells the recorder of the guest's memory at both ends of a run: the pages the host has, and the guest's page tables.

use crossbeam_channel::Sender;
use kvm_ioctls::VcpuFd;
use pagelab_abi::layout::PAGE_SHIFT;

use super::config::RunConfig;
use crate::{
    faults::present::present_ranges,
    trace::{Input, RunBound},
    vm::{Ram, tables},
};

/// What of the memory is told, and to whom. A recorder that has died says so itself.
pub(super) struct MemoryTeller {
    ram: Ram,
    sink: Sender<Input>,
    pages: bool,
    tables: bool,
}

impl MemoryTeller {
    /// For a run: the host's pages if a source of host faults is on, the tables if anything is recorded at all.
    pub(super) fn new(config: &RunConfig<'_>, ram: &Ram, sink: Sender<Input>) -> MemoryTeller {
        let pages = !config.sources.host.is_empty();
        MemoryTeller { ram: ram.clone(), sink, pages, tables: pages || config.sources.guest }
    }

    /// Tells which pages of RAM the host has now. Before anything here reads guest memory, or it would be seen too.
    pub(super) fn present(&self, bound: RunBound) {
        if !self.pages {
            return;
        }
        match present_ranges(&self.ram) {
            Ok(ranges) => drop(self.sink.send(Input::Present(bound, ranges))),
            Err(error) => log::warn!("/proc/self/pagemap: {error}; which pages the host has is not recorded"),
        }
    }

    /// Tells what the guest's page tables hold, if its registers lead to any. Where a source is `stuck`, nobody would answer
    /// if a table was read that nobody has touched: it is passed over, which loses nothing, since it is all zeros.
    pub(super) fn page_tables(&self, vcpu: &VcpuFd, stuck: bool) {
        if !self.tables {
            return;
        }
        let cr3 = vcpu.get_sregs().map_err(|error| error.to_string());
        let input = match cr3.and_then(|sregs| tables::cr3(&sregs).map_err(str::to_owned)) {
            Ok(cr3) => {
                let there = if stuck { present_ranges(&self.ram).ok() } else { None };
                let is_there = |gpa: u64| {
                    let pfn = gpa >> PAGE_SHIFT;
                    there.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&pfn)))
                };
                Input::PageTables(tables::read(&self.ram, cr3, is_there))
            }
            Err(reason) => Input::Fact("page_tables", format!("missing: {reason}")),
        };
        let _ = self.sink.send(input);
    }
}
