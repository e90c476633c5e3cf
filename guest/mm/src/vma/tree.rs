//! The red-black tree's mechanics: sides, colours, rotations, and the largest gap of each subtree.
//!
//! A node's own gap is the free room right below it (a stack's guard gap is not free). It follows from the list, so
//! the list has to be right before a gap is computed. The room above the highest VMA is in no node.

use crate::{
    slab::Slot,
    vma::{Slots, Vma, VmaSet},
};

/// Left or right; the algorithms are written once for both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    #[inline]
    pub(super) fn opposite(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl Vma {
    #[inline]
    pub(super) fn child(&self, side: Side) -> Slot {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    #[inline]
    pub(super) fn set_child(&mut self, side: Side, child: Slot) {
        match side {
            Side::Left => self.left = child,
            Side::Right => self.right = child,
        }
    }

    #[inline]
    pub(super) fn is_red(&self) -> bool {
        self.flags_and_colour & Self::RED != 0
    }

    #[inline]
    pub(super) fn set_red(&mut self, red: bool) {
        self.flags_and_colour = self.flags_and_colour & !Self::RED | if red { Self::RED } else { 0 };
    }
}

/// Whether a node is red; "no node" counts as black.
#[inline]
pub(super) fn is_red<S: Slots>(slots: &S, node: Slot) -> bool {
    node != 0 && slots.vma(node).is_red()
}

/// On which side of `parent` its child `node` is.
#[inline]
pub(super) fn side_of<S: Slots>(slots: &S, parent: Slot, node: Slot) -> Side {
    if slots.vma(parent).left == node { Side::Left } else { Side::Right }
}

/// The free room right below a VMA, in bytes.
#[inline]
pub(super) fn own_gap<S: Slots>(slots: &S, node: Slot) -> u64 {
    let vma = slots.vma(node);
    vma.start_gap().saturating_sub(end_of(slots, vma.prev))
}

/// Where a VMA ends; "no VMA" ends at 0.
#[inline]
pub(super) fn end_of<S: Slots>(slots: &S, node: Slot) -> u64 {
    if node == 0 { 0 } else { slots.vma(node).end }
}

/// The largest gap in a subtree; 0 for none.
#[inline]
pub(super) fn subtree_gap<S: Slots>(slots: &S, node: Slot) -> u64 {
    if node == 0 { 0 } else { slots.vma(node).subtree_gap }
}

/// Recomputes one node's `subtree_gap` from its own gap and its children. Says whether it has changed.
pub(super) fn refresh<S: Slots>(slots: &mut S, node: Slot) -> bool {
    let vma = slots.vma(node);
    let (left, right, old) = (vma.left, vma.right, vma.subtree_gap);
    let gap = own_gap(slots, node).max(subtree_gap(slots, left)).max(subtree_gap(slots, right));
    if gap != old {
        slots.vma_mut(node).subtree_gap = gap;
    }
    gap != old
}

/// Recomputes `subtree_gap` from a node upwards, as far as it changes anything. To be called for each node whose own
/// gap or children have changed. Nothing for "no node".
pub(super) fn refresh_upwards<S: Slots>(slots: &mut S, mut node: Slot) {
    while node != 0 && refresh(slots, node) {
        node = slots.vma(node).parent;
    }
}

impl VmaSet {
    /// Puts `new` (or nothing) where `old` hangs on its parent. `old`'s own links stay as they are.
    pub(super) fn replace_child<S: Slots>(&mut self, slots: &mut S, old: Slot, new: Slot) {
        let parent = slots.vma(old).parent;
        if parent == 0 {
            self.root = new;
        } else {
            let side = side_of(slots, parent, old);
            slots.vma_mut(parent).set_child(side, new);
        }
        if new != 0 {
            slots.vma_mut(new).parent = parent;
        }
    }

    /// Moves `node` down to `side`; its child on the other side, which must exist, takes its place.
    pub(super) fn rotate<S: Slots>(&mut self, slots: &mut S, node: Slot, side: Side) {
        let top = slots.vma(node).child(side.opposite());
        let middle = slots.vma(top).child(side);
        self.replace_child(slots, node, top);
        let old = slots.vma_mut(node);
        old.set_child(side.opposite(), middle);
        old.parent = top;
        let gap = old.subtree_gap;
        if middle != 0 {
            slots.vma_mut(middle).parent = node;
        }
        let new = slots.vma_mut(top);
        new.set_child(side, node);
        new.subtree_gap = gap;
        refresh(slots, node);
    }
}
