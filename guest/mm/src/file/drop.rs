//! Taking pages out of the page cache, with the nodes that hold nothing any more, and the end of a file.

use super::{
    FileId,
    cache::{NODE_SHIFT, slot},
};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::Trace,
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Drops a reference to a file. The last one frees its pages and the file itself.
    ///
    /// # Panics
    /// When the file was let go of before: a bug that would corrupt memory if it went on.
    pub fn put_file(&mut self, id: FileId) {
        let file = self.files.get_mut(&mut self.machine, id.0);
        file.references = file.references.checked_sub(1).expect("a file's references are counted");
        if file.references > 0 {
            return;
        }
        self.drop_pages(id, 0, u64::MAX);
        self.uncharge(self.file(id).promised);
        let emptied = self.files.remove(&mut self.machine, id.0).expect("a file is freed once");
        if let Some(frame) = emptied {
            self.free_frames(frame, 0).expect("the arena's frames are its own");
        }
    }

    /// Takes the pages `first..end` out of the cache. Who maps one of them keeps its frame, and no more than that.
    pub(super) fn drop_pages(&mut self, id: FileId, first: u64, end: u64) {
        let file = *self.file(id);
        let capacity = NODE_SHIFT * file.height;
        if file.root == 0 || first >= end || capacity < u64::BITS && first >> capacity != 0 {
            return;
        }
        let root = Pfn(file.root);
        let emptied = match file.height {
            0 => {
                self.drop_page(id, root);
                true
            }
            height => self.drop_below(id, root, height - 1, 0, first..end),
        };
        if emptied {
            let file = self.files.get_mut(&mut self.machine, id.0);
            (file.root, file.height) = (0, 0);
        }
    }

    /// Drops what a node has of the wanted pages; says whether that was all it had, and it is gone too. `start` is the
    /// number of the first page it can hold.
    fn drop_below(&mut self, id: FileId, node: Pfn, level: u32, start: u64, wanted: core::ops::Range<u64>) -> bool {
        let span = 1u64.checked_shl(NODE_SHIFT * level).unwrap_or(u64::MAX);
        let mut index = if wanted.start > start { slot(wanted.start, level) } else { 0 };
        while index < 1 << NODE_SHIFT && self.machine.pages()[node.index()].private > 0 {
            let branch_start = start.saturating_add(span.saturating_mul(index as u64));
            if branch_start >= wanted.end {
                break;
            }
            let branch = Pfn(self.machine.frame(node).0[index] as u32);
            if branch != Pfn::NONE {
                let gone = if level == 0 {
                    self.drop_page(id, branch);
                    true
                } else {
                    self.drop_below(id, branch, level - 1, branch_start, wanted.clone())
                };
                if gone {
                    self.machine.frame_mut(node).0[index] = 0;
                    self.machine.pages_mut()[node.index()].private -= 1;
                }
            }
            index += 1;
        }
        if self.machine.pages()[node.index()].private > 0 {
            return false;
        }
        self.free_frames(node, 0).expect("a node is the tree's own");
        true
    }

    fn drop_page(&mut self, id: FileId, pfn: Pfn) {
        let page = &mut self.machine.pages_mut()[pfn.index()];
        (page.mapping, page.index, page.private) = (0, 0, 0);
        let file = self.files.get_mut(&mut self.machine, id.0);
        file.cached -= 1;
        let promised = u64::from(file.promises_by_page());
        self.uncharge(promised);
        self.put_frame(pfn).expect("a cached frame is allocated");
    }
}
