//! Cutting one VMA into several.

use crate::{
    arena::Slot,
    frame::OutOfMemory,
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

    /// Makes `start..end`, a part of the VMA in `slot`, a VMA of its own. Nothing is changed if memory runs out.
    pub fn isolate<S: Slots>(&mut self, slots: &mut S, slot: Slot, start: u64, end: u64) -> Result<Slot, OutOfMemory> {
        let whole = *slots.vma(slot);
        let above = if end < whole.end { Some(self.split(slots, slot, end)?) } else { None };
        if start == whole.start {
            return Ok(slot);
        }
        self.split(slots, slot, start).inspect_err(|_| {
            if let Some(above) = above {
                self.remove(slots, above);
                self.resize(slots, slot, whole.start, whole.end);
            }
        })
    }
}
