//! The allocator and the oracle side by side: each step is done in both, and their answers compared.

use pagelab_mm::{
    abi::{
        code::{FrameOp, Owner},
        snapshot::ZoneEntry,
        vmstat::Counter,
    },
    frame::{Gfp, PageState},
    machine::{Machine, Pfn},
};

use crate::{
    machine::{Setup, TestContext},
    oracle::Oracle,
};

/// One step. Blocks are picked by a number among those that live; whatever was freed or never allocated is aimed at by
/// frame number.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Alloc {
        node: usize,
        order: u8,
        gfp: Gfp,
        owner: Owner,
    },
    /// Gives a live block back with its right order.
    Free {
        block: usize,
    },
    /// Gives back what is `offset` frames from a live block's head, with any order.
    FreeNear {
        block: usize,
        offset: i32,
        order: u8,
    },
    /// Gives back any frame at all.
    FreeAnything {
        pfn: u32,
        order: u8,
    },
    Get {
        block: usize,
    },
    Put {
        block: usize,
    },
    PutAnything {
        pfn: u32,
    },
    SetMapcount {
        block: usize,
        mapcount: u32,
    },
    /// Takes single frames until there are none.
    Exhaust {
        gfp: Gfp,
    },
    /// Empties the CPUs' lists.
    Drain,
    /// Gives every other block back that can be.
    Thin {
        parity: usize,
    },
}

/// Both.
pub(crate) struct Lab {
    pub(crate) cx: TestContext,
    oracle: Oracle,
    after_boot: Vec<ZoneEntry>,
}

impl Lab {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut setup = setup.clone();
        let cx = setup.boot();
        let after_boot: Vec<_> = cx.frames.zone_entries(&cx.machine).collect();
        let oracle = Oracle::new(&setup, after_boot.iter().copied());
        Lab { cx, oracle, after_boot }
    }

    /// Allocates; returns whether it succeeded, as the oracle said it would.
    fn alloc(&mut self, node: usize, order: u8, gfp: Gfp, owner: Owner) -> bool {
        let pages = self.cx.machine.pages();
        let expected = self.oracle.zone_for(node, order, gfp, |pfn| pages[pfn as usize].state == PageState::PCP);
        let events = self.cx.trace.0.len();
        let answer = self.cx.alloc_frames_node(node, order, gfp, owner);
        let Ok(pfn) = answer else {
            assert_eq!(expected, None, "order {order} {gfp:?} failed");
            assert_eq!(self.cx.trace.0.len(), events);
            return false;
        };
        let zone = expected.unwrap_or_else(|| panic!("order {order} {gfp:?} got {pfn:?} against the rules"));
        self.oracle.take(pfn, order, owner, zone);
        let page = self.cx.machine.pages()[pfn.index()];
        assert_eq!((page.state, page.order, page.owner), (PageState::USED, order, owner));
        assert_eq!((page.refcount, page.mapcount, usize::from(page.zone)), (1, 0, zone));
        let (event, _) = self.cx.trace.0.pop().expect("an event an allocation");
        assert_eq!((event.op, event.pfn, event.order, event.owner), (FrameOp::Alloc, pfn.0, order, owner));
        true
    }

    fn free(&mut self, pfn: Pfn, order: u8) {
        let expected = self.oracle.give_back(pfn, order);
        assert_eq!(
            self.cx.free_frames(pfn, order).map_err(|error| error.mistake),
            expected,
            "freeing {pfn:?} with order {order}"
        );
    }

    fn put(&mut self, pfn: Pfn) {
        let expected = self.oracle.put(pfn);
        assert_eq!(self.cx.put_frame(pfn).map_err(|error| error.mistake), expected, "dropping a reference to {pfn:?}");
    }

    fn free_right(&mut self, pfn: Pfn) {
        let order = self.oracle.blocks[&pfn.0].order;
        self.free(pfn, order);
    }

    fn set_mapcount(&mut self, pfn: Pfn, mapcount: u32) {
        self.cx.machine.pages_mut()[pfn.index()].mapcount = mapcount;
        self.oracle.blocks.get_mut(&pfn.0).expect("a live block").mapcount = mapcount;
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Alloc { node, order, gfp, owner } => {
                self.alloc(node, order, gfp, owner);
            }
            Step::Free { block } => {
                if let Some(pfn) = self.oracle.pick(block) {
                    self.free_right(pfn);
                }
            }
            Step::FreeNear { block, offset, order } => {
                if let Some(pfn) = self.oracle.pick(block) {
                    self.free(Pfn(pfn.0.saturating_add_signed(offset)), order);
                }
            }
            Step::FreeAnything { pfn, order } => self.free(Pfn(pfn), order),
            Step::Get { block } => {
                if let Some(pfn) = self.oracle.pick(block) {
                    self.cx.get_frame(pfn).expect("a live block");
                    self.oracle.blocks.get_mut(&pfn.0).expect("a live block").refcount += 1;
                }
            }
            Step::Put { block } => {
                if let Some(pfn) = self.oracle.pick(block) {
                    self.put(pfn);
                }
            }
            Step::PutAnything { pfn } => self.put(Pfn(pfn)),
            Step::SetMapcount { block, mapcount } => {
                if let Some(pfn) = self.oracle.pick(block) {
                    self.set_mapcount(pfn, mapcount);
                }
            }
            Step::Exhaust { gfp } => while self.alloc(0, 0, gfp, Owner::Anon) {},
            Step::Drain => self.cx.drain_all_pages(),
            Step::Thin { parity } => {
                let heads: Vec<_> = self.oracle.blocks.keys().copied().skip(parity).step_by(2).collect();
                for head in heads {
                    self.free_right(Pfn(head));
                }
            }
        }
    }

    /// What must hold between steps.
    pub(crate) fn check(&self) {
        let frames = &self.cx.frames;
        self.cx.check_frames().expect("the allocator's invariants hold");
        assert_eq!(frames.free(), self.oracle.free_frames());
        for &owner in Owner::ALL {
            assert_eq!(frames.owned(owner), self.oracle.owned(owner), "frames of {owner:?}");
        }
        let pages = self.cx.machine.pages();
        let mut on_lists = (0..pages.len() as u32).filter(|&pfn| pages[pfn as usize].state == PageState::PCP);
        assert!(on_lists.all(|pfn| self.oracle.is_free(pfn)), "a frame on a CPU's list is in use");
        for entry in frames.zone_entries(&self.cx.machine) {
            let in_blocks: u64 = (0u32..).zip(entry.free_blocks).map(|(order, count)| count << order).sum();
            assert_eq!(in_blocks, entry.free, "{entry:?}");
            let by_type: u64 = entry.blocks_by_type.iter().flatten().sum();
            assert_eq!(by_type, entry.free_blocks.iter().sum::<u64>());
        }
        const PGALLOC: [Counter; 4] =
            [Counter::PgallocDma, Counter::PgallocDma32, Counter::PgallocNormal, Counter::PgallocMovable];
        let allocated: u64 = PGALLOC.iter().map(|&counter| self.cx.stats.get(counter)).sum();
        assert_eq!(allocated - self.cx.stats.get(Counter::Pgfree), frames.managed() - frames.free());
    }

    /// Gives everything back, in the order of a fixed shuffle, and looks whether all is as it was after boot, block for
    /// block.
    pub(crate) fn finish(mut self) {
        let mut heads: Vec<_> = self.oracle.blocks.keys().copied().collect();
        heads.sort_by_key(|head| head.wrapping_mul(0x9e37_79b1).reverse_bits());
        for head in heads {
            self.set_mapcount(Pfn(head), 0);
            while self.oracle.blocks.contains_key(&head) {
                self.put(Pfn(head));
            }
        }
        self.cx.drain_all_pages();
        self.check();
        assert_eq!(self.cx.frames.free(), self.cx.frames.managed());
        let blocks = self.cx.frames.zone_entries(&self.cx.machine).map(|entry| entry.free_blocks);
        assert!(blocks.eq(self.after_boot.iter().map(|entry| entry.free_blocks)));
    }
}
