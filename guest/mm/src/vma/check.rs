//! Whether a VMA set is what it claims to be. For tests and the simulator: it visits everything and panics.

use crate::{
    slab::Slot,
    vma::{
        Slots, VmaSet,
        tree::{end_of, own_gap},
    },
};

impl VmaSet {
    /// Checks the list, the tree, the gaps, the count and the cache.
    ///
    /// # Panics
    /// If any of them is wrong.
    pub fn check<S: Slots>(&self, slots: &S) {
        let (mut slot, mut prev, mut count) = (self.first, 0, 0);
        while slot != 0 {
            let vma = slots.vma(slot);
            assert!(vma.start < vma.end && vma.start.is_multiple_of(4096) && vma.end.is_multiple_of(4096), "{vma:x?}");
            assert!(end_of(slots, prev) <= vma.start, "overlap or wrong order at {:#x}", vma.start);
            assert_eq!(vma.prev, prev, "back link at {:#x}", vma.start);
            prev = slot;
            slot = vma.next;
            count += 1;
        }
        assert_eq!(self.last, prev, "last of the list");
        assert_eq!(self.count, count, "count");
        let mut expected = self.first;
        self.check_subtree(slots, self.root, 0, &mut expected);
        assert_eq!(expected, 0, "the list is longer than the tree");
        if self.root != 0 {
            assert!(!slots.vma(self.root).is_red(), "red root");
        }
        self.check_recent(slots);
        if self.cached != 0 {
            let cached = slots.vma(self.cached);
            assert_eq!(self.find_in_tree(slots, cached.start), Some(self.cached), "stale cache");
        }
    }

    /// Visits a subtree in order, following the list along. Returns its black height and its largest gap.
    fn check_subtree<S: Slots>(&self, slots: &S, node: Slot, parent: Slot, expected: &mut Slot) -> (u32, u64) {
        if node == 0 {
            return (1, 0);
        }
        let vma = slots.vma(node);
        assert_eq!(vma.parent, parent, "parent of {:#x}", vma.start);
        assert!(!(vma.is_red() && parent != 0 && slots.vma(parent).is_red()), "red under red at {:#x}", vma.start);
        let (left_height, left_gap) = self.check_subtree(slots, vma.left, node, expected);
        assert_eq!(*expected, node, "list and tree disagree at {:#x}", vma.start);
        *expected = vma.next;
        let (right_height, right_gap) = self.check_subtree(slots, vma.right, node, expected);
        assert_eq!(left_height, right_height, "black height at {:#x}", vma.start);
        let gap = own_gap(slots, node).max(left_gap).max(right_gap);
        assert_eq!(vma.subtree_gap, gap, "gap at {:#x}", vma.start);
        (left_height + u32::from(!vma.is_red()), gap)
    }
}
