//! The page cache: for each file a radix tree of 64-way nodes, which are objects of cache `radix_tree_node`.
//!
//! The tree is as high as its largest page number needs; a file of which only page 0 was touched has no node. A cached
//! page has one reference, the tree's, and knows its place (`Page::mapping` is the file, `Page::index` the page's
//! number). A node is a cache line that says how many of its branches are in use, and four of branches: frame numbers in
//! a lowest node, slots of nodes above.

use pagelab_abi::layout::PAGE_SIZE;
use zerocopy::{transmute_mut, transmute_ref};

use super::FileId;
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory, Page},
    machine::{Machine, Pfn},
    slab::{CacheId, Slot, typed},
    trace::Trace,
};

/// log2 of the branches of a node.
pub(super) const NODE_SHIFT: u32 = 6;
/// Bytes of a node: its head and its branches.
pub(crate) const NODE_SIZE: u32 = 64 + (4 << NODE_SHIFT);

/// A frame as branches.
type Branches = [u32; 1024];
/// Branches in a slot, and so in a node's head.
const HEAD: usize = 16;

/// Frame of a node, and where its head is in that.
#[inline]
const fn place_of(node: Slot) -> (Pfn, usize) {
    (Pfn(node / 64), (node % 64) as usize * HEAD)
}

/// A node's branch; 0 for none.
#[inline]
pub(super) fn branch(machine: &impl Machine, node: Slot, index: usize) -> u32 {
    let (pfn, head) = place_of(node);
    let branches: &Branches = transmute_ref!(machine.frame(pfn));
    branches[head + HEAD + index]
}

/// Sets a node's branch, and counts those in use anew.
#[inline]
pub(super) fn set_branch(machine: &mut impl Machine, node: Slot, index: usize, branch: u32) {
    let (pfn, head) = place_of(node);
    let branches: &mut Branches = transmute_mut!(machine.frame_mut(pfn));
    let old = core::mem::replace(&mut branches[head + HEAD + index], branch);
    branches[head] = branches[head] + u32::from(branch != 0) - u32::from(old != 0);
}

/// How many branches of a node are in use.
#[inline]
pub(super) fn used(machine: &impl Machine, node: Slot) -> u32 {
    let (pfn, head) = place_of(node);
    let branches: &Branches = transmute_ref!(machine.frame(pfn));
    branches[head]
}

/// Why a page of a file cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The file ends before this page.
    PastEnd,
    /// The page is not cached, and there is no frame for it or for a node.
    OutOfMemory,
    /// A page of shared memory may not be promised any more: ENOSPC, or SIGBUS in a fault.
    NoPromise,
}

impl From<OutOfMemory> for ReadError {
    fn from(_: OutOfMemory) -> Self {
        ReadError::OutOfMemory
    }
}

/// Levels of nodes that a tree needs to hold this page.
fn height(index: u64) -> u32 {
    let mut height = 0;
    while NODE_SHIFT * height < u64::BITS && index >> (NODE_SHIFT * height) != 0 {
        height += 1;
    }
    height
}

/// Place of a page's branch in a node of this level (0 is the lowest).
#[inline]
pub(super) const fn slot(index: u64, level: u32) -> usize {
    (index >> (NODE_SHIFT * level)) as usize & ((1 << NODE_SHIFT) - 1)
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// The cached frame of a file's page.
    #[inline]
    pub fn cached(&self, id: FileId, index: u64) -> Option<Pfn> {
        let file = self.file(id);
        if index >= file.pages() || NODE_SHIFT * file.height < u64::BITS && index >> (NODE_SHIFT * file.height) != 0 {
            return None;
        }
        let mut node = file.root;
        for level in (0..file.height).rev() {
            if node == 0 {
                return None;
            }
            node = branch(&self.machine, node, slot(index, level));
        }
        (node != 0).then_some(Pfn(node))
    }

    /// Whether a page of a file is a hole: neither cached nor backed, so that it reads as zeros.
    pub fn is_hole(&self, id: FileId, index: u64) -> bool {
        index.saturating_mul(PAGE_SIZE) >= self.file(id).backed && self.cached(id, index).is_none()
    }

    /// The frame of a file's page, made if it is not cached: read in from the backing, or zeros for a hole. The second
    /// value says whether it was read in, which is a major fault where a fault asks. What the last page has beyond the
    /// end of the file is zeros. The cache keeps the frame; who maps it takes a reference.
    ///
    /// # Errors
    /// [`ReadError`]; the cache holds what it held before.
    #[inline]
    pub fn read_page(&mut self, id: FileId, index: u64) -> Result<(Pfn, bool), ReadError> {
        match self.cached(id, index) {
            Some(pfn) => Ok((pfn, false)),
            None => self.bring_in(id, index, true),
        }
    }

    /// [`Context::read_page`] for who is about to change the page, which is dirty from now on.
    ///
    /// # Errors
    /// [`ReadError`]; the cache holds what it held before.
    pub fn write_page(&mut self, id: FileId, index: u64) -> Result<(Pfn, bool), ReadError> {
        let (pfn, major) = self.read_page(id, index)?;
        self.machine.pages_mut()[pfn.index()].private |= Page::DIRTY;
        Ok((pfn, major))
    }

    /// Puts a page into the cache that is not there: what the backing has, or zeros where it has nothing or is not
    /// wanted.
    pub(super) fn bring_in(&mut self, id: FileId, index: u64, wanted: bool) -> Result<(Pfn, bool), ReadError> {
        let file = *self.file(id);
        if index >= file.pages() {
            return Err(ReadError::PastEnd);
        }
        let place = self.place(id, index)?;
        if file.promises_by_page() {
            self.charge(1, 0).map_err(|_| ReadError::NoPromise)?;
        }
        let offset = index * PAGE_SIZE;
        let length = if wanted { file.backed.saturating_sub(offset).min(PAGE_SIZE) } else { 0 };
        let gfp = if length < PAGE_SIZE { Gfp::HIGHUSER_MOVABLE | Gfp::ZERO } else { Gfp::HIGHUSER_MOVABLE };
        let Ok(pfn) = self.alloc_frame(gfp, file.owner()) else {
            self.uncharge(u64::from(file.promises_by_page()));
            return Err(ReadError::OutOfMemory);
        };
        if length > 0 {
            self.copy_bytes(pfn, 0, file.start + offset, length as usize);
        }
        let pages = self.machine.pages_mut();
        let page = &mut pages[pfn.index()];
        page.mapping = id.0;
        page.index = index as u32;
        let file = self.file_mut(id);
        file.cached += 1;
        match place {
            Some((node, slot)) => set_branch(&mut self.machine, node, slot, pfn.0),
            None => file.root = pfn.0,
        }
        Ok((pfn, length > 0))
    }

    /// Where the tree keeps a page: a slot of a lowest node, or `None` for the root itself. Makes the nodes on the way.
    fn place(&mut self, id: FileId, index: u64) -> Result<Option<(Slot, usize)>, OutOfMemory> {
        let needed = height(index);
        while self.file(id).height < needed {
            self.raise(id, needed)?;
        }
        let file = *self.file(id);
        if file.height == 0 {
            return Ok(None);
        }
        let mut node = file.root;
        if node == 0 {
            node = self.new_node()?;
            self.file_mut(id).root = node;
        }
        for level in (1..file.height).rev() {
            let slot = slot(index, level);
            let lower = branch(&self.machine, node, slot);
            node = if lower == 0 {
                let new = self.new_node()?;
                set_branch(&mut self.machine, node, slot, new);
                new
            } else {
                lower
            };
        }
        Ok(Some((node, slot(index, 0))))
    }

    /// Makes a file's tree one level higher; an empty one as high as needed at once.
    fn raise(&mut self, id: FileId, needed: u32) -> Result<(), OutOfMemory> {
        let root = self.file(id).root;
        if root == 0 {
            self.file_mut(id).height = needed;
            return Ok(());
        }
        let node = self.new_node()?;
        set_branch(&mut self.machine, node, 0, root);
        let file = self.file_mut(id);
        file.root = node;
        file.height += 1;
        Ok(())
    }

    fn new_node(&mut self) -> Result<Slot, OutOfMemory> {
        self.kmem_cache_alloc(CacheId::RADIX_TREE_NODE, Gfp::KERNEL | Gfp::ZERO).map(typed::slot_of)
    }
}

#[cfg(test)]
mod tests {
    use super::{height, slot};

    #[test]
    fn a_tree_is_as_high_as_its_pages_need() {
        let heights = [0, 1, 63, 64, (1 << 12) - 1, 1 << 12, (1 << 18) - 1, 1 << 18, u64::MAX];
        assert_eq!(heights.map(height), [0, 1, 1, 2, 2, 3, 3, 4, 11]);
    }

    #[test]
    fn a_page_has_one_place() {
        let index = (5 << 12) | (6 << 6) | 7;
        assert_eq!([2, 1, 0].map(|level| slot(index, level)), [5, 6, 7]);
    }
}
