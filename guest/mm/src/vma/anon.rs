//! The identity of a VMA's anonymous pages: Linux's anon_vma, as far as merging depends on it.

use crate::{
    slab::Slot,
    vma::{Slots, VmFlags, Vma, VmaSet},
};

impl VmaSet {
    /// Gives the VMA in `slot` an anon identity if it has none: to be called before its first anonymous page is
    /// mapped (not for the zero page). A neighbour's identity is reused where the two could merge but for their
    /// access rights, the next one's first, so that a later mprotect can join them.
    #[inline]
    pub fn prepare_anon<S: Slots>(&mut self, slots: &mut S, slot: Slot) {
        if slots.vma(slot).anon == 0 {
            self.choose_anon(slots, slot);
        }
    }

    fn choose_anon<S: Slots>(&mut self, slots: &mut S, slot: Slot) {
        let vma = slots.vma(slot);
        let (prev, next) = (vma.prev, vma.next);
        let anon = if next != 0 && slots.vma(next).anon != 0 && could_share(vma, slots.vma(next)) {
            slots.vma(next).anon
        } else if prev != 0 && slots.vma(prev).anon != 0 && could_share(slots.vma(prev), vma) {
            slots.vma(prev).anon
        } else {
            // Wraps after 2^32 faulted mappings of one process; 0 stays "none".
            self.last_anon = self.last_anon.checked_add(1).unwrap_or(1);
            self.last_anon
        };
        slots.vma_mut(slot).anon = anon;
    }
}

/// Whether two VMAs could be one but for their access rights.
fn could_share(lower: &Vma, upper: &Vma) -> bool {
    lower.end == upper.start
        && lower.file == upper.file
        && lower.pgoff_at(lower.end) == upper.pgoff
        && lower.flags().symmetric_difference(upper.flags()).difference(VmFlags::ACCESS).is_empty()
}
