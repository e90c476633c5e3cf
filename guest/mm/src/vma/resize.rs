//! Moving the ends of a VMA in place.

use crate::{
    slab::Slot,
    vma::{Recent, Slots, VmaSet, tree::refresh_upwards},
};

impl VmaSet {
    /// Gives the VMA in `slot` new ends. Its page offset follows its start, and the gaps below it and above it are
    /// computed anew. The order of VMAs must stay; an overlap is allowed until the neighbour is resized too.
    pub fn resize<S: Slots>(&mut self, slots: &mut S, slot: Slot, start: u64, end: u64) {
        let vma = slots.vma_mut(slot);
        let (old_start, old_end, next) = (vma.start, vma.end, vma.next);
        vma.pgoff = vma.pgoff_at(start);
        (vma.start, vma.end) = (start, end);
        if start > old_start || end < old_end {
            self.recent = Recent::default();
        }
        if start != old_start {
            refresh_upwards(slots, slot);
        }
        if end != old_end {
            refresh_upwards(slots, next);
        }
    }
}
