//! Loads and stores at addresses a program works out itself: the accesses whose faults the lab watches.
#![expect(unsafe_code, reason = "the programs touch memory that Rust knows nothing of, on purpose")]

use core::arch::asm;

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;

/// Loads eight bytes with one instruction.
///
/// # Safety
/// `address` is mapped and nobody holds a reference to it; or ending the program by a signal is the wanted effect.
#[inline(always)]
pub unsafe fn load(address: usize) -> u64 {
    let value;
    // SAFETY: an aligned or unaligned load has no other effect than the ones the caller vouches for.
    unsafe { asm!("mov {}, [{}]", out(reg) value, in(reg) address, options(nostack, readonly, preserves_flags)) };
    value
}

/// Stores eight bytes with one instruction.
///
/// # Safety
/// As for [`load`]; nothing else relies on what was there.
#[inline(always)]
pub unsafe fn store(address: usize, value: u64) {
    // SAFETY: see the function's own contract.
    unsafe { asm!("mov [{}], {}", in(reg) address, in(reg) value, options(nostack, preserves_flags)) };
}

/// Jumps to an address, never to come back.
///
/// # Safety
/// Ending the program by a signal is the wanted effect.
pub unsafe fn jump(address: usize) -> ! {
    // SAFETY: see the function's own contract.
    unsafe { asm!("jmp {}", in(reg) address, options(noreturn)) }
}
