//! Where VMAs are kept: the little that the VMA set needs of its surroundings.

use crate::{context::Context, frame::OutOfMemory, machine::Machine, slab::Slot, trace::Trace, vma::Vma};

/// A store of VMAs. [`crate::context::Context`] is one; tests bring a vector.
pub trait Slots {
    /// The VMA in a slot that is in use.
    fn vma(&self, slot: Slot) -> &Vma;
    /// The VMA in a slot that is in use, writable.
    fn vma_mut(&mut self, slot: Slot) -> &mut Vma;
    /// Puts a VMA into a free slot, which is never 0.
    fn alloc_vma(&mut self, vma: Vma) -> Result<Slot, OutOfMemory>;
    /// Gives a slot back.
    fn free_vma(&mut self, slot: Slot);
}

impl<M: Machine, T: Trace> Slots for Context<M, T> {
    #[inline]
    fn vma(&self, slot: Slot) -> &Vma {
        Context::vma(self, slot)
    }

    #[inline]
    fn vma_mut(&mut self, slot: Slot) -> &mut Vma {
        Context::vma_mut(self, slot)
    }

    fn alloc_vma(&mut self, vma: Vma) -> Result<Slot, OutOfMemory> {
        Context::alloc_vma(self, vma)
    }

    fn free_vma(&mut self, slot: Slot) {
        Context::free_vma(self, slot);
    }
}
