//! What every operation of memory management works on.

use pagelab_abi::{code::Owner, vmstat};

use crate::{
    arena::{Arena, Slot},
    commit::Commit,
    file::{FileId, Files},
    frame::{Frames, Gfp, OutOfMemory, Refused},
    kernel_space::KernelSpace,
    machine::{Machine, Pfn},
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
    /// The VMAs of all processes.
    pub vmas: Arena<Vma>,
    /// The files that can be mapped.
    pub files: Files,
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
            vmas: Arena::new(),
            files: Files::new(),
            kernel: KernelSpace::new(),
            zero_page: Pfn::NONE,
            commit: Commit::default(),
            refused: None,
        }
    }

    /// The VMA in a live slot.
    #[inline]
    pub fn vma(&self, slot: Slot) -> &Vma {
        self.vmas.get(&self.machine, slot)
    }

    /// The VMA in a live slot, writable.
    #[inline]
    pub fn vma_mut(&mut self, slot: Slot) -> &mut Vma {
        self.vmas.get_mut(&mut self.machine, slot)
    }

    /// Stores a VMA, with a reference to its file; takes a frame when the arena has no room.
    #[track_caller]
    pub fn alloc_vma(&mut self, vma: Vma) -> Result<Slot, OutOfMemory> {
        if self.vmas.is_full() {
            let frame = self.alloc_frame(Gfp::KERNEL, Owner::Slab)?;
            self.vmas.add_frame(&mut self.machine, frame);
        }
        if vma.file != 0 {
            self.get_file(FileId(vma.file));
        }
        self.vmas.insert(&mut self.machine, vma).ok_or(OutOfMemory)
    }

    /// Forgets a VMA and its reference to its file, and gives its frame back when it was the last in it and other frames
    /// have room.
    ///
    /// # Panics
    /// When the slot holds no live VMA: a bug that would corrupt memory if it went on.
    #[track_caller]
    pub fn free_vma(&mut self, slot: Slot) {
        let file = self.vma(slot).file;
        let emptied = self.vmas.remove(&mut self.machine, slot).expect("a VMA is freed once");
        if let Some(frame) = emptied {
            self.free_frames(frame, 0).expect("the arena's frames are its own");
        }
        if file != 0 {
            self.put_file(FileId(file));
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
