//! Taking pages out of the page cache, with the nodes that hold nothing any more, and the end of a file.

use super::{
    FileId,
    cache::{NODE_SHIFT, branch, set_branch, slot, used},
};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    slab::{CacheId, Slot, typed},
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Drops a reference to a file. The last one frees its pages and the file itself.
    ///
    /// # Panics
    /// When the file was let go of before: a bug that would corrupt memory if it went on.
    pub fn put_file(&mut self, id: FileId) {
        let file = self.file_mut(id);
        file.references = file.references.checked_sub(1).expect("a file's references are counted");
        if file.references > 0 {
            return;
        }
        self.drop_pages(id, 0, u64::MAX);
        self.uncharge(self.file(id).promised);
        self.free_own(CacheId::ADDRESS_SPACE, typed::address_of(id.0));
    }

    /// Takes the pages `first..end` out of the cache. Who maps one of them keeps its frame, and no more than that.
    pub(super) fn drop_pages(&mut self, id: FileId, first: u64, end: u64) {
        let file = *self.file(id);
        let capacity = NODE_SHIFT * file.height;
        if file.root == 0 || first >= end || capacity < u64::BITS && first >> capacity != 0 {
            return;
        }
        let emptied = match file.height {
            0 => {
                self.drop_page(id, Pfn(file.root));
                true
            }
            height => self.drop_below(id, file.root, height - 1, 0, first..end),
        };
        if emptied {
            let file = self.file_mut(id);
            (file.root, file.height) = (0, 0);
        }
    }

    /// Drops what a node has of the wanted pages; says whether that was all it had, and it is gone too. `start` is the
    /// number of the first page it can hold.
    fn drop_below(&mut self, id: FileId, node: Slot, level: u32, start: u64, wanted: core::ops::Range<u64>) -> bool {
        let span = 1u64.checked_shl(NODE_SHIFT * level).unwrap_or(u64::MAX);
        let mut index = if wanted.start > start { slot(wanted.start, level) } else { 0 };
        while index < 1 << NODE_SHIFT && used(&self.machine, node) > 0 {
            let branch_start = start.saturating_add(span.saturating_mul(index as u64));
            if branch_start >= wanted.end {
                break;
            }
            let branch = branch(&self.machine, node, index);
            if branch != 0 {
                let gone = if level == 0 {
                    self.drop_page(id, Pfn(branch));
                    true
                } else {
                    self.drop_below(id, branch, level - 1, branch_start, wanted.clone())
                };
                if gone {
                    set_branch(&mut self.machine, node, index, 0);
                }
            }
            index += 1;
        }
        if used(&self.machine, node) > 0 {
            return false;
        }
        self.free_own(CacheId::RADIX_TREE_NODE, typed::address_of(node));
        true
    }

    fn drop_page(&mut self, id: FileId, pfn: Pfn) {
        let page = &mut self.machine.pages_mut()[pfn.index()];
        (page.mapping, page.index, page.private) = (0, 0, 0);
        let file = self.file_mut(id);
        file.cached -= 1;
        let promised = u64::from(file.promises_by_page());
        self.uncharge(promised);
        self.put_frame(pfn).expect("a cached frame is allocated");
    }
}
