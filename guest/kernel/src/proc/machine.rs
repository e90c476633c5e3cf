//! The facts of the texts about the machine's memory.

use core::fmt;

use pagelab_abi::{code::Owner, layout::PAGE_SIZE, snapshot::MemHeader};
use pagelab_mm::{
    arena::{Arena, SLOTS_PER_FRAME},
    text::{self, Sink, Slab},
};

use crate::state::Kernel;

/// vm.min_free_kbytes: what the zones' lowest watermarks add up to.
pub(super) fn min_free_kbytes(kernel: &Kernel) -> i64 {
    (kernel.mm.frames.zone_entries().map(|zone| zone.watermark[0]).sum::<u64>() * (PAGE_SIZE / 1024)) as i64
}

/// `/proc/slabinfo`: the arenas, under the names of Linux's caches for the same things.
pub(super) fn slabinfo(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    fn arena<T>(name: &'static str, arena: &Arena<T>) -> Slab {
        Slab {
            name,
            active: arena.live().into(),
            object_size: PAGE_SIZE / u64::from(SLOTS_PER_FRAME),
            objects_per_slab: SLOTS_PER_FRAME.into(),
            slabs: arena.frames().into(),
        }
    }
    let nodes = kernel.mm.frames.owned(Owner::PageCacheNode);
    let caches = [
        arena("inode_cache", &kernel.mm.files),
        Slab { name: "radix_tree_node", active: nodes, object_size: PAGE_SIZE, objects_per_slab: 1, slabs: nodes },
        arena("vm_area_struct", &kernel.mm.vmas),
    ];
    text::slabinfo(out, &caches)
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
            ..self.mm.frames.mem_header()
        }
    }
}
