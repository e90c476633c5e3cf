//! Cutting one VMA into several.

use crate::{
    frame::OutOfMemory,
    slab::Slot,
    vma::{Slots, VmaSet},
};

impl VmaSet {
    /// Cuts the VMA in `slot` at `at`, an address inside it. The lower part keeps the slot; returns the upper one.
    pub fn split<S: Slots>(&mut self, slots: &mut S, slot: Slot, at: u64) -> Result<Slot, OutOfMemory> {
        let mut upper = *slots.vma(slot);
        upper.pgoff = upper.pgoff_at(at);
        let start = upper.start;
        upper.start = at;
        let upper = slots.alloc_vma(upper)?;
        // In this order no gap opens for a moment, which would be told to the whole tree.
        self.insert(slots, upper);
        self.resize(slots, slot, start, at);
        Ok(upper)
    }
}
