//! Putting a VMA into the set.

use crate::{
    slab::Slot,
    vma::{
        Slots, VmaSet,
        tree::{Side, is_red, refresh_upwards, side_of},
    },
};

impl VmaSet {
    /// Puts the VMA in `slot` into the list and the tree. Its range overlaps no other's.
    pub fn insert<S: Slots>(&mut self, slots: &mut S, slot: Slot) {
        let start = slots.vma(slot).start;
        let (mut parent, mut side, mut node) = (0, Side::Left, self.root);
        if self.is_below_recent(slots, start) {
            // Between two neighbours, one of them has room for a child.
            let recent = slots.vma(self.recent.slot);
            (parent, side) = if recent.left == 0 { (self.recent.slot, Side::Left) } else { (recent.prev, Side::Right) };
            node = 0;
        }
        while node != 0 {
            parent = node;
            let vma = slots.vma(node);
            side = if start < vma.start { Side::Left } else { Side::Right };
            node = vma.child(side);
        }
        let (prev, next) = match (parent, side) {
            (0, _) => (0, 0),
            (_, Side::Left) => (slots.vma(parent).prev, parent),
            (_, Side::Right) => (parent, slots.vma(parent).next),
        };
        self.link_list(slots, slot, prev, next);
        let vma = slots.vma_mut(slot);
        // Whatever the new leaf brings is a change to its parents.
        (vma.left, vma.right, vma.parent, vma.subtree_gap) = (0, 0, parent, 0);
        vma.set_red(true);
        if parent == 0 {
            self.root = slot;
        } else {
            slots.vma_mut(parent).set_child(side, slot);
        }
        refresh_upwards(slots, slot);
        refresh_upwards(slots, next);
        self.balance_after_insert(slots, slot);
        self.count += 1;
    }

    fn link_list<S: Slots>(&mut self, slots: &mut S, slot: Slot, prev: Slot, next: Slot) {
        let vma = slots.vma_mut(slot);
        (vma.prev, vma.next) = (prev, next);
        match prev {
            0 => self.first = slot,
            _ => slots.vma_mut(prev).next = slot,
        }
        match next {
            0 => self.last = slot,
            _ => slots.vma_mut(next).prev = slot,
        }
    }

    /// Restores "a red node has black children" upwards from the red node `node`.
    fn balance_after_insert<S: Slots>(&mut self, slots: &mut S, mut node: Slot) {
        loop {
            let parent = slots.vma(node).parent;
            if parent == 0 {
                slots.vma_mut(node).set_red(false);
                return;
            }
            if !slots.vma(parent).is_red() {
                return;
            }
            // A red parent is not the root, so there is a grandparent.
            let grandparent = slots.vma(parent).parent;
            let side = side_of(slots, grandparent, parent);
            let uncle = slots.vma(grandparent).child(side.opposite());
            slots.vma_mut(grandparent).set_red(true);
            if is_red(slots, uncle) {
                slots.vma_mut(parent).set_red(false);
                slots.vma_mut(uncle).set_red(false);
                node = grandparent;
                continue;
            }
            let top = if side_of(slots, parent, node) == side {
                parent
            } else {
                self.rotate(slots, parent, side);
                node
            };
            slots.vma_mut(top).set_red(false);
            self.rotate(slots, grandparent, side.opposite());
            return;
        }
    }
}
