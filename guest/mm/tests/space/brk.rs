//! `brk`.

use pagelab_mm::space::{map, prot};

use crate::world::{PAGE, RW, World};

const BASE: u64 = 0x10_0000_0000;

fn world() -> World {
    let mut world = World::new();
    world.space.set_brk_start(BASE - 5);
    world
}

#[test]
fn the_heap_grows_and_shrinks() {
    let mut world = world();
    assert_eq!(world.brk(0), BASE);
    assert_eq!(world.brk(BASE + 10), BASE + 10);
    assert_eq!(world.brk(BASE + PAGE), BASE + PAGE);
    assert_eq!(world.rows(BASE), ["0-1 rw-"]);
    assert_eq!(world.brk(BASE + 5 * PAGE + 1), BASE + 5 * PAGE + 1);
    assert_eq!(world.rows(BASE), ["0-6 rw-"]);
    assert!(world.touch(BASE + 5 * PAGE, true));
    assert_eq!(world.brk(BASE + 2 * PAGE), BASE + 2 * PAGE);
    assert_eq!(world.rows(BASE), ["0-2 rw-"]);
    assert_eq!(world.brk(BASE - 1), BASE + 2 * PAGE, "below the start: only a question");
    assert_eq!(world.brk(u64::MAX), BASE + 2 * PAGE);
    assert_eq!(world.brk(BASE), BASE);
    assert!(world.rows(BASE).is_empty());
    world.finish();
}

#[test]
fn the_heap_keeps_a_page_to_the_next_mapping_and_never_joins_the_bss() {
    let mut world = world();
    world.map(BASE - PAGE, PAGE, RW, map::FIXED).expect("the bss");
    world.map(BASE + 4 * PAGE, PAGE, RW, map::FIXED).expect("in the way");
    assert_eq!(world.brk(BASE + 4 * PAGE), BASE);
    assert_eq!(world.brk(BASE + 3 * PAGE + 1), BASE);
    assert_eq!(world.brk(BASE + 3 * PAGE), BASE + 3 * PAGE);
    let names: Vec<u32> = world.entries().iter().map(|entry| entry.name).collect();
    assert_eq!(names, [0, pagelab_mm::abi::name::HEAP, 0]);
    world.finish();
}

#[test]
fn the_data_limit_counts_the_initialised_data_too() {
    let mut world = world();
    world.space.limits.data.soft = 4 * PAGE;
    world.space.data_bytes = PAGE;
    assert_eq!(world.brk(BASE + 3 * PAGE + 1), BASE);
    assert_eq!(world.brk(BASE + 3 * PAGE), BASE + 3 * PAGE);
    world.finish();
}

#[test]
fn a_heap_that_was_unmapped_does_not_shrink() {
    let mut world = world();
    world.brk(BASE + 4 * PAGE);
    world.unmap(BASE + 2 * PAGE, 2 * PAGE).expect("mapped");
    assert_eq!(world.brk(BASE + 3 * PAGE), BASE + 4 * PAGE, "nothing there to unmap");
    assert_eq!(world.brk(BASE + PAGE), BASE + PAGE);
    assert_eq!(world.rows(BASE), ["0-1 rw-"]);
    world.protect(BASE, PAGE, prot::READ).expect("mapped");
    assert_eq!(world.brk(BASE + 2 * PAGE), BASE + 2 * PAGE);
    assert_eq!(world.rows(BASE), ["0-1 r--", "1-2 rw-"]);
    world.finish();
}
