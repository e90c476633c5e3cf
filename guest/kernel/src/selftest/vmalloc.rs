//! Tests of the kernel's own virtual memory, through the CPU's page walk and TLB: vmalloc, vmap, ioremap.

use pagelab_abi::{
    code::Owner,
    layout::{MMIO_HOLE_START, PAGE_OFFSET, PAGE_SIZE},
};
use pagelab_mm::{
    frame::Gfp,
    kernel_space::{MapError, UnmapReason, Where},
    machine::{Machine as _, Pfn},
};

use super::{
    check::{Outcome, ensure, ensure_eq, refused},
    entry::{Machine, test},
    hog::Hog,
    probe::{self, FETCH, Fault, PRESENT, WRITE},
};
use crate::state::Kernel;

/// Areas have their frames from the start, and the direct map has them too.
const EAGER: Machine = Machine::ANY.lazy_vmalloc(false).highmem(0);
/// Areas get their frames by faults.
const LAZY: Machine = Machine::ANY.lazy_vmalloc(true);

/// The first word of a frame, through the direct map.
fn direct(frame: Pfn) -> u64 {
    PAGE_OFFSET + frame.address()
}

test!(contents_across_frames, "vmalloc/contents_across_frames", EAGER);
fn contents_across_frames(kernel: &mut Kernel) -> Outcome {
    let area = kernel.mm.vmalloc(3 * PAGE_SIZE)?;
    for page in 0..3 {
        probe::write(area + page * PAGE_SIZE, 0x1000 + page)?;
    }
    // Half of it in the first frame, half in the second.
    let across = area + PAGE_SIZE - 4;
    probe::write(across, 0x1111_1111_2222_2222)?;
    ensure_eq!(probe::read(across), Ok(0x1111_1111_2222_2222));
    for page in 0..3 {
        let frame = kernel.mm.vmalloc_to_pfn(area + page * PAGE_SIZE).ok_or("a page has no frame")?;
        let first = if page == 1 { 0x1111_1111 } else { 0x1000 + page };
        ensure_eq!(probe::read(direct(frame)), Ok(first));
        ensure_eq!(kernel.mm.machine.pages()[frame.index()].owner, Owner::Vmalloc);
    }
    kernel.mm.vfree(area)?;
    Ok(())
}

test!(guard_pages_fault, "vmalloc/guard_pages_fault", EAGER);
fn guard_pages_fault(kernel: &mut Kernel) -> Outcome {
    let first = kernel.mm.vmalloc(2 * PAGE_SIZE)?;
    let second = kernel.mm.vmalloc(PAGE_SIZE)?;
    for (area, pages) in [(first, 2), (second, 1)] {
        let guard = area + pages * PAGE_SIZE;
        probe::write(guard - 8, 1)?;
        ensure_eq!(probe::write(guard, 1), Err(Fault::page(WRITE, guard)));
        ensure_eq!(probe::read(guard + PAGE_SIZE - 8), Err(Fault::page(0, guard + PAGE_SIZE - 8)));
        ensure!(matches!(kernel.mm.where_is(guard), Where::Guard(_)), "{:?}", kernel.mm.where_is(guard));
    }
    kernel.mm.vfree(first)?;
    kernel.mm.vfree(second)?;
    Ok(())
}

test!(freed_is_gone, "vmalloc/freed_is_gone", EAGER);
fn freed_is_gone(kernel: &mut Kernel) -> Outcome {
    let area = kernel.mm.vmalloc(2 * PAGE_SIZE)?;
    // The TLB has both translations.
    probe::write(area, 1)?;
    probe::write(area + PAGE_SIZE, 2)?;
    kernel.mm.vfree(area)?;
    for address in [area, area + PAGE_SIZE] {
        ensure_eq!(probe::read(address), Err(Fault::page(0, address)));
        ensure_eq!(probe::write(address, 3), Err(Fault::page(WRITE, address)));
    }
    Ok(())
}

test!(same_place_new_frame, "vmalloc/same_place_new_frame", EAGER);
fn same_place_new_frame(kernel: &mut Kernel) -> Outcome {
    let one = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    let other = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    probe::write(direct(one), 1)?;
    probe::write(direct(other), 2)?;
    let area = kernel.mm.vmap(&[one])?;
    ensure_eq!(probe::read(area), Ok(1));
    kernel.mm.vunmap(area)?;
    // The same address leads to another frame now; an old translation would still read 1.
    ensure_eq!(kernel.mm.vmap_at(area, &[other]), Ok(area));
    ensure_eq!(probe::read(area), Ok(2));
    kernel.mm.vunmap(area)?;
    kernel.mm.free_frames(one, 0)?;
    kernel.mm.free_frames(other, 0)?;
    Ok(())
}

test!(vmap_shares_frames, "vmalloc/vmap_shares_frames", EAGER);
fn vmap_shares_frames(kernel: &mut Kernel) -> Outcome {
    let block = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    let other = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    // In another order than they lie in memory, and one of them twice.
    let area = kernel.mm.vmap(&[other, block, other])?;
    probe::write(area, 5)?;
    ensure_eq!(probe::read(area + 2 * PAGE_SIZE), Ok(5));
    ensure_eq!(probe::read(direct(other)), Ok(5));
    probe::write(direct(block), 6)?;
    ensure_eq!(probe::read(area + PAGE_SIZE), Ok(6));
    refused(kernel.mm.free_frames(block, 0), &["2 references"])?;
    kernel.mm.vunmap(area)?;
    kernel.mm.free_frames(block, 0)?;
    kernel.mm.free_frames(other, 0)?;
    Ok(())
}

test!(not_executed, "vmalloc/not_executed", EAGER);
fn not_executed(kernel: &mut Kernel) -> Outcome {
    let area = kernel.mm.vmalloc(PAGE_SIZE)?;
    // A `ret`.
    probe::write(area, 0xc3)?;
    ensure_eq!(probe::execute(area), Err(Fault::page(PRESENT | FETCH, area)));
    kernel.mm.vfree(area)?;
    Ok(())
}

test!(wrong_addresses, "vmalloc/wrong_addresses", EAGER);
fn wrong_addresses(kernel: &mut Kernel) -> Outcome {
    let area = kernel.mm.vmalloc(2 * PAGE_SIZE)?;
    refused(kernel.mm.vfree(area + PAGE_SIZE), &["is inside", "selftest/vmalloc.rs", "selftest/vmalloc.rs"])?;
    refused(kernel.mm.vunmap(area), &["another kind", "selftest/vmalloc.rs", "selftest/vmalloc.rs"])?;
    refused(kernel.mm.vfree(area + (1 << 30)), &["in no area"])?;
    kernel.mm.vfree(area)?;
    let again = kernel.mm.vfree(area);
    ensure!(matches!(again, Err(error) if matches!(error.reason, UnmapReason::AlreadyUnmapped { .. })), "{again:?}");
    // Who frees it again, who made it, who freed it first.
    refused(again, &["selftest/vmalloc.rs", "selftest/vmalloc.rs", "selftest/vmalloc.rs"])
}

test!(
    overrun_ends_in_a_report,
    "vmalloc/overrun_ends_in_a_report",
    EAGER.panics("the guard page of the vmalloc area 0x")
);
#[expect(unsafe_code, reason = "no probe, which would come back")]
fn overrun_ends_in_a_report(kernel: &mut Kernel) -> Outcome {
    let area = kernel.mm.vmalloc(2 * PAGE_SIZE)?;
    // SAFETY: nothing is mapped there, and the kernel's own fault ends it.
    unsafe { ((area + 2 * PAGE_SIZE) as *mut u64).write_volatile(1) };
    Err("the guard page can be written".into())
}

test!(lazy_frames_come_by_faults, "vmalloc/lazy_frames_come_by_faults", LAZY);
fn lazy_frames_come_by_faults(kernel: &mut Kernel) -> Outcome {
    let frames = |kernel: &Kernel| kernel.mm.frames.owned(Owner::Vmalloc);
    let (before, faults) = (frames(kernel), kernel.mm.kernel.counts.faults);
    let area = kernel.mm.vmalloc(8 * PAGE_SIZE)?;
    ensure_eq!(frames(kernel), before);
    ensure_eq!(probe::read(area), Err(Fault::page(0, area)));
    for page in [0, 3, 7] {
        ensure_eq!(kernel.mm.read_kernel_word(area + page * PAGE_SIZE)?, 0);
        kernel.mm.write_kernel_word(area + page * PAGE_SIZE, page)?;
    }
    ensure_eq!(kernel.mm.kernel.counts.faults - faults, 3);
    ensure_eq!(frames(kernel), before + 3);
    ensure_eq!(probe::read(area + 7 * PAGE_SIZE), Ok(7));
    refused(kernel.mm.read_kernel_word(area + 8 * PAGE_SIZE), &["guard page", "selftest/vmalloc.rs"])?;
    kernel.mm.vfree(area)?;
    ensure_eq!(frames(kernel), before);
    Ok(())
}

test!(too_large_leaves_nothing_behind, "vmalloc/too_large_leaves_nothing_behind", EAGER.memory(16 << 20));
fn too_large_leaves_nothing_behind(kernel: &mut Kernel) -> Outcome {
    // The tables are there, and a slab of the areas' objects.
    let warm = kernel.mm.vmalloc(PAGE_SIZE)?;
    let mut hog = Hog::new();
    hog.take_all(kernel, Gfp::KERNEL);
    hog.give_one_back(kernel)?;
    let free = kernel.mm.frames.free();
    ensure_eq!(kernel.mm.vmalloc(1024 * PAGE_SIZE), Err(MapError::OutOfMemory));
    ensure_eq!(kernel.mm.frames.free(), free);
    ensure!(matches!(kernel.mm.vmalloc(1 << 40), Err(MapError::Size { .. })));
    ensure!(matches!(kernel.mm.vmalloc(0), Err(MapError::Size { .. })));
    hog.give_back(kernel)?;
    kernel.mm.vfree(warm)?;
    Ok(())
}

test!(many_areas, "vmalloc/many_areas", EAGER);
fn many_areas(kernel: &mut Kernel) -> Outcome {
    let mut areas = [0; 12];
    for (number, area) in areas.iter_mut().enumerate() {
        *area = kernel.mm.vmalloc((1 + number as u64 % 3) * PAGE_SIZE)?;
        probe::write(*area, number as u64)?;
    }
    // Every other one goes, and the gaps are used again.
    for area in areas.iter().step_by(2) {
        kernel.mm.vfree(*area)?;
    }
    for number in (0..areas.len()).step_by(2) {
        areas[number] = kernel.mm.vmalloc(PAGE_SIZE)?;
        ensure!(areas[number] < areas[11], "a gap was not used: {:#x}", areas[number]);
        probe::write(areas[number], number as u64)?;
    }
    for (number, area) in areas.iter().enumerate() {
        ensure_eq!(probe::read(*area), Ok(number as u64));
        kernel.mm.vfree(*area)?;
    }
    Ok(())
}

test!(device_memory, "vmalloc/device_memory", EAGER);
fn device_memory(kernel: &mut Kernel) -> Outcome {
    // Nothing answers there: all bits are ones. An address inside a page stays one.
    let device = kernel.mm.ioremap(MMIO_HOLE_START + 8, 16)?;
    ensure_eq!(device % PAGE_SIZE, 8);
    ensure_eq!(probe::read(device), Ok(u64::MAX));
    ensure!(matches!(kernel.mm.ioremap(1 << 20, PAGE_SIZE), Err(MapError::NotADevice { .. })), "RAM is no device");
    kernel.mm.iounmap(device)?;
    ensure_eq!(probe::read(device), Err(Fault::page(0, device)));
    Ok(())
}
