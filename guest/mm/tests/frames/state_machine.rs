//! Random histories of the frame allocator, each answer compared with the oracle's.
//!
//! Invariants after each step: the answer is the oracle's, to the zone and the error; no frame is handed out twice;
//! blocks are aligned; free + used = managed; every mistake leaves the allocator as it was. At the end everything is
//! given back and the zones are as they were after boot, block for block.
//!
//! `PAGELAB_SOAK=N` runs N times as many histories.

use pagelab_mm::{
    abi::{
        code::{FrameOp, Owner},
        snapshot::ZoneEntry,
        vmstat::Counter,
    },
    frame::{Gfp, PageState},
    machine::{Machine, Pfn},
    memblock::Memblock,
};
use proptest::{prelude::*, sample, test_runner::Config};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::{
    machine::{TestContext, context_of},
    oracle::Oracle,
};

/// Steps in a history; 250 histories make a quarter of a million steps.
const STEPS: usize = 1000;

/// Times the usual number of cases.
fn soak() -> u32 {
    std::env::var("PAGELAB_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// One step. Blocks are picked by a number among those that live; whatever was freed or never allocated is aimed at by
/// frame number.
#[derive(Clone, Debug)]
enum Step {
    Alloc {
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
    /// Gives every other block back that can be.
    Thin {
        parity: usize,
    },
}

/// RAM and reserved ranges, in frames, around the boundary of DMA and DMA32.
#[derive(Clone, Debug)]
struct Layout {
    ram: Vec<(u64, u64)>,
    reserved: Vec<(u64, u64)>,
}

impl Layout {
    fn memblock(&self) -> Memblock {
        let mut memblock = Memblock::new();
        for &(start, frames) in &self.ram {
            memblock.add_ram(start << 12, (start + frames) << 12).expect("few ranges");
        }
        for &(start, frames) in &self.reserved {
            memblock.reserve(start << 12, (start + frames) << 12, Owner::Boot).expect("few ranges");
        }
        memblock
    }
}

fn gfp() -> impl Strategy<Value = Gfp> {
    let kinds = [Gfp::KERNEL, Gfp::HIGHUSER_MOVABLE, Gfp::RECLAIMABLE, Gfp::DMA, Gfp::DMA32];
    (sample::select(kinds.to_vec()), prop::bool::weighted(0.3))
        .prop_map(|(kind, atomic)| if atomic { kind | Gfp::ATOMIC } else { kind })
}

struct History;

impl ReferenceStateMachine for History {
    type State = Layout;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Layout> {
        let ram = prop::collection::vec((3000u64..5000, 1u64..1200), 1..5);
        let reserved = prop::collection::vec((3000u64..5500, 1u64..100), 0..5);
        (ram, reserved).prop_map(|(ram, reserved)| Layout { ram, reserved }).boxed()
    }

    fn transitions(_: &Layout) -> BoxedStrategy<Step> {
        let owner = sample::select(Owner::ALL);
        let order = || prop_oneof![6 => Just(0u8), 3 => 1u8..5, 2 => 5u8..=11];
        prop_oneof![
            300 => (order(), gfp(), owner).prop_map(|(order, gfp, owner)| Step::Alloc { order, gfp, owner }),
            200 => any::<usize>().prop_map(|block| Step::Free { block }),
            40 => (any::<usize>(), -8i32..40, order())
                .prop_map(|(block, offset, order)| Step::FreeNear { block, offset, order }),
            20 => (0u32..7000, order()).prop_map(|(pfn, order)| Step::FreeAnything { pfn, order }),
            60 => any::<usize>().prop_map(|block| Step::Get { block }),
            80 => any::<usize>().prop_map(|block| Step::Put { block }),
            10 => (0u32..7000).prop_map(|pfn| Step::PutAnything { pfn }),
            30 => (any::<usize>(), 0u32..3).prop_map(|(block, mapcount)| Step::SetMapcount { block, mapcount }),
            1 => gfp().prop_map(|gfp| Step::Exhaust { gfp }),
            3 => (0usize..2).prop_map(|parity| Step::Thin { parity }),
        ]
        .boxed()
    }

    fn apply(layout: Layout, _: &Step) -> Layout {
        layout
    }
}

struct Lab {
    cx: TestContext,
    oracle: Oracle,
    after_boot: Vec<ZoneEntry>,
}

impl Lab {
    fn new(layout: &Layout) -> Self {
        let memblock = layout.memblock();
        let cx = context_of(&memblock);
        let after_boot: Vec<_> = cx.frames.zone_entries().collect();
        let oracle = Oracle::new(&memblock, after_boot.iter().copied());
        Lab { cx, oracle, after_boot }
    }

    /// Allocates; returns whether it succeeded, as the oracle said it would.
    fn alloc(&mut self, order: u8, gfp: Gfp, owner: Owner) -> bool {
        let expected = if order > 10 { None } else { self.oracle.zone_for(order, gfp) };
        let events = self.cx.trace.0.len();
        let answer = self.cx.alloc_frames(order, gfp, owner);
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

    fn step(&mut self, step: Step) {
        match step {
            Step::Alloc { order, gfp, owner } => {
                self.alloc(order, gfp, owner);
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
            Step::Exhaust { gfp } => while self.alloc(0, gfp, Owner::Anon) {},
            Step::Thin { parity } => {
                let heads: Vec<_> = self.oracle.blocks.keys().copied().skip(parity).step_by(2).collect();
                for head in heads {
                    self.free_right(Pfn(head));
                }
            }
        }
    }
}

impl StateMachineTest for History {
    type SystemUnderTest = Lab;
    type Reference = History;

    fn init_test(layout: &Layout) -> Lab {
        Lab::new(layout)
    }

    fn apply(mut lab: Lab, _: &Layout, step: Step) -> Lab {
        lab.step(step);
        lab
    }

    fn check_invariants(lab: &Lab, _: &Layout) {
        let frames = &lab.cx.frames;
        frames.check(lab.cx.machine.pages()).expect("the allocator's invariants hold");
        assert_eq!(frames.free(), lab.oracle.free_frames());
        for &owner in Owner::ALL {
            assert_eq!(frames.owned(owner), lab.oracle.owned(owner), "frames of {owner:?}");
        }
        let allocated: u64 = [Counter::PgallocDma, Counter::PgallocDma32, Counter::PgallocNormal]
            .iter()
            .map(|&counter| lab.cx.stats.get(counter))
            .sum();
        assert_eq!(allocated - lab.cx.stats.get(Counter::Pgfree), frames.managed() - frames.free());
    }

    fn teardown(mut lab: Lab, _: Layout) {
        // A fixed shuffle: by the frame number's bits in reverse.
        let mut heads: Vec<_> = lab.oracle.blocks.keys().copied().collect();
        heads.sort_by_key(|head| head.wrapping_mul(0x9e37_79b1).reverse_bits());
        for head in heads {
            lab.set_mapcount(Pfn(head), 0);
            while lab.oracle.blocks.contains_key(&head) {
                lab.put(Pfn(head));
            }
        }
        assert_eq!(lab.cx.frames.free(), lab.cx.frames.managed());
        let blocks = lab.cx.frames.zone_entries().map(|entry| entry.free_blocks);
        assert!(blocks.eq(lab.after_boot.iter().map(|entry| entry.free_blocks)));
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 250 * soak(), max_shrink_iters: 20_000, ..Config::default() })]
    #[test]
    fn any_history_agrees_with_the_oracle(sequential STEPS..STEPS + 1 => History);
}
