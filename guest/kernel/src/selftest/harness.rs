//! Tests of the tests: what a leak, a failed check and a wild access come to. Those called `demo/` fail by design.

use core::hint::{black_box, spin_loop};

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_OFFSET, VMEMMAP_START},
};
use pagelab_mm::{
    frame::{Gfp, Page},
    machine::Machine as _,
};

use super::{
    check::{Outcome, ensure, ensure_eq},
    entry::{Machine, test},
    ledger::Ledger,
    probe,
};
use crate::state::Kernel;

test!(finds_a_leak, "harness/finds_a_leak");
fn finds_a_leak(kernel: &mut Kernel) -> Outcome {
    let before = Ledger::take(kernel);
    let leaked = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    ensure!(before.compare(kernel, true).is_err(), "a frame leaked and nobody noticed");
    kernel.mm.free_frames(leaked, 0)?;
    Ok(())
}

test!(finds_broken_invariants, "harness/finds_broken_invariants");
fn finds_broken_invariants(kernel: &mut Kernel) -> Outcome {
    let frame = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    let before = Ledger::take(kernel);
    // Some other frame in use becomes somebody else's, behind the allocator's back.
    let page = kernel.mm.machine.pages()[frame.index()];
    kernel.mm.machine.pages_mut()[frame.index()] = Page { owner: Owner::Anon, ..page };
    ensure!(before.compare(kernel, true).is_err(), "an owner's count is wrong and nobody noticed");
    kernel.mm.machine.pages_mut()[frame.index()] = page;
    kernel.mm.free_frames(frame, 0)?;
    Ok(())
}

test!(wild_accesses_come_back, "harness/wild_accesses_come_back");
fn wild_accesses_come_back(_: &mut Kernel) -> Outcome {
    // Not mapped, and not canonical: a page fault, and a general protection fault.
    ensure!(probe::read(PAGE_OFFSET + (1 << 40)).is_err());
    ensure!(probe::read(VMEMMAP_START + (1 << 40)).is_err());
    ensure!(probe::write(1 << 60, 1).is_err());
    ensure!(probe::execute(PAGE_OFFSET + (1 << 40)).is_err());
    ensure_eq!(probe::execute(probe::nothing()), Ok(()));
    Ok(())
}

test!(expects_a_panic, "harness/expects_a_panic", Machine::ANY.panics("on purpose"));
fn expects_a_panic(_: &mut Kernel) -> Outcome {
    panic!("the kernel panics on purpose");
}

test!(fails, "demo/fails", Machine::DEMONSTRATION);
fn fails(kernel: &mut Kernel) -> Outcome {
    ensure_eq!(kernel.mm.frames.free(), 0);
    Ok(())
}

test!(leaks, "demo/leaks", Machine::DEMONSTRATION);
fn leaks(kernel: &mut Kernel) -> Outcome {
    kernel.mm.alloc_frames(2, Gfp::KERNEL, Owner::Kernel)?;
    Ok(())
}

test!(panics, "demo/panics", Machine::DEMONSTRATION);
fn panics(_: &mut Kernel) -> Outcome {
    let four = [1, 2, 3, 4];
    // An index that the compiler does not see.
    ensure_eq!(four[black_box(5)], 5);
    Ok(())
}

test!(hangs, "demo/hangs", Machine::DEMONSTRATION);
fn hangs(_: &mut Kernel) -> Outcome {
    loop {
        spin_loop();
    }
}
