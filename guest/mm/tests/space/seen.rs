//! What others see of an address space: events and snapshots.

use pagelab_mm::{
    abi::{
        code::VmaOp,
        layout::{MMAP_BASE, STACK_TOP},
        name,
    },
    space::{Advice, map, prot},
};

use crate::world::{FILE_BYTES, PAGE, RW, World};

const BASE: u64 = 0x10_0000_0000;

/// The events since the last call: what, and which pages from `BASE`.
fn events(world: &mut World) -> Vec<(VmaOp, u64, u64)> {
    let page = |address: u64| (address - BASE) / PAGE;
    world.cx.trace.vmas.drain(..).map(|event| (event.op, page(event.start), page(event.end))).collect()
}

#[test]
fn each_change_is_told_in_order() {
    let mut world = World::new();
    world.map(BASE, 4 * PAGE, RW, 0).expect("free");
    assert_eq!(events(&mut world), [(VmaOp::Map, 0, 4)]);
    world.map(BASE + 4 * PAGE, 2 * PAGE, RW, 0).expect("free");
    assert_eq!(events(&mut world), [(VmaOp::Map, 4, 6), (VmaOp::Merge, 0, 6)]);
    world.protect(BASE + PAGE, PAGE, prot::READ).expect("mapped");
    assert_eq!(events(&mut world), [(VmaOp::Split, 0, 1), (VmaOp::Split, 1, 2), (VmaOp::Protect, 1, 2)]);
    world.protect(BASE + PAGE, PAGE, RW).expect("mapped");
    assert_eq!(events(&mut world), [(VmaOp::Protect, 1, 2), (VmaOp::Merge, 0, 6)]);
    world.space.madvise(&mut world.cx, BASE, PAGE, Advice::DontNeed).expect("mapped");
    assert_eq!(events(&mut world), [(VmaOp::DontNeed, 0, 1)]);
    world.unmap(BASE + 2 * PAGE, PAGE).expect("mapped");
    assert_eq!(events(&mut world), [(VmaOp::Split, 0, 3), (VmaOp::Unmap, 2, 3)]);
    world.map(BASE, 4 * PAGE, prot::READ, map::FIXED).expect("fixed");
    assert_eq!(events(&mut world), [(VmaOp::Unmap, 0, 2), (VmaOp::Unmap, 3, 4), (VmaOp::Map, 0, 4)]);
    world.finish();
}

#[test]
fn the_heap_has_its_name_from_its_first_page() {
    let mut world = World::new();
    world.space.set_brk_start(BASE);
    world.brk(BASE + PAGE);
    world.brk(BASE + 2 * PAGE);
    world.brk(BASE + PAGE);
    assert!(world.cx.trace.vmas.iter().all(|event| event.file == name::HEAP), "{:x?}", world.cx.trace.vmas);
    let brks = world.cx.trace.vmas.iter().filter(|event| event.op == VmaOp::Brk);
    assert_eq!(brks.map(|event| (event.end - event.start) / PAGE).collect::<Vec<_>>(), [1, 2, 1]);
    world.finish();
}

#[test]
fn an_event_describes_the_mapping() {
    let mut world = World::new();
    world.map_file(BASE, 3 * PAGE, prot::READ, map::PRIVATE, 2).expect("free");
    world.unmap(BASE, PAGE).expect("mapped");
    let event = world.cx.trace.vmas.pop().expect("an event");
    assert_eq!((event.offset, event.file, event.prot), (2 * PAGE, 77, 1));
    assert_eq!(u64::from(event.map_flags), map::PRIVATE);
    world.map(BASE, PAGE, RW, map::GROWSDOWN | map::NORESERVE).expect("free");
    let event = world.cx.trace.vmas.pop().expect("an event");
    assert_eq!(u64::from(event.map_flags), map::PRIVATE | map::ANONYMOUS | map::GROWSDOWN | map::NORESERVE);
    assert_eq!((event.offset, event.file, event.prot), (BASE, 0, 3));
    world.finish();
}

#[test]
fn a_snapshot_counts_pages_by_kind() {
    let mut world = World::new();
    let length = FILE_BYTES.next_multiple_of(PAGE);
    world.map_file(BASE, length, RW, map::PRIVATE, 0).expect("free");
    world.map_file(BASE + 16 * PAGE, length - PAGE, prot::READ, map::PRIVATE, 1).expect("free");
    world.map(BASE + 32 * PAGE, 3 * PAGE, RW, 0).expect("free");
    // The file: page 0 mapped once, page 1 twice, page 2 copied here and read there.
    for (page, write) in [(0, false), (1, false), (2, true), (16, false), (17, false), (32, false), (33, true)] {
        assert!(world.touch(BASE + page * PAGE, write), "page {page}");
    }
    let [first, second, anonymous] = world.entries().try_into().expect("three VMAs");
    assert_eq!((first.name, first.inode, first.offset, second.offset), (77, 4711, 0, PAGE));
    assert_eq!((first.rss, first.anonymous, first.zero, first.referenced), (3, 1, 0, 3));
    assert_eq!((first.private_clean, first.shared_clean, first.private_dirty, first.shared_dirty), (1, 1, 1, 0));
    assert_eq!((first.pss, first.pss_dirty), (2 * PAGE + PAGE / 2, PAGE));
    assert_eq!((second.rss, second.private_clean, second.shared_clean, second.pss), (2, 1, 1, PAGE + PAGE / 2));
    assert_eq!((anonymous.rss, anonymous.zero, anonymous.private_dirty, anonymous.pss), (1, 1, 1, PAGE));
    assert_eq!((anonymous.name, anonymous.inode, anonymous.offset), (0, 0, 0));
    let header = world.space.snapshot_header([0; 16], 5);
    assert_eq!((header.vma_count, header.rss_file, header.rss_anon, header.total_vm), (3, 4, 2, 6 + 5 + 3));
    assert_eq!((header.data_vm, header.exec_vm, header.text_bytes), (9, 0, 5));
    assert_eq!(header.pgtables_bytes, (world.space.tables.tables - 1) * PAGE);
    world.finish();
}

#[test]
fn the_stack_is_named_by_where_it_started() {
    let mut world = World::new();
    world.space.map_stack(&mut world.cx, 0, false).expect("room");
    world.map(MMAP_BASE - PAGE, PAGE, RW, map::FIXED | map::GROWSDOWN).expect("free");
    world.space.stack_start = STACK_TOP - 16;
    let names: Vec<u32> = world.entries().iter().map(|entry| entry.name).collect();
    assert_eq!(names, [0, name::STACK]);
    world.finish();
}
