//! Which signal Linux sends for what an instruction did.
#![expect(unsafe_code, reason = "DR6 says why a debug exception came")]

use core::arch::asm;

use pagelab_abi::{code::FaultKind, crash::CrashCause, layout::TASK_SIZE, trap::TrapFrame};

use super::{
    Raised,
    info::SigInfo,
    set::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP},
};
use crate::{
    fault::{oom, undecoded},
    state::Kernel,
    user_copy,
};

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const ILL_ILLOPN: i32 = 2;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const FPE_INTDIV: i32 = 1;
const FPE_FLTDIV: i32 = 3;
const FPE_FLTOVF: i32 = 4;
const FPE_FLTUND: i32 = 5;
const FPE_FLTRES: i32 = 6;
const FPE_FLTINV: i32 = 7;

/// Vectors (SDM vol. 3, 6.3.1).
const DEBUG: u64 = 1;
const INVALID_OPCODE: u64 = 6;
const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
const X87: u64 = 16;
const SIMD: u64 = 19;

/// Error code of a page fault: the page is present.
const PRESENT: u64 = 1;
/// User-mode instruction fetch from a present page.
const USER_FETCH_PRESENT: u64 = 0x15;
/// First address past the lower half of what is canonical.
const NON_CANONICAL: u64 = 1 << 47;
/// Longest instruction.
const MAX_INSTRUCTION: usize = 15;
/// DR6.BS.
const SINGLE_STEP: u64 = 1 << 14;
/// DR6 when nothing has happened.
const DR6_CLEAR: u64 = 0xffff_0ff0;

/// A page fault that cannot be resolved.
#[cold]
pub(crate) fn page_fault(kernel: &mut Kernel, frame: &TrapFrame, kind: FaultKind) {
    let address = frame.fault_address;
    let info = match kind {
        FaultKind::SegvMapErr => SigInfo::at(SIGSEGV, SEGV_MAPERR, address),
        FaultKind::SegvAccErr => SigInfo::at(SIGSEGV, SEGV_ACCERR, address),
        FaultKind::SigBus => SigInfo::at(SIGBUS, BUS_ADRERR, address),
        FaultKind::Oom => oom::kill(kernel, frame, address),
        // The tables grant it: a protection key that the program has set itself does not.
        _ => SigInfo::at(SIGSEGV, SEGV_PKUERR, address),
    };
    // Linux hides which kernel pages exist.
    let hidden = if address >= TASK_SIZE { PRESENT } else { 0 };
    let raised = Raised { vector: PAGE_FAULT, error: frame.error | hidden, address };
    kernel.signals.force(&info, CrashCause::PageFault, Some(raised));
}

/// A CPU exception that is not a page fault.
#[cold]
pub(crate) fn exception(kernel: &mut Kernel, frame: &TrapFrame, vector: u64) {
    let info = match vector {
        INVALID_OPCODE if kernel.ring_0_is_emulated() && is_general_protection(kernel, frame) => {
            return general_protection(kernel, 0, CrashCause::Exception);
        }
        0 => SigInfo::at(SIGFPE, FPE_INTDIV, frame.rip),
        DEBUG => SigInfo::at(SIGTRAP, debug_code(), frame.rip),
        3 => SigInfo::kernel(SIGTRAP),
        INVALID_OPCODE => SigInfo::at(SIGILL, ILL_ILLOPN, frame.rip),
        11 | 12 => SigInfo::kernel(SIGBUS),
        17 => SigInfo::at(SIGBUS, BUS_ADRALN, 0),
        X87 | SIMD => {
            let state = kernel.signals.fpu.save();
            let exceptions = if vector == X87 { state.x87_exceptions() } else { state.sse_exceptions() };
            // Linux forgets one whose reason is gone.
            let Some(code) = floating_point_code(exceptions) else { return };
            SigInfo::at(SIGFPE, code, frame.rip)
        }
        _ => SigInfo::kernel(SIGSEGV),
    };
    let address = kernel.signals.last_raised.address;
    kernel.signals.force(&info, CrashCause::Exception, Some(Raised { vector, error: frame.error, address }));
}

/// What the CPU would raise if it went on at an address that no program can have.
#[cold]
pub(super) fn bad_return(kernel: &mut Kernel, address: u64) {
    if is_canonical(address) {
        let raised = Raised { vector: PAGE_FAULT, error: USER_FETCH_PRESENT, address };
        kernel.signals.force(&SigInfo::at(SIGSEGV, SEGV_MAPERR, address), CrashCause::BadReturn, Some(raised));
    } else {
        general_protection(kernel, 0, CrashCause::BadReturn);
    }
}

/// What it would raise if it went on with this selector.
pub(super) fn bad_selector(kernel: &mut Kernel, selector: u16) {
    general_protection(kernel, u64::from(selector & !3), CrashCause::BadReturn);
}

fn general_protection(kernel: &mut Kernel, error: u64, cause: CrashCause) {
    let address = kernel.signals.last_raised.address;
    let raised = Raised { vector: GENERAL_PROTECTION, error, address };
    kernel.signals.force(&SigInfo::kernel(SIGSEGV), cause, Some(raised));
}

fn is_canonical(address: u64) -> bool {
    address.wrapping_add(NON_CANONICAL) < NON_CANONICAL << 1
}

/// Whether an invalid opcode is what this host makes of a general-protection fault.
fn is_general_protection(kernel: &mut Kernel, frame: &TrapFrame) -> bool {
    let mut code = [0; MAX_INSTRUCTION];
    let length = user_copy::peek(kernel, frame.rip, &mut code);
    undecoded::is_general_protection(&code[..length])
}

/// Why a debug exception came; forgets it, so that the next one says its own reason.
fn debug_code() -> i32 {
    let dr6: u64;
    // SAFETY: DR6 only says what happened.
    unsafe {
        asm!("mov {}, dr6", out(reg) dr6, options(nomem, nostack, preserves_flags));
        asm!("mov dr6, {}", in(reg) DR6_CLEAR, options(nomem, nostack, preserves_flags));
    }
    if dr6 & SINGLE_STEP != 0 { TRAP_TRACE } else { TRAP_BRKPT }
}

/// Linux's order: invalid, divide, overflow, underflow or denormal, inexact.
fn floating_point_code(exceptions: u16) -> Option<i32> {
    Some(match exceptions {
        set if set & 0x01 != 0 => FPE_FLTINV,
        set if set & 0x04 != 0 => FPE_FLTDIV,
        set if set & 0x08 != 0 => FPE_FLTOVF,
        set if set & 0x12 != 0 => FPE_FLTUND,
        set if set & 0x20 != 0 => FPE_FLTRES,
        _ => return None,
    })
}
