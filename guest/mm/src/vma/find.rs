//! Looking a VMA up by address.

use pagelab_abi::code::VmaIndex;

use crate::{
    slab::Slot,
    vma::{Slots, VmaSet},
};

impl VmaSet {
    /// The first VMA that ends above `address`: the one that contains it, or else the next one above it.
    #[inline]
    pub fn find<S: Slots>(&mut self, slots: &S, address: u64) -> Option<Slot> {
        if self.cached != 0 && slots.vma(self.cached).contains(address) {
            return Some(self.cached);
        }
        match self.index {
            VmaIndex::Tree => self.find_in_tree(slots, address),
            VmaIndex::List => self.find_in_list(slots, address),
            _ if self.is_below_recent(slots, address) => Some(self.recent.slot),
            _ => {
                let found = self.find_in_tree(slots, address)?;
                if slots.vma(found).start <= address {
                    self.cached = found;
                }
                Some(found)
            }
        }
    }

    /// The VMA that contains `address`.
    #[inline]
    pub fn containing<S: Slots>(&mut self, slots: &S, address: u64) -> Option<Slot> {
        self.find(slots, address).filter(|&slot| slots.vma(slot).start <= address)
    }

    /// The first VMA that has a byte in `start..end`.
    pub fn find_intersection<S: Slots>(&mut self, slots: &S, start: u64, end: u64) -> Option<Slot> {
        self.find(slots, start).filter(|&slot| slots.vma(slot).start < end)
    }

    /// The VMAs that a range without any mapping lies between (0 for none): the last below, the first above.
    pub fn neighbours<S: Slots>(&mut self, slots: &S, start: u64) -> (Slot, Slot) {
        match self.find(slots, start) {
            Some(next) => (slots.vma(next).prev, next),
            None => (self.last, 0),
        }
    }

    /// [`VmaSet::find`] by the list alone.
    fn find_in_list<S: Slots>(&self, slots: &S, address: u64) -> Option<Slot> {
        let mut slot = self.first;
        while slot != 0 {
            let vma = slots.vma(slot);
            if vma.end > address {
                return Some(slot);
            }
            slot = vma.next;
        }
        None
    }

    /// [`VmaSet::find`] without the cache.
    pub(super) fn find_in_tree<S: Slots>(&self, slots: &S, address: u64) -> Option<Slot> {
        let (mut node, mut best) = (self.root, 0);
        while node != 0 {
            let vma = slots.vma(node);
            if vma.end > address {
                best = node;
                if vma.start <= address {
                    break;
                }
                node = vma.left;
            } else {
                node = vma.right;
            }
        }
        (best != 0).then_some(best)
    }
}
