//! Touching kernel virtual memory that may not be mapped: copies and fills whose page faults come back as errors.
//!
//! They are assembly of their own, so that the trap can tell their faults by the instruction's address. It then makes
//! them return the fault instead of what they were asked for. Nothing else in ring 0 may fault.
#![expect(unsafe_code, reason = "memory is reached by address, and the trap changes where the code goes on")]

use core::arch::{asm, global_asm};

use pagelab_abi::trap::TrapFrame;
use pagelab_mm::machine::KernelFault;

global_asm!(
    r#"
.section .text
# RDI to, RSI from, RCX quadwords, RDX bytes after them. R8 is 0 in the end.
.balign 16
access_start:
access_copy:
    rep movsq
    mov ecx, edx
    rep movsb
    xor r8d, r8d
    ret

# RDI to, RCX quadwords, RDX bytes after them, all zeros. R8 is 0 in the end.
.balign 16
access_zero:
    xor eax, eax
    rep stosq
    mov ecx, edx
    rep stosb
    xor r8d, r8d
    ret
access_end:

# Where the trap sends a fault of the above, its facts in registers.
access_faulted:
    ret
"#
);

unsafe extern "C" {
    static access_start: u8;
    static access_end: u8;
    static access_faulted: u8;
}

/// In R8 of an access that has faulted, beside the error code.
const FAULTED: u64 = 1 << 63;

/// If an access of this module has faulted: makes it return that.
pub(crate) fn fix_up(frame: &mut TrapFrame) -> bool {
    if !(&raw const access_start as u64..&raw const access_end as u64).contains(&frame.rip) {
        return false;
    }
    frame.rdx = frame.fault_address;
    frame.rcx = frame.tsc;
    frame.rsi = frame.rip;
    frame.r8 = FAULTED | frame.error;
    frame.rip = &raw const access_faulted as u64;
    true
}

fn outcome(status: u64, address: u64, rip: u64, tsc: u64) -> Result<(), KernelFault> {
    if status == 0 { Ok(()) } else { Err(KernelFault { address, error_code: status as u16, rip, tsc }) }
}

/// Copies `length` bytes, quadwords first: the cheapest way where ring 0 is emulated.
///
/// # Safety
/// What is mapped of the ranges is memory that may be read and written so, and nothing that Rust has a reference to.
pub(crate) unsafe fn copy(to: u64, from: u64, length: usize) -> Result<(), KernelFault> {
    let (status, address, rip, tsc);
    // SAFETY: the caller vouches for the ranges, and DF is clear in the kernel. A page fault ends the call early.
    unsafe {
        asm!(
            "call access_copy",
            inout("rdi") to => _,
            inout("rsi") from => rip,
            inout("rcx") length / 8 => tsc,
            inout("rdx") length % 8 => address,
            out("r8") status,
        );
    }
    outcome(status, address, rip, tsc)
}

/// Fills `length` bytes with zeros.
///
/// # Safety
/// As [`copy`].
pub(crate) unsafe fn zero(to: u64, length: usize) -> Result<(), KernelFault> {
    let (status, address, rip, tsc);
    // SAFETY: as in `copy`.
    unsafe {
        asm!(
            "call access_zero",
            inout("rdi") to => _,
            inout("rcx") length / 8 => tsc,
            inout("rdx") length % 8 => address,
            out("rsi") rip,
            out("rax") _,
            out("r8") status,
        );
    }
    outcome(status, address, rip, tsc)
}
