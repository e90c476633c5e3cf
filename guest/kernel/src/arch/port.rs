//! The control ports by which the kernel calls the host.
#![expect(unsafe_code, reason = "OUT is an assembly instruction")]

use core::arch::asm;

use pagelab_abi::{port, trap::FaultTrap};

fn out(port: u16, value: u32) {
    // SAFETY: an OUT to a control port touches no memory of ours but the ring, which the host only reads, and `tail`,
    // which is read as an atomic.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags)) };
}

/// Asks the host to drain the ring.
pub(crate) fn doorbell() {
    out(port::DOORBELL, 0);
}

/// Asks the host to take the bytes that the newest record names.
pub(crate) fn bulk() {
    out(port::BULK, 0);
}

/// Shows the host a page fault that has been handled.
pub(crate) fn fault_trap(trap: &FaultTrap) {
    // SAFETY: as in `out`; the host reads what R8 leads to, and writes nothing.
    unsafe {
        asm!("out dx, eax", in("dx") port::FAULT_TRAP, in("eax") 0, in("r8") trap, options(nostack, preserves_flags));
    }
}

/// Ends the run with a wait status.
pub(crate) fn exit(status: u32) -> ! {
    out(port::EXIT, status);
    halt()
}

/// Tells the host that the kernel has panicked.
pub(crate) fn panicked() -> ! {
    out(port::PANIC, 0);
    halt()
}

/// Refuses a boot info of another version.
pub(crate) fn abi_mismatch() -> ! {
    out(port::ABI_MISMATCH, pagelab_abi::ABI_VERSION);
    halt()
}

fn halt() -> ! {
    loop {
        x86_64::instructions::hlt();
    }
}
