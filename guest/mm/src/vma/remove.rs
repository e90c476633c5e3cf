//! Taking a VMA out of the set.

use crate::{
    slab::Slot,
    vma::{
        Recent, Slots, VmaSet,
        tree::{is_red, refresh_upwards, side_of},
    },
};

impl VmaSet {
    /// Takes the VMA in `slot` out of the list, the tree and the cache, and gives the slot back.
    pub fn remove<S: Slots>(&mut self, slots: &mut S, slot: Slot) {
        let next = slots.vma(slot).next;
        self.unlink_list(slots, slot);
        let (hole, parent, lost_black) = self.unlink_tree(slots, slot);
        refresh_upwards(slots, parent);
        // Its gap has grown. If the removed VMA had two children, it now stands in its place.
        refresh_upwards(slots, next);
        if lost_black {
            self.balance_after_remove(slots, hole, parent);
        }
        if self.cached == slot {
            self.cached = 0;
        }
        self.recent = Recent::default();
        self.count -= 1;
        slots.free_vma(slot);
    }

    fn unlink_list<S: Slots>(&mut self, slots: &mut S, slot: Slot) {
        let (prev, next) = (slots.vma(slot).prev, slots.vma(slot).next);
        match prev {
            0 => self.first = next,
            _ => slots.vma_mut(prev).next = next,
        }
        match next {
            0 => self.last = prev,
            _ => slots.vma_mut(next).prev = prev,
        }
    }

    /// Takes a node out of the tree. Returns what now stands where a node went missing (0 for nothing), the parent
    /// of that place, and whether the missing node was black.
    fn unlink_tree<S: Slots>(&mut self, slots: &mut S, slot: Slot) -> (Slot, Slot, bool) {
        let old = *slots.vma(slot);
        if old.left == 0 || old.right == 0 {
            let child = old.left | old.right;
            self.replace_child(slots, slot, child);
            return (child, old.parent, !old.is_red());
        }
        // Two children: the next by address, which has no left child, leaves its place and takes this one's.
        let mut heir = old.right;
        while slots.vma(heir).left != 0 {
            heir = slots.vma(heir).left;
        }
        let heir_was_red = slots.vma(heir).is_red();
        let (child, heir_parent) = (slots.vma(heir).right, slots.vma(heir).parent);
        let parent = if heir_parent == slot {
            heir
        } else {
            self.replace_child(slots, heir, child);
            slots.vma_mut(heir).right = old.right;
            slots.vma_mut(old.right).parent = heir;
            heir_parent
        };
        self.replace_child(slots, slot, heir);
        let new = slots.vma_mut(heir);
        new.left = old.left;
        new.subtree_gap = old.subtree_gap;
        new.set_red(old.is_red());
        slots.vma_mut(old.left).parent = heir;
        (child, parent, !heir_was_red)
    }

    /// Restores "every path has as many black nodes": the paths through `node`, a child of `parent`, lack one.
    fn balance_after_remove<S: Slots>(&mut self, slots: &mut S, mut node: Slot, mut parent: Slot) {
        while parent != 0 && !is_red(slots, node) {
            let side = side_of(slots, parent, node);
            // The other side has a black node more than this one, so the sibling exists.
            let mut sibling = slots.vma(parent).child(side.opposite());
            if slots.vma(sibling).is_red() {
                slots.vma_mut(sibling).set_red(false);
                slots.vma_mut(parent).set_red(true);
                self.rotate(slots, parent, side);
                sibling = slots.vma(parent).child(side.opposite());
            }
            let near = slots.vma(sibling).child(side);
            let mut far = slots.vma(sibling).child(side.opposite());
            if !is_red(slots, near) && !is_red(slots, far) {
                slots.vma_mut(sibling).set_red(true);
                node = parent;
                parent = slots.vma(node).parent;
                continue;
            }
            if !is_red(slots, far) {
                slots.vma_mut(near).set_red(false);
                slots.vma_mut(sibling).set_red(true);
                self.rotate(slots, sibling, side.opposite());
                far = sibling;
                sibling = near;
            }
            let parent_red = slots.vma(parent).is_red();
            slots.vma_mut(sibling).set_red(parent_red);
            slots.vma_mut(parent).set_red(false);
            slots.vma_mut(far).set_red(false);
            self.rotate(slots, parent, side);
            return;
        }
        if node != 0 {
            slots.vma_mut(node).set_red(false);
        }
    }
}
