//! Arenas: unique slots, values that stay, frames that come and go.

use std::collections::{BTreeMap, BTreeSet};

use pagelab_mm::{
    abi::code::Owner,
    arena::{NotLive, SLOTS_PER_FRAME},
    frame::{Gfp, OutOfMemory},
    machine::Machine,
    vma::Vma,
};
use proptest::prelude::*;

use crate::machine::context;

fn vma(start: u64) -> Vma {
    Vma { start, end: start + 4096, ..Vma::default() }
}

#[test]
fn slots_are_unique_and_keep_their_values() {
    let mut cx = context(16 << 20);
    let slots: Vec<_> = (0..1000).map(|n| cx.alloc_vma(vma(n)).expect("plenty is free")).collect();
    assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), 1000);
    assert!(!slots.contains(&0));
    for (n, &slot) in slots.iter().enumerate() {
        assert_eq!(*cx.vma(slot), vma(n as u64));
        cx.vma_mut(slot).pgoff = n as u64;
    }
    assert!(slots.iter().enumerate().all(|(n, &slot)| cx.vma(slot).pgoff == n as u64));
    assert_eq!((cx.vmas.live(), cx.vmas.frames()), (1000, 1000u32.div_ceil(SLOTS_PER_FRAME)));
    assert_eq!(cx.frames.owned(Owner::Slab), u64::from(cx.vmas.frames()));

    for &slot in &slots {
        cx.free_vma(slot);
    }
    assert_eq!((cx.vmas.live(), cx.vmas.frames()), (0, 1), "one empty frame is kept");
    assert_eq!(cx.frames.owned(Owner::Slab), 1);
    cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");
}

#[test]
fn a_slot_is_freed_once() {
    let mut cx = context(16 << 20);
    let (first, second) =
        (cx.alloc_vma(vma(1)).expect("plenty is free"), cx.alloc_vma(vma(2)).expect("plenty is free"));
    assert_eq!(cx.vmas.remove(&mut cx.machine, first), Ok(None));
    assert_eq!(cx.vmas.remove(&mut cx.machine, first), Err(NotLive(first)));
    assert_eq!(cx.vmas.remove(&mut cx.machine, second + 1), Err(NotLive(second + 1)));
    assert_eq!(cx.vmas.remove(&mut cx.machine, u32::MAX), Err(NotLive(u32::MAX)));
    assert_eq!(cx.vmas.live(), 1);
    assert_eq!(*cx.vma(second), vma(2));
    assert_eq!(cx.alloc_vma(vma(3)), Ok(first), "a free slot is used again");
}

#[test]
fn a_full_machine_is_an_error_and_no_more() {
    let mut cx = context(16 << 20);
    let mut taken = Vec::new();
    while let Ok(pfn) = cx.alloc_frame(Gfp::KERNEL, Owner::Anon) {
        taken.push(pfn);
    }
    assert_eq!(cx.alloc_vma(vma(1)), Err(OutOfMemory));
    assert_eq!((cx.vmas.live(), cx.vmas.frames()), (0, 0));
    cx.free_frames(taken[0], 0).expect("allocated above");
    let slot = cx.alloc_vma(vma(1)).expect("a frame is free");
    assert_eq!(*cx.vma(slot), vma(1));
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64),
    Free(usize),
    Change(usize, u64),
    /// Frees the slot once more that was freed last, unless it lives again.
    FreeAgain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<u64>().prop_map(Step::Alloc),
        4 => any::<usize>().prop_map(Step::Free),
        2 => (any::<usize>(), any::<u64>()).prop_map(|(n, value)| Step::Change(n, value)),
        1 => Just(Step::FreeAgain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn any_history_keeps_slots_apart(steps in prop::collection::vec(step(), 0..1000)) {
        let mut cx = context(16 << 20);
        let mut model: BTreeMap<u32, Vma> = BTreeMap::new();
        let mut last_freed = None;
        for step in steps {
            let pick = |n: usize| model.keys().nth(n % model.len().max(1)).copied();
            match step {
                Step::Alloc(value) => {
                    let vma = Vma { subtree_gap: value, ..vma(value >> 8) };
                    let slot = cx.alloc_vma(vma).expect("plenty is free");
                    prop_assert!(slot != 0 && model.insert(slot, vma).is_none());
                }
                Step::Free(n) => {
                    if let Some(slot) = pick(n) {
                        cx.free_vma(slot);
                        model.remove(&slot);
                        last_freed = Some(slot);
                    }
                }
                Step::Change(n, value) => {
                    if let Some(slot) = pick(n) {
                        cx.vma_mut(slot).pgoff = value;
                        model.get_mut(&slot).expect("it lives").pgoff = value;
                    }
                }
                Step::FreeAgain => {
                    if let Some(slot) = last_freed.filter(|slot| !model.contains_key(slot)) {
                        prop_assert_eq!(cx.vmas.remove(&mut cx.machine, slot), Err(NotLive(slot)));
                    }
                }
            }
            prop_assert_eq!(cx.vmas.live() as usize, model.len());
            prop_assert_eq!(cx.frames.owned(Owner::Slab), u64::from(cx.vmas.frames()));
        }
        for (&slot, vma) in &model {
            prop_assert_eq!(cx.vma(slot), vma);
        }
        let frames: BTreeSet<_> = model.keys().map(|slot| slot / SLOTS_PER_FRAME).collect();
        let kept = cx.vmas.frames() as usize - frames.len();
        prop_assert!(kept <= 1, "{kept} empty frames are kept");
        for slot in model.into_keys() {
            cx.free_vma(slot);
        }
        prop_assert!(cx.vmas.frames() <= 1);
        cx.frames.check(cx.machine.pages()).expect("the allocator's invariants hold");
    }
}
