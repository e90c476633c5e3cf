//! Random work on a VMA set against a naive map of pages: after each step everything is checked.

use pagelab_abi::code::VmaIndex;
use pagelab_mm::vma::{Slots, VmFlags};
use proptest::prelude::*;

use crate::strip::{Strip, at, kind};

const PAGES: usize = 64;
const PAGE: u64 = 4096;

#[derive(Clone, Debug)]
enum Step {
    Map(usize, usize, char),
    Unmap(usize, usize),
    Protect(usize, usize, char),
    Touch(usize),
}

/// Naive: for each page its kind, and whether it was mapped as moved memory.
type Model = [Option<char>; PAGES];

fn step() -> impl Strategy<Value = Step> {
    let range = || (0..PAGES, 1..12usize).prop_map(|(from, pages)| (from, (from + pages).min(PAGES)));
    let letter = || proptest::sample::select(vec!['N', 'R', 'W', 'X']);
    prop_oneof![
        4 => (range(), proptest::sample::select(vec!['N', 'R', 'W', 'X', 'F', 'H', 'M'])).prop_map(|((a, b), k)| Step::Map(a, b, k)),
        2 => range().prop_map(|(a, b)| Step::Unmap(a, b)),
        4 => (range(), letter()).prop_map(|((a, b), k)| Step::Protect(a, b, k)),
        1 => (0..PAGES).prop_map(Step::Touch),
    ]
}

fn apply(strip: Strip, model: &mut Model, step: &Step) -> Strip {
    match *step {
        Step::Map(from, to, letter) => {
            model[from..to].fill(Some(letter));
            strip.unmap(from, to).map(from, to, letter)
        }
        Step::Unmap(from, to) => {
            model[from..to].fill(None);
            strip.unmap(from, to)
        }
        Step::Protect(from, to, letter) => protect(strip, model, from, to, letter),
        Step::Touch(page) if model[page].is_some() => strip.touch(page),
        Step::Touch(_) => strip,
    }
}

/// Changes the rights of the anonymous, unmoved part of a range, VMA by VMA.
fn protect(mut strip: Strip, model: &mut Model, from: usize, to: usize, letter: char) -> Strip {
    let mut page = from;
    while page < to {
        let Some(slot) = strip.set.containing(&strip.store, at(page)) else {
            page += 1;
            continue;
        };
        let vma = strip.store.vma(slot);
        let end = to.min(((vma.end - at(0)) / PAGE) as usize);
        if model[page..end].iter().all(|kind| matches!(kind, Some('N' | 'R' | 'W' | 'X')))
            && vma.flags() != kind(letter).0
        {
            model[page..end].fill(Some(letter));
            strip = strip.protect(page, end, letter);
        }
        page = end;
    }
    strip
}

fn verify(strip: &mut Strip, model: &Model) {
    strip.set.check(&strip.store);
    assert_eq!(strip.store.live(), strip.set.count as usize, "slots lost");
    for (page, expected) in model.iter().enumerate() {
        let slot = strip.set.containing(&strip.store, at(page));
        assert_eq!(
            slot.map(|slot| strip.store.vma(slot).flags()),
            expected.map(|letter| kind(letter).0),
            "page {page}"
        );
    }
    let mut slot = strip.set.first;
    while slot != 0 && strip.store.vma(slot).next != 0 {
        let vma = strip.store.vma(slot);
        let next = strip.store.vma(vma.next);
        let anon_fits = vma.anon == 0 || next.anon == 0 || vma.anon == next.anon;
        let mergeable = vma.end == next.start
            && vma.flags() == next.flags()
            && vma.file == next.file
            && vma.pgoff_at(vma.end) == next.pgoff
            && anon_fits;
        assert!(!mergeable, "left apart at {:#x}: {}", vma.end, strip.text());
        slot = vma.next;
    }
}

/// Whether a page may be used for a new mapping.
fn is_free(model: &Model, page: usize) -> bool {
    page >= PAGES || model[page].is_none()
}

fn verify_room(strip: &Strip, model: &Model, pages: usize, low: usize, high: usize) {
    let fits = |&from: &usize| (from..from + pages).all(|page| is_free(model, page));
    let range = low..(high + 1).saturating_sub(pages).max(low);
    let (lowest, highest) = (range.clone().find(fits), range.rev().find(fits));
    let length = pages as u64 * PAGE;
    assert_eq!(strip.set.unmapped_area_bottomup(&strip.store, length, at(low), at(high)), lowest.map(at));
    assert_eq!(strip.set.unmapped_area_topdown(&strip.store, length, at(low), at(high)), highest.map(at));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_is_what_a_naive_map_says(
        index in proptest::sample::select(VmaIndex::ALL.to_vec()),
        steps in prop::collection::vec((step(), 1..9usize, 0..PAGES, 0..PAGES + 8), 1..200)
    ) {
        let (mut strip, mut model) = (Strip::default(), [None; PAGES]);
        strip.set.index = index;
        for (step, pages, low, high) in steps {
            strip = apply(strip, &mut model, &step);
            verify(&mut strip, &model);
            verify_room(&strip, &model, pages, low, high);
        }
    }
}

#[test]
fn the_kinds_used_here_do_not_grow_down() {
    assert!(['N', 'R', 'W', 'X', 'F', 'H', 'M'].iter().all(|&k| !kind(k).0.contains(VmFlags::GROWSDOWN)));
}
