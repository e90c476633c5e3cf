//! Moving the ends of a VMA in place.

use crate::{
    arena::Slot,
    vma::{Slots, VmaSet, tree::refresh_upwards},
};

impl VmaSet {
    /// Gives the VMA in `slot` new ends. Its page offset follows its start, and the gaps below it and above it are
    /// computed anew. The order of VMAs must stay; an overlap is allowed until the neighbour is resized too.
    pub fn resize<S: Slots>(&mut self, slots: &mut S, slot: Slot, start: u64, end: u64) {
        let vma = slots.vma_mut(slot);
        vma.pgoff = vma.pgoff_at(start);
        (vma.start, vma.end) = (start, end);
        // The next VMA is below this one in the tree, on the right, or above it: one way up passes both.
        let lowest = if vma.right != 0 { vma.next } else { slot };
        refresh_upwards(slots, lowest);
    }
}
