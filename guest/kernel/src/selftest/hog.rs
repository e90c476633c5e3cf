//! Takes all the memory there is, and gives it back.

use pagelab_abi::code::Owner;
use pagelab_mm::{
    frame::{Gfp, MAX_ORDER},
    machine::{Machine as _, Pfn},
};

use super::check::{Outcome, ensure_eq};
use crate::state::Kernel;

/// A block: its first frame and its order. No frame stands for no block.
pub(super) type Block = (Pfn, u8);

/// Blocks that were taken. Each one's `Page` keeps the one before it, so that as many as there are need no table, and
/// frames that the direct map leaves out will do.
pub(super) struct Hog {
    last: Block,
    /// Blocks taken.
    pub(super) blocks: u64,
}

impl Hog {
    /// Nothing yet.
    pub(super) const fn new() -> Hog {
        Hog { last: (Pfn::NONE, 0), blocks: 0 }
    }

    /// Takes one block of the nearest zones of a node; says whether there was one.
    pub(super) fn take(&mut self, kernel: &mut Kernel, node: usize, order: u8, gfp: Gfp) -> bool {
        let Ok(pfn) = kernel.mm.alloc_frames_node(node, order, gfp, Owner::Kernel) else { return false };
        let page = &mut kernel.mm.machine.pages_mut()[pfn.index()];
        (page.private, page.index) = (self.last.0.0, self.last.1.into());
        self.last = (pfn, order);
        self.blocks += 1;
        true
    }

    /// Takes everything that requests with these flags can get, the largest blocks first.
    pub(super) fn take_all(&mut self, kernel: &mut Kernel, gfp: Gfp) {
        for order in (0..=MAX_ORDER).rev() {
            while self.take(kernel, 0, order, gfp) {}
        }
    }

    /// The block taken last.
    pub(super) fn last(&self) -> Block {
        self.last
    }

    /// Whether every block satisfies a condition.
    pub(super) fn all(&self, kernel: &Kernel, condition: impl Fn(Block) -> bool) -> bool {
        let mut at = self.last;
        while at.0 != Pfn::NONE {
            if !condition(at) {
                return false;
            }
            at = before(kernel, at);
        }
        true
    }

    /// Gives the block taken last back.
    pub(super) fn give_one_back(&mut self, kernel: &mut Kernel) -> Outcome {
        let (pfn, order) = self.last;
        self.last = before(kernel, self.last);
        self.blocks -= 1;
        kernel.mm.free_frames(pfn, order)?;
        Ok(())
    }

    /// Gives all blocks back.
    pub(super) fn give_back(mut self, kernel: &mut Kernel) -> Outcome {
        while self.last.0 != Pfn::NONE {
            self.give_one_back(kernel)?;
        }
        ensure_eq!(self.blocks, 0);
        Ok(())
    }
}

/// The block taken before this one.
fn before(kernel: &Kernel, block: Block) -> Block {
    let page = &kernel.mm.machine.pages()[block.0.index()];
    (Pfn(page.private), page.index as u8)
}
