//! Random requests while memory runs out again and again: each may fail, but nothing is lost and nothing is half done.

use proptest::prelude::*;

use crate::{
    oracle::{ask_us, request},
    world::World,
};

/// How many frames a request finds, where they are few: any of its allocations may be the one that fails.
fn left() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 2 => (0..8u64).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_when_frames_run_out(steps in prop::collection::vec((request(), left()), 1..120)) {
        let mut world = World::new();
        for (request, left) in &steps {
            if let Some(left) = left {
                world.hoard(*left);
            }
            ask_us(&mut world, request);
            world.release_hoard();
            world.check();
            world.cx.refused = None;
        }
        world.finish();
    }
}

#[test]
fn a_refused_request_is_noted() {
    let mut world = World::new();
    world.map(0x10_0000_0000, 0x1000, 3, 0).expect("there is room");
    world.hoard(0);
    assert!(!world.touch(0x10_0000_0000, true));
    assert!(world.cx.refused.is_some());
    world.release_hoard();
    world.finish();
}
