//! `mprotect`.

use pagelab_mm::{
    errno::Errno,
    space::{map, prot},
};

use crate::world::{PAGE, RW, World};

const BASE: u64 = 0x10_0000_0000;

#[test]
fn across_a_hole_the_part_before_it_has_changed() {
    let mut world = World::new();
    world.map(BASE, 2 * PAGE, RW, 0).expect("free");
    world.map(BASE + 3 * PAGE, 2 * PAGE, RW, 0).expect("free");
    assert_eq!(world.protect(BASE + PAGE, 4 * PAGE, prot::READ), Err(Errno::ENOMEM));
    assert_eq!(world.rows(BASE), ["0-1 rw-", "1-2 r--", "3-5 rw-"]);
    world.finish();
}

#[test]
fn errno_values() {
    let mut world = World::new();
    world.map(BASE, 2 * PAGE, RW, 0).expect("free");
    assert_eq!(world.protect(BASE + 1, PAGE, RW), Err(Errno::EINVAL));
    assert_eq!(world.protect(BASE, 0, RW), Ok(()));
    assert_eq!(world.protect(BASE, PAGE, 0x10), Err(Errno::EINVAL));
    assert_eq!(world.protect(BASE, PAGE, prot::SEM | RW), Ok(()));
    assert_eq!(world.protect(BASE, u64::MAX, RW), Err(Errno::ENOMEM));
    assert_eq!(world.protect(BASE, u64::MAX - PAGE, RW), Err(Errno::ENOMEM));
    assert_eq!(world.protect(BASE - PAGE, 2 * PAGE, prot::READ), Err(Errno::ENOMEM));
    assert_eq!(world.protect(BASE, PAGE, RW | prot::GROWSDOWN), Err(Errno::EINVAL));
    assert_eq!(world.protect(BASE, PAGE, RW | prot::GROWSUP), Err(Errno::EINVAL));
    assert_eq!(world.rows(BASE), ["0-2 rw-"]);
    world.finish();
}

#[test]
fn from_the_start_of_a_stack() {
    let mut world = World::new();
    world.map(BASE, 4 * PAGE, RW, map::GROWSDOWN).expect("free");
    assert_eq!(world.protect(BASE + 2 * PAGE, PAGE, RW | prot::EXEC | prot::GROWSDOWN), Ok(()));
    assert_eq!(world.rows(BASE), ["0-3 rwx", "3-4 rw-"]);
    world.finish();
}

#[test]
fn there_and_back_joins_again_unless_the_parts_were_faulted_apart() {
    let mut world = World::new();
    world.map(BASE, 4 * PAGE, RW, 0).expect("free");
    world.protect(BASE + PAGE, PAGE, prot::READ).expect("mapped");
    assert_eq!(world.rows(BASE), ["0-1 rw-", "1-2 r--", "2-4 rw-"]);
    world.protect(BASE + PAGE, PAGE, RW).expect("mapped");
    assert_eq!(world.rows(BASE), ["0-4 rw-"]);
    // What was written keeps counting against the commit limit when it becomes read-only; the rest does not.
    assert!(world.touch(BASE, true));
    world.protect(BASE, 4 * PAGE, prot::READ).expect("mapped");
    world.map(BASE + 4 * PAGE, PAGE, prot::READ, 0).expect("free");
    assert_eq!(world.rows(BASE), ["0-4 r--", "4-5 r--"]);
    world.finish();
}

#[test]
fn a_page_keeps_its_frame_while_it_is_out_of_reach() {
    let mut world = World::new();
    world.map(BASE, PAGE, RW, 0).expect("free");
    assert!(world.touch(BASE, true));
    world.cx.machine.store(world.space.tables.root, BASE, 42).expect("writable");
    world.protect(BASE, PAGE, 0).expect("mapped");
    assert!(world.cx.machine.load(world.space.tables.root, BASE).is_err());
    assert_eq!(world.space.usage.rss_anon, 1);
    world.protect(BASE, PAGE, prot::READ).expect("mapped");
    assert_eq!(world.cx.machine.load(world.space.tables.root, BASE), Ok(42));
    assert!(world.cx.machine.store(world.space.tables.root, BASE, 43).is_err());
    world.finish();
}
