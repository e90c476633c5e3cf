//! The page cache: for each file a radix tree of 512-way nodes, each node a frame of frame numbers.
//!
//! The tree is as high as the file's length needs; a file of one page has no node. A cached page has one reference,
//! the tree's, and knows its place (`Page::mapping` is the file, `Page::index` the page's number).

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};

use super::FileId;
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    trace::Trace,
};

/// log2 of the entries in a node.
const NODE_SHIFT: u32 = 9;

/// Why a page of a file cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The file ends before this page.
    PastEnd,
    /// The page is not cached, and there is no frame for it or for a node.
    OutOfMemory,
}

impl From<OutOfMemory> for ReadError {
    fn from(_: OutOfMemory) -> Self {
        ReadError::OutOfMemory
    }
}

/// Levels of nodes that a file of so many pages needs.
pub(super) fn height(pages: u64) -> u32 {
    let mut height = 0;
    while NODE_SHIFT * height < u64::BITS && pages > 1 << (NODE_SHIFT * height) {
        height += 1;
    }
    height
}

/// Place of a page's branch in a node of this level (0 is the lowest).
#[inline]
const fn slot(index: u64, level: u32) -> usize {
    (index >> (NODE_SHIFT * level)) as usize & ((1 << NODE_SHIFT) - 1)
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// The cached frame of a file's page.
    #[inline]
    pub fn cached(&self, id: FileId, index: u64) -> Option<Pfn> {
        let file = self.file(id);
        if index >= file.pages() {
            return None;
        }
        let mut node = file.root;
        for level in (0..file.height).rev() {
            if node == 0 {
                return None;
            }
            node = self.machine.frame(Pfn(node)).0[slot(index, level)] as u32;
        }
        (node != 0).then_some(Pfn(node))
    }

    /// The frame of a file's page, read in if it is not cached; the second value says whether it was not. What the
    /// last page has beyond the end of the file is zeros. The cache keeps the frame; who maps it takes a reference.
    ///
    /// # Errors
    /// [`ReadError`]; the cache holds what it held before.
    #[inline]
    pub fn read_page(&mut self, id: FileId, index: u64) -> Result<(Pfn, bool), ReadError> {
        match self.cached(id, index) {
            Some(pfn) => Ok((pfn, false)),
            None => self.read_in(id, index).map(|pfn| (pfn, true)),
        }
    }

    fn read_in(&mut self, id: FileId, index: u64) -> Result<Pfn, ReadError> {
        let file = *self.file(id);
        if index >= file.pages() {
            return Err(ReadError::PastEnd);
        }
        let place = self.place(id, index)?;
        let pfn = self.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::File)?;
        let offset = index * PAGE_SIZE;
        let length = (file.length - offset).min(PAGE_SIZE);
        if length < PAGE_SIZE {
            self.machine.zero_frame(pfn);
        }
        self.machine.copy_bytes(pfn, 0, file.start + offset, length as usize);
        let page = &mut self.machine.pages_mut()[pfn.index()];
        page.mapping = id.0;
        page.index = index as u32;
        let file = self.files.get_mut(&mut self.machine, id.0);
        file.cached += 1;
        match place {
            Some((node, slot)) => self.machine.frame_mut(node).0[slot] = u64::from(pfn.0),
            None => file.root = pfn.0,
        }
        Ok(pfn)
    }

    /// Where the tree keeps a page: a slot of a lowest node, or `None` for the root itself. Makes the nodes on the way.
    fn place(&mut self, id: FileId, index: u64) -> Result<Option<(Pfn, usize)>, OutOfMemory> {
        let file = *self.file(id);
        if file.height == 0 {
            return Ok(None);
        }
        let mut node = Pfn(file.root);
        if node == Pfn::NONE {
            node = self.new_node()?;
            self.files.get_mut(&mut self.machine, id.0).root = node.0;
        }
        for level in (1..file.height).rev() {
            let slot = slot(index, level);
            let lower = Pfn(self.machine.frame(node).0[slot] as u32);
            node = if lower == Pfn::NONE {
                let new = self.new_node()?;
                self.machine.frame_mut(node).0[slot] = u64::from(new.0);
                new
            } else {
                lower
            };
        }
        Ok(Some((node, slot(index, 0))))
    }

    fn new_node(&mut self) -> Result<Pfn, OutOfMemory> {
        self.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::PageCacheNode)
    }
}

#[cfg(test)]
mod tests {
    use super::{height, slot};

    #[test]
    fn a_tree_is_as_high_as_its_file_needs() {
        let heights = [0, 1, 2, 512, 513, 1 << 18, (1 << 18) + 1, 1 << 27, (1 << 27) + 1, u64::MAX];
        assert_eq!(heights.map(height), [0, 0, 1, 1, 2, 2, 3, 3, 4, 8]);
    }

    #[test]
    fn a_page_has_one_place() {
        let index = (5 << 18) | (6 << 9) | 7;
        assert_eq!([2, 1, 0].map(|level| slot(index, level)), [5, 6, 7]);
    }
}
