//! What is said of a mistake: the frame, the rule, and both places.

use pagelab_mm::{
    abi::code::Owner,
    frame::{FreeError, Gfp, Mistake},
    machine::{Machine, Pfn},
};

use crate::machine::{SMALL, TestContext, context};

/// The text of a mistake, without the directories of the places.
fn text(cx: &TestContext, error: FreeError) -> String {
    cx.describe(error).to_string().replace(file!(), "HERE")
}

#[test]
fn a_double_free_names_who_freed_before() {
    let mut cx = context(SMALL);
    let pfn = cx.alloc_frames(2, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    cx.free_frames(pfn, 2).expect("allocated above");
    let line = line!() - 1;
    let error = cx.free_frames(pfn, 2).expect_err("freed already");
    // The caller's place becomes known to the trace with its next event.
    cx.trace.0.push((cx.trace.0[0].0, std::panic::Location::caller()));
    let expected = format!(
        "frame {:#x} is already free; order 2, node 0 zone DMA; called from an unknown place, freed before at HERE:{line}",
        pfn.0
    );
    assert_eq!(text(&cx, error), expected);
}

#[test]
fn a_single_frame_on_a_cpus_list_is_free() {
    let mut cx = context(SMALL);
    let pfn = cx.alloc_frame(Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    let errors = [(); 2].map(|()| cx.put_frame(pfn).err());
    let [None, Some(error)] = errors else { panic!("freed once: {errors:?}") };
    assert_eq!((error.mistake, error.owner, error.first), (Mistake::DoubleFree, Owner::None, error.caller));
    let place = format!("HERE:{}", line!() - 3);
    let said = text(&cx, error);
    assert!(said.ends_with(&format!("called from {place}, freed before at {place}")), "{said}");
}

#[test]
fn a_wrong_order_names_who_allocated() {
    let mut cx = context(SMALL);
    let pfn = cx.alloc_frames(2, Gfp::KERNEL, Owner::Slab).expect("plenty is free");
    let line = line!() - 1;
    let error = cx.free_frames(pfn, 3).expect_err("it has order 2");
    assert_eq!((error.mistake, error.order), (Mistake::WrongOrder { allocated: 2 }, 3));
    let said = text(&cx, error);
    let expected = format!(
        "frame {:#x} was allocated with order 2 and is given back with order 3; order 3, node 0 zone DMA, owner slab; \
         called from an unknown place, allocated at HERE:{line}",
        pfn.0
    );
    assert_eq!(said, expected);
    let inside = cx.free_frames(Pfn(pfn.0 + 2), 0).expect_err("inside");
    assert_eq!((inside.mistake, inside.owner), (Mistake::NotHead { head: pfn }, Owner::Slab));
    assert_eq!(inside.first, cx.machine.pages()[pfn.index()].site);
}

#[test]
fn foreign_and_reserved_frames_have_no_first_place() {
    let mut cx = context(SMALL);
    let foreign = cx.free_frames(Pfn(1 << 20), 0).expect_err("beyond RAM");
    assert!(text(&cx, foreign).starts_with("frame 0x100000 is of no zone; order 0; called from "));
    let reserved = cx.free_frames(Pfn(7), 1).expect_err("reserved at boot");
    let said = text(&cx, reserved);
    assert!(said.starts_with("frame 0x7 was never given to the allocator; order 1, node 0 zone DMA; called"), "{said}");
    assert!(!said.contains("freed before"), "{said}");
}

#[test]
fn others_keep_a_frame() {
    let mut cx = context(SMALL);
    let pfn = cx.alloc_frame(Gfp::KERNEL, Owner::File).expect("plenty is free");
    cx.get_frame(pfn).expect("allocated above");
    let error = cx.free_frames(pfn, 0).expect_err("another reference");
    assert_eq!((error.mistake, error.owner), (Mistake::Referenced { refcount: 2 }, Owner::File));
    cx.put_frame(pfn).expect("the other reference");
    cx.machine.pages_mut()[pfn.index()].mapcount = 1;
    let error = cx.put_frame(pfn).expect_err("mapped");
    assert!(text(&cx, error).contains("is still mapped by 1 page-table entries; order 0, node 0 zone DMA, owner file"));
}
