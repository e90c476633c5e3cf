//! The facts of the texts about the machine's memory.

use core::fmt;

use pagelab_abi::{layout::PAGE_SIZE, snapshot::MemHeader};
use pagelab_mm::{
    text::{self, Caller, Sink},
    trace::Trace,
};

use crate::state::Kernel;

/// vm.min_free_kbytes: what the zones' lowest watermarks add up to.
pub(super) fn min_free_kbytes(kernel: &Kernel) -> i64 {
    (kernel.mm.frames.zone_entries(&kernel.mm.machine).map(|zone| zone.watermark[0]).sum::<u64>() * (PAGE_SIZE / 1024))
        as i64
}

/// `/proc/slabinfo`.
pub(super) fn slabinfo(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    text::slabinfo(out, kernel.mm.slabs.entries())
}

/// `/proc/vmallocinfo`: the areas of the kernel's own virtual memory.
pub(super) fn vmallocinfo(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    for area in kernel.mm.areas() {
        let caller =
            kernel.mm.trace.location(area.site).map(|place| Caller::Place { file: place.file(), line: place.line() });
        text::vmallocinfo(out, &area.entry(), caller)?;
    }
    Ok(())
}

impl Kernel {
    /// The machine's memory as a whole.
    pub(crate) fn mem_header(&self) -> MemHeader {
        let usage = &self.process.space.usage;
        MemHeader {
            mapped: usage.rss_file + usage.rss_shmem,
            committed: self.mm.commit.committed,
            commit_limit: self.mm.commit_limit(),
            locked: usage.locked_vm,
            slab_reclaimable: self.mm.slabs.reclaimable_frames(),
            ..self.mm.frames.mem_header()
        }
    }
}
