//! Finding room for a new mapping, in O(log n): the tree knows the largest gap of each subtree.

use crate::{
    slab::Slot,
    vma::{
        Slots, VmaSet,
        tree::{Side, end_of, own_gap, side_of, subtree_gap},
    },
};

impl VmaSet {
    /// The highest address in `low..high` with `length` free bytes, all of them in that range. Keeps the guard gap
    /// below each VMA that grows down.
    pub fn unmapped_area_topdown<S: Slots>(&self, slots: &S, length: u64, low: u64, high: u64) -> Option<u64> {
        if let Some(start) = self.search_start(length, high)
            && let Some(address) = self.highest_fit(slots, start, length, low, high)
        {
            return Some(address);
        }
        // The room that `high` is in, or the first one below it, may be cut short by `high`.
        let above = self.find_in_tree(slots, high).unwrap_or(0);
        if let Some(address) = self.highest_fit(slots, above, length, low, high) {
            return Some(address);
        }
        let node = match above {
            0 if self.last == 0 => return None,
            0 if own_gap(slots, self.last) >= length => self.last,
            0 => next_with_gap(slots, self.last, length, Side::Left)?,
            _ => next_with_gap(slots, above, length, Side::Left)?,
        };
        // If `low` cuts this room too short, all others lie below `low`.
        self.highest_fit(slots, node, length, low, high)
    }

    /// The lowest address in `low..high` with `length` free bytes, all of them in that range. Keeps the guard gap
    /// below each VMA that grows down.
    pub fn unmapped_area_bottomup<S: Slots>(&self, slots: &S, length: u64, low: u64, high: u64) -> Option<u64> {
        let above = self.find_in_tree(slots, low).unwrap_or(0);
        if let Some(address) = self.lowest_fit(slots, above, length, low, high) {
            return Some(address);
        }
        if above == 0 {
            return None;
        }
        let node = next_with_gap(slots, above, length, Side::Right).unwrap_or(0);
        self.lowest_fit(slots, node, length, low, high)
    }

    /// The part of the room right below `node` (0: above the highest VMA) that is in `low..high`.
    fn room<S: Slots>(&self, slots: &S, node: Slot, low: u64, high: u64) -> (u64, u64) {
        let (prev, top) = match node {
            0 => (self.last, high),
            _ => (slots.vma(node).prev, slots.vma(node).start_gap().min(high)),
        };
        (end_of(slots, prev).max(low), top)
    }

    fn highest_fit<S: Slots>(&self, slots: &S, node: Slot, length: u64, low: u64, high: u64) -> Option<u64> {
        let (bottom, top) = self.room(slots, node, low, high);
        top.checked_sub(length).filter(|&address| address >= bottom)
    }

    fn lowest_fit<S: Slots>(&self, slots: &S, node: Slot, length: u64, low: u64, high: u64) -> Option<u64> {
        let (bottom, top) = self.room(slots, node, low, high);
        bottom.checked_add(length).filter(|&end| end <= top).map(|_| bottom)
    }
}

/// The nearest VMA on that side of `node` that has a gap of at least `length` below it.
fn next_with_gap<S: Slots>(slots: &S, mut node: Slot, length: u64, side: Side) -> Option<Slot> {
    loop {
        let child = slots.vma(node).child(side);
        if subtree_gap(slots, child) >= length && child != 0 {
            return Some(first_with_gap(slots, child, length, side.opposite()));
        }
        loop {
            let parent = slots.vma(node).parent;
            if parent == 0 {
                return None;
            }
            let came_from = side_of(slots, parent, node);
            node = parent;
            if came_from != side {
                break;
            }
        }
        if own_gap(slots, node) >= length {
            return Some(node);
        }
    }
}

/// The VMA nearest to that edge of a subtree which has a gap of at least `length` below it. There is one.
fn first_with_gap<S: Slots>(slots: &S, mut node: Slot, length: u64, edge: Side) -> Slot {
    loop {
        let child = slots.vma(node).child(edge);
        if child != 0 && subtree_gap(slots, child) >= length {
            node = child;
        } else if own_gap(slots, node) >= length {
            return node;
        } else {
            node = slots.vma(node).child(edge.opposite());
        }
    }
}
