//! Memblock against a naive map with one entry a frame.

use pagelab_mm::{
    abi::code::Owner,
    memblock::{ADDRESS_LIMIT, MAX_RAM, MAX_RESERVED, Memblock, MemblockError, Region},
};
use proptest::prelude::*;

const PAGE: u64 = 4096;

fn region(start: u64, end: u64, owner: Owner) -> Region {
    Region { start: start * PAGE, end: end * PAGE, owner, node: 0 }
}

#[test]
fn ram_shrinks_and_reservations_grow_to_whole_frames() {
    let mut memblock = Memblock::new();
    memblock.add_ram(0x800, 0x10_0800).expect("room");
    memblock.add_ram(0x20_0001, 0x20_0fff).expect("less than a frame is nothing");
    memblock.reserve(0x4fff, 0x6001, Owner::Kernel).expect("room");
    assert!(memblock.ram().eq([region(1, 0x100, Owner::None)]));
    assert!(memblock.reserved().eq([region(0, 1, Owner::Reserved), region(4, 7, Owner::Kernel)]));
    assert!(memblock.free().eq([region(1, 4, Owner::None), region(7, 0x100, Owner::None)]));
    assert!(memblock.reserved_ram().eq([region(4, 7, Owner::Kernel)]));
}

#[test]
fn what_is_reserved_keeps_its_owner() {
    let mut memblock = Memblock::new();
    memblock.reserve(4 * PAGE, 6 * PAGE, Owner::Kernel).expect("room");
    memblock.reserve(2 * PAGE, 8 * PAGE, Owner::Boot).expect("room");
    memblock.reserve(8 * PAGE, 9 * PAGE, Owner::Boot).expect("room");
    let expected = [
        region(0, 1, Owner::Reserved),
        region(2, 4, Owner::Boot),
        region(4, 6, Owner::Kernel),
        region(6, 9, Owner::Boot),
    ];
    assert!(memblock.reserved().eq(expected));
}

#[test]
fn alloc_is_bottom_up_above_the_kernel() {
    let mut memblock = Memblock::new();
    memblock.add_ram(0, 64 << 20).expect("room");
    memblock.reserve(1 << 20, (1 << 20) + 5 * PAGE, Owner::Kernel).expect("room");
    memblock.reserve((1 << 20) + 6 * PAGE, (1 << 20) + 8 * PAGE, Owner::Boot).expect("room");
    assert_eq!(memblock.alloc(1, 1, Owner::PageTable), Some((1 << 20) + 5 * PAGE), "the gap is filled first");
    assert_eq!(memblock.alloc(2 * PAGE, PAGE, Owner::MemMap), Some((1 << 20) + 8 * PAGE));
    assert_eq!(memblock.alloc(PAGE + 1, 2 << 20, Owner::MemMap), Some(2 << 20));
    assert_eq!(memblock.alloc(64 << 20, PAGE, Owner::MemMap), None);
    assert_eq!(memblock.alloc(u64::MAX, PAGE, Owner::MemMap), None);
    assert_eq!(memblock.alloc(PAGE, u64::MAX, Owner::MemMap), None);
    assert_eq!(memblock.alloc(0, PAGE, Owner::MemMap), None);
}

#[test]
fn without_a_kernel_frame_0_is_still_not_handed_out() {
    let mut memblock = Memblock::new();
    memblock.add_ram(0, 2 * PAGE).expect("room");
    assert_eq!(memblock.alloc(PAGE, PAGE, Owner::Buffer), Some(PAGE));
    assert_eq!(memblock.alloc(PAGE, PAGE, Owner::Buffer), None);
}

#[test]
fn bad_ranges_and_full_arrays_are_errors() {
    let mut memblock = Memblock::new();
    assert_eq!(memblock.add_ram(PAGE, 0), Err(MemblockError::Backwards));
    assert_eq!(memblock.reserve(PAGE, 0, Owner::Boot), Err(MemblockError::Backwards));
    assert_eq!(memblock.add_ram(0, u64::MAX), Err(MemblockError::TooHigh));
    assert_eq!(memblock.reserve(0, ADDRESS_LIMIT + 1, Owner::Boot), Err(MemblockError::TooHigh));
    for n in 0..MAX_RAM as u64 {
        memblock.add_ram(n * 3 * PAGE, (n * 3 + 2) * PAGE).expect("room");
    }
    assert_eq!(memblock.add_ram(1 << 30, 1 << 31), Err(MemblockError::Full));
    // Frame 0 is one of the reserved ranges.
    for n in 1..MAX_RESERVED as u64 {
        memblock.reserve(n * 2 * PAGE, (n * 2 + 1) * PAGE, Owner::Boot).expect("room");
    }
    let before: Vec<_> = memblock.reserved().collect();
    assert_eq!(memblock.reserve(1 << 30, 1 << 31, Owner::Boot), Err(MemblockError::Full));
    assert_eq!(memblock.reserve(0, 1 << 31, Owner::Kernel), Err(MemblockError::Full));
    assert_eq!(memblock.alloc(PAGE, PAGE, Owner::Kernel), None, "nowhere to note it");
    assert_eq!(memblock.reserved().collect::<Vec<_>>(), before);
    memblock.reserve(3 * PAGE, 4 * PAGE, Owner::Boot).expect("it joins its neighbours");
    assert_eq!(memblock.reserved().count(), MAX_RESERVED - 1);
}

/// Frames the model knows.
const FRAMES: u64 = 200;

#[derive(Clone, Debug)]
enum Step {
    Ram(u64, u64, u8),
    Reserve(u64, u64, Owner),
    Alloc(u64, u64, Owner),
}

fn step() -> impl Strategy<Value = Step> {
    let range =
        || (0..FRAMES * PAGE, 0..20 * PAGE).prop_map(|(start, size)| (start, (start + size).min(FRAMES * PAGE)));
    let owner = || proptest::sample::select(vec![Owner::Boot, Owner::Kernel, Owner::MemMap]);
    prop_oneof![
        (range(), 0u8..3).prop_map(|((start, end), node)| Step::Ram(start, end, node)),
        (range(), owner()).prop_map(|((start, end), owner)| Step::Reserve(start, end, owner)),
        (1..8 * PAGE, 0u32..16, owner()).prop_map(|(size, align, owner)| Step::Alloc(size, 1 << align, owner)),
    ]
}

#[derive(Clone, Copy, Default)]
struct Cell {
    ram: Option<u8>,
    owner: Option<Owner>,
}

/// One entry a frame, for all frames the model knows.
fn spread(regions: impl Iterator<Item = Region>) -> Vec<Option<(Owner, u8)>> {
    let mut cells = vec![None; FRAMES as usize];
    for region in regions {
        assert!(region.start < region.end, "empty region");
        for pfn in region.start / PAGE..region.end / PAGE {
            assert_eq!(cells[pfn as usize].replace((region.owner, region.node)), None, "regions overlap");
        }
    }
    cells
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 2000 }, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_agrees_with_a_map_of_frames(steps in prop::collection::vec(step(), 0..60)) {
        let mut memblock = Memblock::new();
        let mut model = [Cell::default(); FRAMES as usize];
        model[0].owner = Some(Owner::Reserved);
        for step in steps {
            match step {
                Step::Ram(start, end, node) => {
                    if memblock.add_ram_of_node(start, end, node).is_ok() {
                        for pfn in start.div_ceil(PAGE)..end / PAGE {
                            model[pfn as usize].ram.get_or_insert(node);
                        }
                    }
                }
                Step::Reserve(start, end, owner) => {
                    memblock.reserve(start, end, owner).expect("room for so few");
                    if start < end {
                        for pfn in start / PAGE..end.div_ceil(PAGE) {
                            model[pfn as usize].owner.get_or_insert(owner);
                        }
                    }
                }
                Step::Alloc(size, align, owner) => {
                    let (frames, step) = (size.div_ceil(PAGE), (align / PAGE).max(1));
                    let kernel_end = model.iter().rposition(|cell| cell.owner == Some(Owner::Kernel)).map_or(0, |n| n + 1);
                    let free = |pfn: u64| model.get(pfn as usize).is_some_and(|cell| cell.ram.is_some() && cell.owner.is_none());
                    // Not over the border of two nodes.
                    let alike = |first: u64, pfn: u64| model[pfn as usize].ram == model[first as usize].ram;
                    let fits = |first: u64| (first..first + frames).all(|pfn| free(pfn) && alike(first, pfn));
                    let expected = (kernel_end as u64..FRAMES).find(|&first| first % step == 0 && fits(first));
                    prop_assert_eq!(memblock.alloc(size, align, owner), expected.map(|pfn| pfn * PAGE));
                    for pfn in expected.into_iter().flat_map(|first| first..first + frames) {
                        model[pfn as usize].owner = Some(owner);
                    }
                }
            }
        }
        let (ram, free) = (spread(memblock.ram()), spread(memblock.free()));
        let (reserved, reserved_ram) = (spread(memblock.reserved()), spread(memblock.reserved_ram()));
        for (pfn, cell) in model.iter().enumerate() {
            let ram_here = cell.ram.map(|node| (Owner::None, node));
            prop_assert_eq!(ram[pfn], ram_here);
            prop_assert_eq!(free[pfn], ram_here.filter(|_| cell.owner.is_none()));
            prop_assert_eq!(reserved[pfn], cell.owner.map(|owner| (owner, 0)));
            prop_assert_eq!(reserved_ram[pfn], cell.owner.zip(cell.ram));
        }
        for regions in [memblock.ram().collect::<Vec<_>>(), memblock.reserved().collect()] {
            let kind = |region: &Region| (region.owner, region.node);
            let apart = |pair: &[Region]| pair[0].end < pair[1].start || (pair[0].end == pair[1].start && kind(&pair[0]) != kind(&pair[1]));
            prop_assert!(regions.windows(2).all(apart), "{:?}", regions);
        }
    }
}
