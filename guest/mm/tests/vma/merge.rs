//! Merges: every rule, and every way a range can meet its neighbours.

use crate::strip::Strip;

#[test]
fn a_new_range_joins_what_it_touches() {
    assert_eq!(Strip::draw("WW").map(2, 3, 'W').text(), "WWW");
    assert_eq!(Strip::draw(" WW").map(0, 1, 'W').text(), "WWW");
    assert_eq!(Strip::draw("WW WW").map(2, 3, 'W').text(), "WWWWW");
    assert_eq!(Strip::draw("WW  WW").map(2, 3, 'W').text(), "WWW WW");
}

#[test]
fn other_rights_stay_apart() {
    assert_eq!(Strip::draw("RR WW").map(2, 3, 'W').text(), "RR|WWW");
    assert_eq!(Strip::draw("WW RR").map(2, 3, 'W').text(), "WWW|RR");
    assert_eq!(Strip::draw("RR RR").map(2, 3, 'W').text(), "RR|W|RR");
}

#[test]
fn files_join_only_the_same_file_at_the_right_offset() {
    assert_eq!(Strip::draw("FF FF").map(2, 3, 'F').text(), "FFFFF");
    assert_eq!(Strip::draw("HH FF").map(2, 3, 'F').text(), "HH|FFF");
    assert_eq!(Strip::draw("RR FF").map(2, 3, 'R').text(), "RRR|FF");
}

#[test]
fn moved_anonymous_memory_stays_apart() {
    assert_eq!(Strip::draw("MM").map(2, 3, 'W').text(), "MM|W");
    assert_eq!(Strip::draw("MM").map(2, 3, 'M').text(), "MMM");
}

#[test]
fn anon_identities_spread_into_unfaulted_memory() {
    assert_eq!(Strip::draw("WW1").map(2, 3, 'W').text(), "WWW1");
    assert_eq!(Strip::draw(" WW1").map(0, 1, 'W').text(), "WWW1");
    assert_eq!(Strip::draw("W W1").map(1, 2, 'W').text(), "WWW1");
    assert_eq!(Strip::draw("W1 W").map(1, 2, 'W').text(), "WWW1");
}

#[test]
fn two_anon_identities_never_become_one() {
    // The new page joins the lower one; the two faulted ones cannot meet.
    assert_eq!(Strip::draw("WW1 WW2").map(2, 3, 'W').text(), "WWW1|WW2");
    assert_eq!(Strip::draw("WW1 WW1").map(2, 3, 'W').text(), "WWWWW1");
    assert_eq!(Strip::draw("W1|R|W2").protect(1, 2, 'W').text(), "WW1|W2");
    assert_eq!(Strip::draw("W1|R2|W1").protect(1, 2, 'W').text(), "W1|W2|W1");
}

#[test]
fn a_protected_range_joins_both_sides() {
    assert_eq!(Strip::draw("WW|RR|WW").protect(2, 4, 'W').text(), "WWWWWW");
    assert_eq!(Strip::draw("W|R3|W").protect(1, 2, 'W').text(), "WWW3");
    assert_eq!(Strip::draw("W|R|W3").protect(1, 2, 'W').text(), "WWW3");
}

#[test]
fn a_protected_range_joins_one_side() {
    assert_eq!(Strip::draw("WW|RR|XX").protect(2, 4, 'W').text(), "WWWW|XX");
    assert_eq!(Strip::draw("XX|RR|WW").protect(2, 4, 'W').text(), "XX|WWWW");
    assert_eq!(Strip::draw("XX|RR1|WW").protect(2, 4, 'W').text(), "XX|WWWW1");
}

#[test]
fn a_protected_part_moves_the_border() {
    assert_eq!(Strip::draw("WW|RRR").protect(2, 4, 'W').text(), "WWWW|R");
    assert_eq!(Strip::draw("RRR|WW").protect(1, 3, 'W').text(), "R|WWWW");
    assert_eq!(Strip::draw("WW|RRR1").protect(2, 3, 'W').text(), "WWW1|RR1");
    assert_eq!(Strip::draw("RRR1|WW").protect(2, 3, 'W').text(), "RR1|WWW1");
}

#[test]
fn a_part_that_touches_no_border_joins_nothing() {
    assert_eq!(Strip::draw("WW|RRR|WW").protect(3, 4, 'W').text(), "WW|R|W|R|WW");
}

#[test]
fn a_first_fault_borrows_the_identity_of_a_neighbour_that_differs_in_rights_only() {
    assert_eq!(Strip::draw("R|W5").touch(0).text(), "R5|W5");
    assert_eq!(Strip::draw("W5|R").touch(1).text(), "W5|R5");
    // The next one's first.
    assert_eq!(Strip::draw("W5|R|X6").touch(1).text(), "W5|R6|X6");
    // Others get a new one.
    assert_eq!(Strip::draw("G5|W").touch(1).text(), "G5|W1");
    assert_eq!(Strip::draw("F5|W").touch(1).text(), "F5|W1");
    assert_eq!(Strip::draw("M5|W").touch(1).text(), "M5|W1");
    assert_eq!(Strip::draw("W5 W").touch(2).text(), "W5 W1");
    assert_eq!(Strip::draw("W W").touch(0).touch(2).touch(0).text(), "W1 W2");
}

#[test]
fn a_borrowed_identity_lets_them_join_again() {
    let strip = Strip::draw("WWWW").protect(0, 2, 'R').touch(3).touch(0);
    assert_eq!(strip.text(), "RR1|WW1");
    assert_eq!(strip.protect(0, 2, 'W').text(), "WWWW1");
}
