//! `mmap` and `munmap`: where a mapping goes, and which errno a bad request gets.

use pagelab_mm::{
    abi::layout::{MMAP_BASE, MMAP_MIN_ADDR, TASK_SIZE},
    errno::Errno,
    space::{Advice, MmapRequest, map, prot},
};

use crate::world::{ANON, PAGE, RW, World};

const BASE: u64 = 0x10_0000_0000;

#[test]
fn mappings_go_down_from_the_top_and_join() {
    let mut world = World::new();
    assert_eq!(world.map(0, 3 * PAGE, RW, 0), Ok(MMAP_BASE - 3 * PAGE));
    assert_eq!(world.map(0, PAGE - 1, RW, 0), Ok(MMAP_BASE - 4 * PAGE));
    assert_eq!(world.rows(MMAP_BASE - 4 * PAGE), ["0-4 rw-"]);
    assert_eq!(world.unmap(MMAP_BASE - 2 * PAGE, PAGE), Ok(()));
    assert_eq!(world.map(0, PAGE, prot::READ, 0), Ok(MMAP_BASE - 2 * PAGE));
    assert_eq!(world.map(0, 2 * PAGE, prot::READ, 0), Ok(MMAP_BASE - 6 * PAGE));
    world.finish();
}

#[test]
fn a_full_top_falls_back_to_the_bottom() {
    let mut world = World::new();
    let base = TASK_SIZE / 3 / PAGE * PAGE + PAGE;
    assert_eq!(world.map(MMAP_MIN_ADDR, MMAP_BASE - MMAP_MIN_ADDR, 0, map::FIXED), Ok(MMAP_MIN_ADDR));
    assert_eq!(world.map(0, PAGE, RW, 0), Ok(MMAP_BASE));
    assert_eq!(world.map(0, TASK_SIZE - MMAP_BASE, RW, 0), Err(Errno::ENOMEM));
    assert_eq!(world.unmap(base - PAGE, 4 * PAGE), Ok(()));
    // Found from the top.
    assert_eq!(world.map(0, 2 * PAGE, RW, 0), Ok(base + PAGE));
    world.finish();
}

#[test]
fn hints_are_taken_when_they_are_free() {
    let mut world = World::new();
    assert_eq!(world.map(BASE + 5, PAGE, RW, 0), Ok(BASE));
    assert_eq!(world.map(BASE, PAGE, RW, 0), Ok(MMAP_BASE - PAGE));
    assert_eq!(world.map(BASE - PAGE, 2 * PAGE, RW, 0), Ok(MMAP_BASE - 3 * PAGE));
    assert_eq!(world.map(1, PAGE, RW, 0), Ok(MMAP_BASE - 4 * PAGE), "rounded down to none");
    assert_eq!(world.map(PAGE, PAGE, RW, 0), Ok(MMAP_MIN_ADDR), "raised to the lowest");
    assert_eq!(world.map(TASK_SIZE, PAGE, RW, 0), Ok(MMAP_BASE - 5 * PAGE), "out of reach");
    assert_eq!(world.map(0, PAGE, RW, map::LOW_2GIB), Ok(0x4000_0000));
    world.finish();
}

#[test]
fn a_hint_keeps_the_guard_gap_of_a_stack() {
    let mut world = World::new();
    let stack = BASE + 300 * PAGE;
    assert_eq!(world.map(stack, PAGE, RW, map::GROWSDOWN), Ok(stack));
    assert_eq!(world.map(stack - 257 * PAGE, PAGE, RW, 0), Ok(stack - 257 * PAGE));
    assert_ne!(world.map(stack - 256 * PAGE, PAGE, RW, 0), Ok(stack - 256 * PAGE));
    assert_eq!(world.map(stack - PAGE, PAGE, prot::READ, map::FIXED), Ok(stack - PAGE), "an order is an order");
    world.finish();
}

#[test]
fn bad_requests_get_linux_errno_values() {
    let mut world = World::new();
    let mut ask = |addr, length, flags| world.map(addr, length, RW, flags);
    assert_eq!(ask(0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(ask(0, u64::MAX, 0), Err(Errno::ENOMEM), "wraps to nothing");
    assert_eq!(ask(0, TASK_SIZE + 1, 0), Err(Errno::ENOMEM));
    assert_eq!(ask(BASE + 1, PAGE, map::FIXED), Err(Errno::EINVAL));
    assert_eq!(ask(TASK_SIZE, PAGE, map::FIXED), Err(Errno::ENOMEM));
    assert_eq!(ask(TASK_SIZE + 1, PAGE, map::FIXED), Err(Errno::ENOMEM));
    assert_eq!(ask(MMAP_MIN_ADDR - PAGE, PAGE, map::FIXED), Err(Errno::EPERM));
    assert_eq!(ask(0, PAGE, map::SHARED_VALIDATE), Err(Errno::EINVAL));
    assert_eq!(ask(TASK_SIZE - PAGE, PAGE, map::FIXED), Ok(TASK_SIZE - PAGE));
    assert_eq!(ask(TASK_SIZE - PAGE, 1, map::FIXED_NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(ask(BASE, PAGE, map::FIXED_NOREPLACE), Ok(BASE));
    for (flags, errno) in
        [(0, Errno::EINVAL), (map::SHARED_VALIDATE, Errno::EINVAL), (map::SHARED | map::GROWSDOWN, Errno::EINVAL)]
    {
        let request = MmapRequest { length: PAGE, prot: RW, flags, ..MmapRequest::default() };
        assert_eq!(world.space.mmap(&mut world.cx, &request), Err(errno));
    }
    world.finish();
}

#[test]
fn unmapping_nothing_succeeds_and_nonsense_does_not() {
    let mut world = World::new();
    assert_eq!(world.unmap(BASE, PAGE), Ok(()));
    assert_eq!(world.unmap(BASE, 0), Err(Errno::EINVAL));
    assert_eq!(world.unmap(BASE + 1, PAGE), Err(Errno::EINVAL));
    assert_eq!(world.unmap(BASE, TASK_SIZE), Err(Errno::EINVAL));
    assert_eq!(world.unmap(TASK_SIZE, 1), Err(Errno::EINVAL));
    assert_eq!(world.unmap(BASE, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(world.unmap(0, TASK_SIZE), Ok(()));
    world.finish();
}

#[test]
fn a_fixed_mapping_replaces_what_is_there() {
    let mut world = World::new();
    world.map(BASE, 6 * PAGE, RW, 0).expect("free");
    (0..6).for_each(|page| assert!(world.touch(BASE + page * PAGE, true)));
    assert_eq!(world.space.usage.rss_anon, 6);
    world.map(BASE + 2 * PAGE, 2 * PAGE, prot::READ, map::FIXED).expect("fixed");
    assert_eq!(world.rows(BASE), ["0-2 rw-", "2-4 r--", "4-6 rw-"]);
    assert_eq!((world.space.usage.rss_anon, world.space.usage.hiwater_rss), (4, 6));
    world.finish();
}

#[test]
fn too_many_mappings() {
    let mut world = World::new();
    world.space.limits.max_map_count = 2;
    world.map(BASE, 3 * PAGE, RW, 0).expect("the first");
    world.map(BASE + 8 * PAGE, PAGE, RW, 0).expect("the second");
    assert_eq!(world.unmap(BASE + PAGE, PAGE), Err(Errno::ENOMEM), "a hole makes one more");
    assert_eq!(world.protect(BASE, PAGE, 0), Err(Errno::ENOMEM));
    assert_eq!(world.rows(BASE), ["0-3 rw-", "8-9 rw-"]);
    world.map(BASE + 16 * PAGE, PAGE, RW, 0).expect("one more than the limit, as on Linux");
    assert_eq!(world.map(BASE + 24 * PAGE, PAGE, RW, 0), Err(Errno::ENOMEM));
    assert_eq!(world.unmap(BASE, PAGE), Ok(()));
    world.finish();
}

#[test]
fn limits_of_size() {
    let mut world = World::new();
    world.space.limits.address_space.soft = 8 * PAGE;
    world.space.limits.data.soft = 2 * PAGE;
    assert_eq!(world.map(BASE, 9 * PAGE, 0, 0), Err(Errno::ENOMEM));
    assert_eq!(world.map(BASE, 3 * PAGE, RW, 0), Err(Errno::ENOMEM));
    assert_eq!(world.map(BASE, 4 * PAGE, 0, 0), Ok(BASE));
    assert_eq!(world.map(BASE + 2 * PAGE, 2 * PAGE, RW, map::FIXED), Ok(BASE + 2 * PAGE), "in place of others");
    assert_eq!(world.protect(BASE, PAGE, RW), Err(Errno::ENOMEM));
    assert_eq!(world.map(BASE + 8 * PAGE, 5 * PAGE, 0, 0), Err(Errno::ENOMEM));
    assert_eq!(world.rows(BASE), ["0-2 ---", "2-4 rw-"]);
    world.finish();
}

#[test]
fn advice_to_forget() {
    let mut world = World::new();
    world.map(BASE, 2 * PAGE, RW, 0).expect("free");
    world.map(BASE + 4 * PAGE, PAGE, RW, 0).expect("free");
    for page in [0, 1, 4] {
        assert!(world.touch(BASE + page * PAGE, true));
    }
    let mut forget = |start, length| world.space.madvise(&mut world.cx, start, length, Advice::DontNeed);
    assert_eq!(forget(BASE + 1, PAGE), Err(Errno::EINVAL));
    assert_eq!(forget(BASE, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(forget(BASE, 0), Ok(()));
    assert_eq!(forget(BASE + PAGE, 4 * PAGE), Err(Errno::ENOMEM), "a hole, but all of it is done");
    assert_eq!(world.space.usage.rss_anon, 1);
    assert_eq!(world.space.mincore(&world.cx, BASE, 2 * PAGE, |page, there| assert_eq!(there, page == 0)), Ok(()));
    assert_eq!(world.space.mincore(&world.cx, BASE, 3 * PAGE, |_, _| ()), Err(Errno::ENOMEM));
    assert_eq!(world.space.mincore(&world.cx, BASE + 1, PAGE, |_, _| ()), Err(Errno::EINVAL));
    world.finish();
}

#[test]
fn without_memory_a_request_fails_and_nothing_is_lost() {
    let mut world = World::new();
    let mut hoard = Vec::new();
    while let Ok(frame) = world.cx.alloc_frame(pagelab_mm::frame::Gfp::ATOMIC, pagelab_mm::abi::code::Owner::Buffer) {
        hoard.push(frame);
    }
    let request = MmapRequest { addr: BASE, length: PAGE, prot: RW, flags: ANON, file: None, ..MmapRequest::default() };
    assert_eq!(world.space.mmap(&mut world.cx, &request), Err(Errno::ENOMEM));
    for frame in hoard {
        world.cx.put_frame(frame).expect("ours");
    }
    world.finish();
}

#[test]
fn a_lock_whose_length_wraps_around_is_of_nothing() {
    let mut world = World::new();
    let start = world.map(0, 4 * PAGE, RW, 0).expect("room");
    // Found by fuzzing: the pages of the empty range were looked for without end.
    assert_eq!(world.lock(start, u64::MAX, false), Ok(()));
    assert_eq!(world.space.usage.locked_vm, 0);
    world.finish();
}
