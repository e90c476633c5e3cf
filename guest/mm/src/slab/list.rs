//! Lists of slabs, through the `Page`s of their first frames.

use crate::frame::Page;

/// Slabs of one cache that are in the same state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List {
    /// First frame of the first slab; 0 = none.
    pub(super) head: u32,
    /// Slabs in the list.
    pub(super) count: u32,
}

impl List {
    pub(super) const EMPTY: List = List { head: 0, count: 0 };

    /// Puts a slab first.
    #[inline]
    pub(super) fn push(&mut self, pages: &mut [Page], slab: u32) {
        let next = self.head;
        let page = &mut pages[slab as usize];
        (page.next, page.prev) = (next, 0);
        if next != 0 {
            pages[next as usize].prev = slab;
        }
        self.head = slab;
        self.count += 1;
    }

    /// Takes a slab out that is in this list.
    #[inline]
    pub(super) fn remove(&mut self, pages: &mut [Page], slab: u32) {
        let Page { next, prev, .. } = pages[slab as usize];
        if prev == 0 {
            self.head = next;
        } else {
            pages[prev as usize].next = next;
        }
        if next != 0 {
            pages[next as usize].prev = prev;
        }
        self.count -= 1;
    }
}
