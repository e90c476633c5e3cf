//! Finding room, at the edges.

use crate::strip::{Strip, at};

const PAGE: u64 = 4096;
const GUARD_PAGES: usize = 256;

fn top(text: &str, pages: u64, low: usize, high: usize) -> Option<u64> {
    let strip = Strip::draw(text);
    strip.set.unmapped_area_topdown(&strip.store, pages * PAGE, at(low), at(high))
}

fn bottom(text: &str, pages: u64, low: usize, high: usize) -> Option<u64> {
    let strip = Strip::draw(text);
    strip.set.unmapped_area_bottomup(&strip.store, pages * PAGE, at(low), at(high))
}

#[test]
fn an_empty_map_has_room_at_the_edge() {
    assert_eq!(top("", 2, 0, 10), Some(at(8)));
    assert_eq!(bottom("", 2, 0, 10), Some(at(0)));
    assert_eq!(top("", 11, 0, 10), None);
    assert_eq!(bottom("", 11, 0, 10), None);
}

#[test]
fn the_highest_room_that_is_large_enough() {
    assert_eq!(top("W   W  W W", 1, 0, 10), Some(at(8)));
    assert_eq!(top("W   W  W W", 2, 0, 10), Some(at(5)));
    assert_eq!(top("W   W  W W", 3, 0, 10), Some(at(1)));
    assert_eq!(top("W   W  W W", 4, 0, 10), None);
    assert_eq!(top("W   W  W W", 4, 0, 14), Some(at(10)));
}

#[test]
fn the_lowest_room_that_is_large_enough() {
    assert_eq!(bottom("W W  W   W", 1, 0, 10), Some(at(1)));
    assert_eq!(bottom("W W  W   W", 2, 0, 10), Some(at(3)));
    assert_eq!(bottom("W W  W   W", 3, 0, 10), Some(at(6)));
    assert_eq!(bottom("W W  W   W", 4, 0, 10), None);
    assert_eq!(bottom("W W  W   W", 4, 0, 14), Some(at(10)));
}

#[test]
fn the_limits_cut_rooms_short() {
    // One room from 1 to 9.
    assert_eq!(top("W        W", 3, 0, 6), Some(at(3)));
    assert_eq!(top("W        W", 3, 4, 6), None);
    assert_eq!(top("W        W", 3, 6, 9), Some(at(6)));
    assert_eq!(top("W        W", 3, 7, 20), Some(at(17)));
    assert_eq!(bottom("W        W", 3, 4, 20), Some(at(4)));
    assert_eq!(bottom("W        W", 3, 7, 20), Some(at(10)));
    assert_eq!(bottom("W        W", 3, 4, 6), None);
}

#[test]
fn a_limit_inside_a_mapping() {
    assert_eq!(top("  WWWW  ", 1, 0, 4), Some(at(1)));
    assert_eq!(bottom("  WWWW  ", 1, 3, 8), Some(at(6)));
}

#[test]
fn a_stack_keeps_its_guard_gap_free() {
    let text = " ".repeat(GUARD_PAGES + 3) + "G";
    assert_eq!(top(&text, 1, 0, GUARD_PAGES + 3), Some(at(2)));
    assert_eq!(top(&text, 3, 0, GUARD_PAGES + 3), Some(at(0)));
    assert_eq!(top(&text, 4, 0, GUARD_PAGES + 3), None);
    let text = "W".to_string() + &" ".repeat(GUARD_PAGES) + "G";
    assert_eq!(top(&text, 1, 0, GUARD_PAGES + 1), None);
    assert_eq!(bottom(&text, 1, 0, GUARD_PAGES + 3), Some(at(GUARD_PAGES + 2)));
}
