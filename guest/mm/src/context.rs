//! What every operation of memory management works on.

use pagelab_abi::vmstat;

use crate::{
    commit::Commit,
    file::FileId,
    frame::{Frames, Gfp, OutOfMemory, Refused},
    kernel_space::KernelSpace,
    machine::{Machine, Pfn},
    slab::{CacheId, Slabs, Slot, typed},
    trace::Trace,
    vma::Vma,
};

/// The machine, the trace, the frame allocator and the counters, passed down together. One lock around it is enough
/// for several CPUs to share it.
pub struct Context<M, T> {
    /// Frames, page-table entries, TLB.
    pub machine: M,
    /// Where events go.
    pub trace: T,
    /// Zones and their buddy allocators.
    pub frames: Frames,
    /// Linux's event counters.
    pub stats: VmStat,
    /// Caches of kernel objects.
    pub slabs: Slabs,
    /// The kernel's own virtual memory.
    pub kernel: KernelSpace,
    /// The frame that every untouched anonymous page reads as; [`Pfn::NONE`] before its first use.
    pub zero_page: Pfn,
    /// What programs were promised.
    pub commit: Commit,
    /// The last request for frames that could not be met, until somebody takes note of it.
    pub refused: Option<Refused>,
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// A context with an allocator that owns no frames yet.
    pub fn new(machine: M, trace: T) -> Self {
        Context {
            machine,
            trace,
            frames: Frames::new(),
            stats: VmStat::default(),
            slabs: Slabs::new(),
            kernel: KernelSpace::new(),
            zero_page: Pfn::NONE,
            commit: Commit::default(),
            refused: None,
        }
    }

    /// The VMA in a live slot.
    #[inline]
    pub fn vma(&self, slot: Slot) -> &Vma {
        typed::get(&self.machine, slot)
    }

    /// The VMA in a live slot, writable.
    #[inline]
    pub fn vma_mut(&mut self, slot: Slot) -> &mut Vma {
        typed::get_mut(&mut self.machine, slot)
    }

    /// Stores a VMA, with a reference to its file.
    ///
    /// # Errors
    /// No frame for its object.
    #[track_caller]
    pub fn alloc_vma(&mut self, vma: Vma) -> Result<Slot, OutOfMemory> {
        let slot = typed::slot_of(self.kmem_cache_alloc(CacheId::VM_AREA_STRUCT, Gfp::KERNEL)?);
        if vma.file != 0 {
            self.get_file(FileId(vma.file));
        }
        *self.vma_mut(slot) = vma;
        Ok(slot)
    }

    /// Forgets a VMA and its reference to its file.
    ///
    /// # Panics
    /// When the slot holds no live VMA: a bug that would corrupt memory if it went on.
    #[track_caller]
    pub fn free_vma(&mut self, slot: Slot) {
        let file = self.vma(slot).file;
        self.free_own(CacheId::VM_AREA_STRUCT, typed::address_of(slot));
        if file != 0 {
            self.put_file(FileId(file));
        }
    }

    /// Gives an object of the kernel's own back.
    ///
    /// # Panics
    /// When it is not one that is handed out: a bug that would corrupt memory if it went on. Damage found around it is
    /// noted, and no more.
    #[inline]
    #[track_caller]
    pub fn free_own(&mut self, cache: CacheId, object: u64) {
        if let Err(error) = self.kmem_cache_free(cache, object) {
            assert!(error.mistake.was_freed(), "{error}");
        }
    }
}

/// The counters of `/proc/vmstat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct VmStat {
    /// Values by [`vmstat::Counter`].
    pub values: [u64; vmstat::COUNT],
}

impl VmStat {
    /// Adds to a counter.
    #[inline]
    pub fn add(&mut self, counter: vmstat::Counter, amount: u64) {
        self.values[counter as usize] += amount;
    }

    /// A counter's value.
    pub fn get(&self, counter: vmstat::Counter) -> u64 {
        self.values[counter as usize]
    }
}
