//! The stack: its start, its growth, its guard gap, its limit.

use pagelab_mm::{
    abi::{
        code::VmaOp,
        layout::{MMAP_BASE, MMAP_MIN_ADDR, STACK_TOP},
        name,
    },
    space::{GrowRefusal, map, prot},
};

use crate::world::{PAGE, RW, World};

/// Pages the stack has at the start: one for the arguments and 128 KiB.
const START: u64 = 33;
const GUARD: u64 = 256;

fn world() -> World {
    let mut world = World::new();
    world.space.map_stack(&mut world.cx, 100, false).expect("room");
    world
}

fn grow(world: &mut World, pages_below_top: u64) -> Result<(), GrowRefusal> {
    world.space.expand_stack(&mut world.cx, STACK_TOP - pages_below_top * PAGE)
}

#[test]
fn it_starts_as_linux_starts_it() {
    let mut world = world();
    let entry = world.entries()[0];
    assert_eq!((entry.start, entry.end, entry.name), (STACK_TOP - START * PAGE, STACK_TOP, name::STACK));
    assert_eq!(world.space.usage.stack_vm, START);
    world.finish();
}

#[test]
fn it_grows_to_its_limit_and_no_further() {
    let mut world = world();
    assert_eq!(grow(&mut world, START), Ok(()), "in it already");
    assert_eq!(grow(&mut world, 100), Ok(()));
    assert_eq!(world.space.usage.stack_vm, 100);
    let event = world.cx.trace.vmas.last().copied().expect("an event");
    assert_eq!((event.op, event.start, event.end), (VmaOp::Grow, STACK_TOP - 100 * PAGE, STACK_TOP));
    assert_eq!(event.offset, event.start, "the page offset goes down too");
    assert_eq!(grow(&mut world, 2048), Ok(()));
    assert_eq!(grow(&mut world, 2049), Err(GrowRefusal::StackLimit));
    assert!(world.touch(STACK_TOP - 2000 * PAGE, true));
    world.finish();
}

#[test]
fn it_keeps_its_distance_to_an_accessible_mapping() {
    let mut world = world();
    let below = STACK_TOP - 1000 * PAGE;
    world.map(below - PAGE, PAGE, prot::READ, map::FIXED).expect("free");
    assert_eq!(grow(&mut world, 1000 - GUARD + 1), Err(GrowRefusal::GuardGap));
    assert_eq!(grow(&mut world, 1000 - GUARD), Ok(()));
    world.protect(below - PAGE, PAGE, 0).expect("mapped");
    assert_eq!(grow(&mut world, 1000), Ok(()), "no gap to what nobody can touch");
    assert_eq!(world.rows(below - PAGE), ["0-1 ---", "1-1001 rw-"]);
    world.finish();
}

#[test]
fn only_a_stack_grows() {
    let mut world = world();
    world.map(MMAP_BASE - PAGE, PAGE, RW, map::FIXED).expect("free");
    let mut grow = |address| world.space.expand_stack(&mut world.cx, address);
    assert_eq!(grow(MMAP_BASE - 2 * PAGE), Err(GrowRefusal::NotAStack));
    assert_eq!(grow(STACK_TOP), Err(GrowRefusal::NotAStack));
    world.space.limits.stack.soft = u64::MAX;
    world.unmap(MMAP_BASE - PAGE, PAGE).expect("mapped");
    let mut grow = |address| world.space.expand_stack(&mut world.cx, address);
    assert_eq!(grow(MMAP_MIN_ADDR - 1), Err(GrowRefusal::TooLow));
    world.space.limits.address_space.soft = 100 * PAGE;
    let mut grow = |address| world.space.expand_stack(&mut world.cx, address);
    assert_eq!(grow(STACK_TOP - 101 * PAGE), Err(GrowRefusal::AddressSpaceLimit));
    assert_eq!(grow(STACK_TOP - 100 * PAGE), Ok(()));
    world.finish();
}

#[test]
fn a_small_limit_makes_a_small_start() {
    let mut world = World::new();
    world.space.limits.stack.soft = 10 * PAGE;
    world.space.map_stack(&mut world.cx, PAGE, true).expect("room");
    assert_eq!(world.rows(STACK_TOP - 10 * PAGE), ["0-10 rwx"]);
    world.finish();
}
