//! kmap's pool against a model: a page has one frame at a time, a frame one page; none is given another frame while it
//! has a user, nor before it was flushed.

use std::collections::BTreeMap;

use pagelab_mm::{
    abi::layout::{LAST_PKMAP, PKMAP_BASE},
    kernel_space::KmapError,
    machine::{Machine, Pfn},
    sim::{SimContext, new_context_with_highmem},
};

use crate::{PAGE, RAM, check, fixed::high_frames, random::Random};

const HIGH: u64 = RAM * 3 / 8;
const POOL: usize = LAST_PKMAP as usize;

/// Steps of the random history.
const STEPS: u64 = if cfg!(miri) { 60 } else { 200_000 };

#[test]
fn everyone_gets_the_same_address_of_a_frame() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, 2);
    let address = cx.kmap(frames[0]).expect("a page");
    assert!((PKMAP_BASE..PKMAP_BASE + LAST_PKMAP * PAGE).contains(&address));
    assert_eq!(cx.kmap(frames[0]), Ok(address));
    let other = cx.kmap(frames[1]).expect("a page");
    assert_ne!(other, address);
    assert_eq!(cx.machine.read_word(address), Ok(frames[0].0.into()));
    assert_eq!(cx.machine.read_word(other), Ok(frames[1].0.into()));
    assert_eq!((cx.kmaps(), cx.kernel.counts.kmap), (2, 3));
    cx.kunmap(frames[0]).expect("a user");
    assert_eq!(cx.machine.read_word(address), Ok(frames[0].0.into()), "one user is left");
    cx.kunmap(frames[0]).expect("a user");
    assert_eq!(cx.kmaps(), 1);
    assert_eq!(cx.kmap(frames[0]), Ok(address), "not flushed yet: the same page for nothing");
}

#[test]
fn one_unmap_too_many_is_told_with_both_places() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, 2);
    let made = line!() + 1;
    cx.kmap(frames[0]).expect("a page");
    let unmapped = line!() + 1;
    cx.kunmap(frames[0]).expect("a user");
    let error = cx.kunmap(frames[0]).expect_err("no user");
    let KmapError::NotMapped { made: Some(by), unmapped: Some(first), .. } = error else { panic!("{error}") };
    assert_eq!((by.line(), first.line()), (made, unmapped));
    assert!(matches!(cx.kunmap(frames[1]), Err(KmapError::NotMapped { address: 0, .. })));
    assert_eq!(cx.kmaps(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "Miri needs minutes for the whole pool")]
fn a_full_pool_says_so_and_recovers() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, POOL + 1);
    for &pfn in &frames[..POOL] {
        cx.kmap(pfn).expect("a page");
    }
    let full = cx.kmap(frames[POOL]).expect_err("every page has a user");
    assert!(matches!(full, KmapError::NoSlot { last: Some(_) }), "{full}");
    assert_eq!(cx.kmap(frames[3]).map(|_| cx.kmaps()), Ok(POOL), "one that is mapped needs no page");
    cx.kunmap(frames[200]).expect("a user");
    let address = cx.kmap(frames[POOL]).expect("the page that is free");
    assert_eq!(cx.machine.read_word(address), Ok(frames[POOL].0.into()));
    check(&mut cx);
}

#[test]
#[cfg_attr(miri, ignore = "Miri needs minutes for the whole pool")]
fn idle_pages_are_flushed_once_a_round() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, POOL);
    let (_, full_before) = cx.machine.flushes();
    for round in 0..3u64 {
        for &pfn in &frames {
            // Another frame each time, so that no page is found by its frame.
            let pfn = Pfn(frames[0].0 + (pfn.0 - frames[0].0 + 7 * round as u32) % POOL as u32);
            let address = cx.kmap(pfn).expect("a page");
            assert_eq!(cx.machine.read_word(address), Ok(pfn.0.into()));
            cx.kunmap(pfn).expect("a user");
        }
    }
    assert!(cx.kernel.counts.kmap_flushes <= 3, "{:?}", cx.kernel.counts);
    assert!(cx.machine.flushes().1 - full_before <= 3);
    check(&mut cx);
}

#[test]
#[cfg_attr(miri, ignore = "Miri needs minutes for the whole pool")]
fn a_flush_left_out_of_the_pool_is_seen() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, POOL + 1);
    let first = cx.kmap(frames[0]).expect("a page");
    cx.machine.read_word(first).expect("mapped");
    cx.kunmap(frames[0]).expect("a user");
    cx.machine.drop_flushes(true);
    let again = frames[1..].iter().find(|&&pfn| {
        let address = cx.kmap(pfn).expect("a page");
        cx.kunmap(pfn).expect("a user");
        address == first
    });
    let pfn = *again.expect("the page comes round");
    assert_ne!(pfn, frames[0]);
    assert_eq!(cx.machine.read_word(first), Ok(frames[0].0.into()), "the stale translation serves");
    assert!(!cx.machine.take_incoherence().is_empty());
}

/// Users of each frame, and the page of each that has some.
struct Model {
    users: BTreeMap<Pfn, (u64, u64)>,
}

impl Model {
    fn map(&mut self, cx: &mut SimContext, pfn: Pfn) {
        let shown = self.users.get(&pfn).copied();
        match cx.kmap(pfn) {
            Ok(address) => {
                if let Some((known, _)) = shown {
                    assert_eq!(address, known, "a frame has one page");
                }
                let taken = self.users.iter().find(|(other, used)| **other != pfn && used.0 == address);
                assert_eq!(taken, None, "the page has a user");
                assert_eq!(cx.machine.read_word(address), Ok(pfn.0.into()), "the page shows its frame");
                self.users.entry(pfn).or_insert((address, 0)).1 += 1;
            }
            Err(KmapError::NoSlot { .. }) => assert!(shown.is_none() && self.users.len() == POOL),
            Err(error) => panic!("{error}"),
        }
    }

    fn unmap(&mut self, cx: &mut SimContext, pfn: Pfn) {
        match self.users.get_mut(&pfn) {
            Some((address, count)) => {
                assert_eq!(cx.machine.read_word(*address), Ok(pfn.0.into()), "the page shows its frame");
                *count -= 1;
                if *count == 0 {
                    self.users.remove(&pfn);
                }
                cx.kunmap(pfn).expect("a user");
            }
            None => assert!(matches!(cx.kunmap(pfn), Err(KmapError::NotMapped { .. }))),
        }
    }
}

#[test]
fn random_maps_follow_the_model() {
    let mut cx = new_context_with_highmem(RAM, HIGH);
    let frames = high_frames(&mut cx, if cfg!(miri) { 20 } else { POOL + 300 });
    let mut model = Model { users: BTreeMap::new() };
    let mut random = Random(5);
    for step in 0..STEPS * crate::random::soak() {
        // In turns the pool fills up, empties, and is used here and there.
        let bias = [70, 25, 50, 8][(step / 1500 % 4) as usize];
        let pfn = frames[random.below(frames.len() as u64) as usize];
        if random.below(100) < bias {
            model.map(&mut cx, pfn);
        } else {
            let held = random.below(4) > 0 && !model.users.is_empty();
            let place = random.below(model.users.len().max(1) as u64) as usize;
            let pfn = if held { *model.users.keys().nth(place).expect("in range") } else { pfn };
            model.unmap(&mut cx, pfn);
        }
        assert_eq!(cx.kmaps(), model.users.len());
        if step % 500 == 0 {
            cx.machine.assert_coherent();
        }
    }
    assert!(cfg!(miri) || cx.kernel.counts.kmap_flushes > 5, "{:?}", cx.kernel.counts);
}
