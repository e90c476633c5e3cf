//! Taking an address range away from one VMA.

use crate::{
    frame::OutOfMemory,
    slab::Slot,
    vma::{Slots, VmaSet},
};

impl VmaSet {
    /// Takes `start..end`, a part of the VMA in `slot`, out of the set. Only a hole in the middle needs memory, for
    /// the VMA above it; nothing is changed if there is none. Returns whether such a split was needed.
    pub fn carve<S: Slots>(&mut self, slots: &mut S, slot: Slot, start: u64, end: u64) -> Result<bool, OutOfMemory> {
        let whole = *slots.vma(slot);
        match (start > whole.start, end < whole.end) {
            (true, true) => {
                self.split(slots, slot, end)?;
                self.resize(slots, slot, whole.start, start);
                return Ok(true);
            }
            (true, false) => self.resize(slots, slot, whole.start, start),
            (false, true) => self.resize(slots, slot, end, whole.end),
            (false, false) => self.remove(slots, slot),
        }
        Ok(false)
    }
}
