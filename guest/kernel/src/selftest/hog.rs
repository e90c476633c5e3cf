//! Takes all the memory there is, and gives it back.

use pagelab_abi::code::Owner;
use pagelab_mm::{
    frame::{Gfp, MAX_ORDER},
    machine::{Machine, Pfn},
};

use super::check::{Outcome, ensure, ensure_eq};
use crate::state::Kernel;

/// Blocks that were taken, each with the one before it in its first word: as many as there are need no table.
#[derive(Default)]
pub(super) struct Hog {
    /// First frame of the last block times 16, and its order; 0 if there is none.
    last: u64,
    /// Frames taken.
    pub(super) frames: u64,
    /// Blocks taken.
    pub(super) blocks: u64,
}

impl Hog {
    /// Takes blocks of an order until the allocator refuses one. Returns how many it got.
    pub(super) fn take_order(&mut self, kernel: &mut Kernel, order: u8, gfp: Gfp) -> u64 {
        let before = self.blocks;
        while let Ok(pfn) = kernel.mm.alloc_frames(order, gfp, Owner::Kernel) {
            kernel.mm.machine.frame_mut(pfn).0[0] = self.last;
            self.last = u64::from(pfn.0) << 4 | u64::from(order);
            self.frames += 1 << order;
            self.blocks += 1;
        }
        self.blocks - before
    }

    /// Takes everything that requests with these flags can get, the largest blocks first.
    pub(super) fn take_all(&mut self, kernel: &mut Kernel, gfp: Gfp) {
        for order in (0..=MAX_ORDER).rev() {
            self.take_order(kernel, order, gfp);
        }
    }

    /// The block taken last: its first frame and its order.
    pub(super) fn last(&self) -> (Pfn, u8) {
        (Pfn((self.last >> 4) as u32), (self.last & 15) as u8)
    }

    /// Whether every block satisfies a condition on its first frame and its order.
    pub(super) fn all(&self, kernel: &Kernel, condition: impl Fn(Pfn, u8) -> bool) -> bool {
        let mut at = self.last;
        while at != 0 {
            let (pfn, order) = (Pfn((at >> 4) as u32), (at & 15) as u8);
            if !condition(pfn, order) {
                return false;
            }
            at = kernel.mm.machine.frame(pfn).0[0];
        }
        true
    }

    /// Gives the block taken last back.
    pub(super) fn give_one_back(&mut self, kernel: &mut Kernel) -> Outcome {
        ensure!(self.last != 0);
        let (pfn, order) = self.last();
        self.last = kernel.mm.machine.frame(pfn).0[0];
        self.frames -= 1 << order;
        self.blocks -= 1;
        kernel.mm.free_frames(pfn, order)?;
        Ok(())
    }

    /// Gives all blocks back.
    pub(super) fn give_back(mut self, kernel: &mut Kernel) -> Outcome {
        while self.last != 0 {
            self.give_one_back(kernel)?;
        }
        ensure_eq!((self.frames, self.blocks), (0, 0));
        Ok(())
    }
}
