//! Random programs of two processes on the simulated CPU, against a model of what each page must hold: zeros first,
//! the file's bytes, or what this process wrote. Every fault's kind is predicted, every operation ends with a look at
//! the TLB, and at the end every frame is accounted for.

mod model;
mod world;

use pagelab_mm::fault::Access;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use model::{FILES, WORDS};
use world::World;

/// Pages of the window that programs work in.
const PAGES: u64 = 48;

/// What a program does. Pages count from the start of the window; the process comes first.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    MapAnon(usize, u64, u64, u64),
    MapFile(usize, u64, u64, u64, (usize, u64)),
    Unmap(usize, u64, u64),
    Protect(usize, u64, u64, u64),
    DontNeed(usize, u64, u64),
    Store(usize, u64, usize, u64),
    Load(usize, u64, usize),
    Touch(usize, u64, Access),
}

fn op() -> impl Strategy<Value = Op> {
    let range = || (0..PAGES).prop_flat_map(|page| (Just(page), 1..=(PAGES - page).min(8)));
    let process = || 0..2usize;
    let prot = || prop_oneof![4 => Just(3u64), 1 => 0u64..8];
    let file = || (0..FILES.len()).prop_flat_map(|file| (Just(file), 0..FILES[file].div_ceil(4096) + 2));
    let access = prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::Execute)];
    prop_oneof![
        3 => (process(), range(), prot()).prop_map(|(p, (page, n), prot)| Op::MapAnon(p, page, n, prot)),
        3 => (process(), range(), prot(), file())
            .prop_map(|(p, (page, n), prot, file)| Op::MapFile(p, page, n, prot, file)),
        2 => (process(), range()).prop_map(|(p, (page, n))| Op::Unmap(p, page, n)),
        4 => (process(), range(), prot()).prop_map(|(p, (page, n), prot)| Op::Protect(p, page, n, prot)),
        2 => (process(), range()).prop_map(|(p, (page, n))| Op::DontNeed(p, page, n)),
        20 => (process(), 0..PAGES, 0..WORDS.len(), any::<u64>()).prop_map(|(p, page, w, v)| Op::Store(p, page, w, v)),
        20 => (process(), 0..PAGES, 0..WORDS.len()).prop_map(|(p, page, w)| Op::Load(p, page, w)),
        6 => (process(), 0..PAGES, access).prop_map(|(p, page, access)| Op::Touch(p, page, access)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_see_what_they_must(ops in prop::collection::vec(op(), 1..300)) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.apply(op));
        world.finish();
    }
}

#[test]
fn a_long_program() {
    let mut runner = TestRunner::deterministic();
    let ops = op();
    let mut world = World::new();
    for _ in 0..100_000 {
        let op = ops.new_tree(&mut runner).expect("every operation is possible").current();
        world.apply(&op);
    }
    world.finish();
}
