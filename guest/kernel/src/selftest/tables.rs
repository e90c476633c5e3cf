//! Tests of the kernel's own page tables: what must not be written, executed or reached is not.
#![expect(unsafe_code, reason = "the linker script says where the parts of the image are")]

use core::hint::black_box;

use pagelab_abi::{
    code::Owner,
    layout::{KERNEL_VIRT, PAGE_OFFSET, PAGE_SIZE},
};
use pagelab_mm::{frame::Gfp, machine::Machine as _};

use super::{
    check::{Outcome, ensure_eq},
    entry::{Machine, test},
    probe::{self, FETCH, Fault, PRESENT, WRITE},
};
use crate::state::Kernel;

unsafe extern "C" {
    static __stack_guard: u8;
    static __fault_stack_guard: u8;
    static __debug_stack_guard: u8;
}

test!(text_is_read_only, "tables/text_is_read_only");
fn text_is_read_only(_: &mut Kernel) -> Outcome {
    let text = probe::nothing() & !7;
    let before = probe::read(text)?;
    for address in [text, text - KERNEL_VIRT + PAGE_OFFSET] {
        ensure_eq!(probe::write(address, !before), Err(Fault::page(PRESENT | WRITE, address)));
    }
    ensure_eq!(probe::read(text), Ok(before));
    ensure_eq!(probe::execute(probe::nothing()), Ok(()));
    Ok(())
}

test!(constants_are_constant, "tables/constants_are_constant");
fn constants_are_constant(_: &mut Kernel) -> Outcome {
    static CONSTANT: u64 = 0xc3c3_c3c3_c3c3_c3c3;
    let address = &raw const CONSTANT as u64;
    ensure_eq!(probe::read(address), Ok(CONSTANT));
    for address in [address, address - KERNEL_VIRT + PAGE_OFFSET] {
        ensure_eq!(probe::write(address, 0), Err(Fault::page(PRESENT | WRITE, address)));
        ensure_eq!(probe::execute(address), Err(Fault::page(PRESENT | FETCH, address)));
    }
    Ok(())
}

test!(data_is_not_executed, "tables/data_is_not_executed");
fn data_is_not_executed(kernel: &mut Kernel) -> Outcome {
    let frame = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Kernel)?;
    // A `ret`.
    kernel.mm.machine.frame_mut(frame).0[0] = 0xc3;
    let direct = PAGE_OFFSET + frame.address();
    ensure_eq!(probe::execute(direct), Err(Fault::page(PRESENT | FETCH, direct)));
    kernel.mm.free_frames(frame, 0)?;
    let on_the_stack = 0xc3u64;
    let stack = &raw const *black_box(&on_the_stack) as u64;
    ensure_eq!(probe::execute(stack), Err(Fault::page(PRESENT | FETCH, stack)));
    Ok(())
}

test!(guard_pages_fault, "tables/guard_pages_fault");
fn guard_pages_fault(_: &mut Kernel) -> Outcome {
    for guard in [&raw const __stack_guard, &raw const __fault_stack_guard, &raw const __debug_stack_guard] {
        for address in [guard as u64, guard as u64 + PAGE_SIZE - 8] {
            ensure_eq!(probe::write(address, 0), Err(Fault::page(WRITE, address)));
            ensure_eq!(probe::read(address), Err(Fault::page(0, address)));
        }
        // Behind it the stack begins.
        probe::read(guard as u64 + PAGE_SIZE)?;
    }
    Ok(())
}

test!(null_is_not_mapped, "tables/null_is_not_mapped");
fn null_is_not_mapped(_: &mut Kernel) -> Outcome {
    for address in [0, PAGE_SIZE, 1 << 20, 1 << 30] {
        ensure_eq!(probe::read(address), Err(Fault::page(0, address)));
    }
    Ok(())
}

test!(stack_overflow, "tables/stack_overflow", Machine::ANY.panics("ring 0 raised exception 8"));
fn stack_overflow(_: &mut Kernel) -> Outcome {
    #[expect(unconditional_recursion, reason = "the stack shall overflow")]
    fn deeper(level: u64) -> u64 {
        let room = [level; 128];
        deeper(black_box(&room)[0] + 1) + black_box(&room)[1]
    }
    ensure_eq!(deeper(0), 0);
    Ok(())
}
