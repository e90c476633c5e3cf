//! Random histories of the frame allocator, each answer compared with the oracle's, over all ways to divide and manage
//! memory.
//!
//! Invariants after each step: the answer is the oracle's, to the zone and the error; no frame is handed out twice;
//! blocks are aligned; free + used = managed; every mistake leaves the allocator as it was. At the end everything is
//! given back and the zones are as they were after boot, block for block.
//!
//! A few short histories are shrunk where they fail; a million steps of long ones come from a seed. `PAGELAB_SOAK=N` runs
//! N times as many of both.

use pagelab_mm::{
    abi::code::{FrameAllocator, Owner},
    frame::Gfp,
};
use proptest::{prelude::*, sample, test_runner::Config};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::{
    machine::Setup,
    world::{Lab, Step},
};

/// Steps in a history that is shrunk.
const STEPS: usize = if cfg!(miri) { 10 } else { 500 };
/// Such histories.
const HISTORIES: u32 = if cfg!(miri) { 1 } else { 60 };
/// Steps of the long histories, together.
const LONG_STEPS: u32 = if cfg!(miri) { 40 } else { 1_000_000 };
/// Steps of one of them.
const LONG_HISTORY: u32 = if cfg!(miri) { 10 } else { 10_000 };

/// Times the usual number of cases.
fn soak() -> u32 {
    std::env::var("PAGELAB_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

const KINDS: [Gfp; 9] = [
    Gfp::KERNEL,
    Gfp::USER,
    Gfp::HIGHUSER,
    Gfp::HIGHUSER_MOVABLE,
    Gfp::KERNEL.union(Gfp::RECLAIMABLE),
    Gfp::KERNEL.union(Gfp::DMA),
    Gfp::KERNEL.union(Gfp::DMA32),
    Gfp::DMA,
    Gfp::ATOMIC,
];
const MODIFIERS: [Gfp; 8] = [
    Gfp::empty(),
    Gfp::HIGH,
    Gfp::NOFAIL,
    Gfp::NORETRY,
    Gfp::MEMALLOC,
    Gfp::NOMEMALLOC,
    Gfp::THISNODE,
    Gfp::MEMALLOC.union(Gfp::NOMEMALLOC),
];

fn gfp() -> impl Strategy<Value = Gfp> {
    let modifier = prop_oneof![3 => Just(Gfp::empty()), 1 => sample::select(MODIFIERS.to_vec())];
    (sample::select(KINDS.to_vec()), modifier).prop_map(|(kind, modifier)| kind | modifier)
}

const PAGE: u64 = 4096;
/// Machines are this many times smaller under Miri, and so in zone DMA alone.
const SMALLER: u64 = if cfg!(miri) { 16 } else { 1 };

/// RAM in ranges around the boundary of DMA and DMA32, on up to three nodes.
fn setups() -> impl Strategy<Value = Setup> {
    let ram = prop::collection::vec((3000 / SMALLER..5000 / SMALLER, 1..1200 / SMALLER, 0u8..3), 1..5);
    let reserved = prop::collection::vec((3000 / SMALLER..5500 / SMALLER, 1..100 / SMALLER), 0..5);
    let parts = (0u64..3, 0u64..3, any::<bool>(), any::<bool>());
    (ram, reserved, parts).prop_map(|(ram, reserved, (highmem, movable, grouping, bitmap))| {
        let ram: Vec<_> = ram.into_iter().map(|(at, frames, node)| (at * PAGE, (at + frames) * PAGE, node)).collect();
        // A bitmap needs a frame that the direct map has.
        let (low, bitmap_frames) = ((1000 / SMALLER * PAGE, 1040 / SMALLER * PAGE, 0), if bitmap { 40 } else { 0 });
        Setup {
            ram: if bitmap_frames > 0 { [vec![low], ram].concat() } else { ram },
            reserved: reserved.into_iter().map(|(at, n)| (at * PAGE, (at + n) * PAGE, Owner::Boot)).collect(),
            distance: [[10, 30, 20, 20], [30, 10, 15, 20], [20, 15, 10, 20], [20, 20, 20, 10]],
            highmem: highmem * 300 / SMALLER * PAGE,
            movable: movable * 1100 / SMALLER * PAGE,
            grouping,
            allocator: if bitmap { FrameAllocator::Bitmap } else { FrameAllocator::Buddy },
        }
    })
}

struct History;

impl ReferenceStateMachine for History {
    type State = Setup;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Setup> {
        setups().boxed()
    }

    fn transitions(_: &Setup) -> BoxedStrategy<Step> {
        let owner = sample::select(Owner::ALL);
        let order = || prop_oneof![6 => Just(0u8), 3 => 1u8..5, 2 => 5u8..=11];
        prop_oneof![
            300 => (0usize..4, order(), gfp(), owner)
                .prop_map(|(node, order, gfp, owner)| Step::Alloc { node, order, gfp, owner }),
            200 => any::<usize>().prop_map(|block| Step::Free { block }),
            40 => (any::<usize>(), -8i32..40, order())
                .prop_map(|(block, offset, order)| Step::FreeNear { block, offset, order }),
            20 => (0u32..7000, order()).prop_map(|(pfn, order)| Step::FreeAnything { pfn, order }),
            60 => any::<usize>().prop_map(|block| Step::Get { block }),
            80 => any::<usize>().prop_map(|block| Step::Put { block }),
            10 => (0u32..7000).prop_map(|pfn| Step::PutAnything { pfn }),
            30 => (any::<usize>(), 0u32..3).prop_map(|(block, mapcount)| Step::SetMapcount { block, mapcount }),
            1 => gfp().prop_map(|gfp| Step::Exhaust { gfp }),
            2 => Just(Step::Drain),
            3 => (0usize..2).prop_map(|parity| Step::Thin { parity }),
        ]
        .boxed()
    }

    fn apply(setup: Setup, _: &Step) -> Setup {
        setup
    }
}

impl StateMachineTest for History {
    type SystemUnderTest = Lab;
    type Reference = History;

    fn init_test(setup: &Setup) -> Lab {
        Lab::new(setup)
    }

    fn apply(mut lab: Lab, _: &Setup, step: Step) -> Lab {
        lab.step(step);
        lab
    }

    fn check_invariants(lab: &Lab, _: &Setup) {
        lab.check();
    }

    fn teardown(lab: Lab, _: Setup) {
        lab.finish();
    }
}

prop_state_machine! {
    #![proptest_config(Config {
        cases: HISTORIES * soak(),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..Config::default()
    })]
    #[test]
    fn any_history_agrees_with_the_oracle(sequential STEPS..STEPS + 1 => History);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    fn order(&mut self) -> u8 {
        match self.below(11) {
            0..6 => 0,
            6..9 => 1 + self.below(4) as u8,
            _ => 5 + self.below(7) as u8,
        }
    }

    fn gfp(&mut self) -> Gfp {
        let modifier = if self.below(4) == 0 { self.of(&MODIFIERS) } else { Gfp::empty() };
        self.of(&KINDS) | modifier
    }

    fn step(&mut self) -> Step {
        let block = self.next() as u32 as usize;
        match self.below(1000) {
            0..440 => Step::Alloc {
                node: self.below(4) as usize,
                order: self.order(),
                gfp: self.gfp(),
                owner: self.of(Owner::ALL),
            },
            440..780 => Step::Free { block },
            780..830 => Step::FreeNear { block, offset: self.below(48) as i32 - 8, order: self.order() },
            830..850 => Step::FreeAnything { pfn: self.below(9000) as u32, order: self.order() },
            850..890 => Step::Get { block },
            890..960 => Step::Put { block },
            960..970 => Step::PutAnything { pfn: self.below(9000) as u32 },
            970..990 => Step::SetMapcount { block, mapcount: self.below(3) as u32 },
            990..992 => Step::Exhaust { gfp: self.gfp() },
            992..996 => Step::Drain,
            _ => Step::Thin { parity: self.below(2) as usize },
        }
    }
}

/// A machine with enough RAM for grouping, reserved ranges here and there.
fn setup_of(number: u32, random: &mut Random) -> Setup {
    const M: u64 = (1 << 20) / SMALLER;
    let ram = match number % 3 {
        0 => vec![(0, 36 * M, 0)],
        1 => vec![(0, 18 * M, 0), (18 * M, 34 * M, 1)],
        _ => vec![(0, 9 * M + 20 * PAGE, 0), (12 * M, 20 * M + PAGE, 1), (20 * M + PAGE, 33 * M, 2)],
    };
    let some = |random: &mut Random, bytes: u64| if random.below(2) == 0 { 0 } else { bytes + random.below(M) };
    Setup {
        ram,
        reserved: (0..6)
            .map(|_| {
                let start = random.below(9000 / SMALLER) * PAGE;
                (start, start + (1 + random.below(60 / SMALLER)) * PAGE, Owner::Boot)
            })
            .collect(),
        distance: [[10, 30, 20, 20], [30, 10, 15, 20], [20, 15, 10, 20], [20, 20, 20, 10]],
        highmem: some(random, 6 * M),
        movable: some(random, 12 * M),
        grouping: random.below(4) > 0,
        allocator: if number % 4 == 3 { FrameAllocator::Bitmap } else { FrameAllocator::Buddy },
    }
}

#[test]
fn a_million_steps_agree_with_the_oracle() {
    for number in 0..LONG_STEPS * soak() / LONG_HISTORY {
        let mut random = Random(u64::from(number));
        let mut lab = Lab::new(&setup_of(number, &mut random));
        for step in 0..LONG_HISTORY {
            lab.step(random.step());
            if step % 128 == 0 {
                lab.check();
            }
        }
        lab.check();
        lab.finish();
    }
}
