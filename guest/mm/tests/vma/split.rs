//! Splits and holes.

use crate::strip::{Strip, at};

#[test]
fn a_hole_in_the_middle_leaves_two() {
    assert_eq!(Strip::draw("WWWWW1").unmap(2, 3).text(), "WW1 WW1");
}

#[test]
fn a_hole_at_an_end_trims() {
    assert_eq!(Strip::draw("WWWW").unmap(0, 1).text(), " WWW");
    assert_eq!(Strip::draw("WWWW").unmap(3, 4).text(), "WWW");
    assert_eq!(Strip::draw("WWWW").unmap(0, 4).text(), "");
}

#[test]
fn a_hole_over_several_trims_the_outer_ones() {
    assert_eq!(Strip::draw("WWW|RR  X|NNN").unmap(1, 9).text(), "W        NN");
    assert_eq!(Strip::draw("WWW|RR  X|NNN").unmap(2, 10).text(), "WW        N");
}

#[test]
fn a_hole_in_a_file_mapping_keeps_its_offsets() {
    let strip = Strip::draw("FFFF").unmap(0, 2);
    assert_eq!(strip.text(), "  FF");
    // The same file pages at the same place: drawn as F, the offsets must be right to join.
    assert_eq!(strip.map(1, 2, 'F').text(), " FFF");
}

#[test]
fn protecting_the_middle_makes_three() {
    assert_eq!(Strip::draw("WWWW2").protect(1, 2, 'R').text(), "W2|R2|WW2");
}

#[test]
fn protecting_an_end_makes_two() {
    assert_eq!(Strip::draw("WWWW").protect(0, 2, 'R').text(), "RR|WW");
    assert_eq!(Strip::draw("WWWW").protect(2, 4, 'R').text(), "WW|RR");
    assert_eq!(Strip::draw(" WWWW").protect(1, 5, 'R').text(), " RRRR");
}

#[test]
fn without_memory_nothing_changes() {
    let mut strip = Strip::draw("N|WWWWW|N");
    let slot = strip.set.containing(&strip.store, at(3)).expect("mapped");
    strip.store.capacity = 3;
    assert!(strip.set.split(&mut strip.store, slot, at(2)).is_err());
    assert_eq!(strip.text(), "N|WWWWW|N");
    assert!(strip.set.carve(&mut strip.store, slot, at(2), at(4)).is_err());
    assert_eq!(strip.text(), "N|WWWWW|N");
    strip.store.capacity = 4;
    assert!(strip.set.split(&mut strip.store, slot, at(2)).is_ok());
    assert_eq!(strip.text(), "N|W|WWWW|N");
}
