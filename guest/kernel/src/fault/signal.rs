//! Which signal Linux would send for what a program did.

use pagelab_abi::{code::FaultKind, crash::CrashCause, trap::TrapFrame};

use super::{
    crash::{Death, die},
    undecoded,
};
use crate::{state::Kernel, user_copy};

const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGBUS: u32 = 7;
const SIGFPE: u32 = 8;
const SIGKILL: u32 = 9;
const SIGSEGV: u32 = 11;

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const FPE_INTDIV: i32 = 1;
const FPE_FLTUNK: i32 = 14;
const ILL_ILLOPN: i32 = 2;
const TRAP_TRACE: i32 = 2;
/// The kernel says no more than that it was the kernel.
const SI_KERNEL: i32 = 0x80;
const SI_USER: i32 = 0;

/// Longest instruction.
const MAX_INSTRUCTION: usize = 15;

/// A page fault that cannot be resolved.
#[cold]
pub(super) fn page_fault(kernel: &mut Kernel, frame: &TrapFrame, kind: FaultKind) -> ! {
    let (signal, code, cause) = match kind {
        FaultKind::SegvMapErr => (SIGSEGV, SEGV_MAPERR, CrashCause::PageFault),
        FaultKind::SegvAccErr => (SIGSEGV, SEGV_ACCERR, CrashCause::PageFault),
        FaultKind::SigBus => (SIGBUS, BUS_ADRERR, CrashCause::PageFault),
        _ => (SIGKILL, SI_KERNEL, CrashCause::OutOfMemory),
    };
    die(kernel, frame, Death { signal, code, address: frame.fault_address, cause })
}

/// A page fault on a page that the tables grant: a protection key that the program has set itself denies it.
#[cold]
pub(super) fn unexplained(kernel: &mut Kernel, frame: &TrapFrame) -> ! {
    let address = frame.fault_address;
    die(kernel, frame, Death { signal: SIGSEGV, code: SEGV_PKUERR, address, cause: CrashCause::PageFault })
}

/// A CPU exception that is not a page fault.
#[cold]
pub(crate) fn exception(kernel: &mut Kernel, frame: &TrapFrame, vector: u64) -> ! {
    let (signal, code, address) = match vector {
        6 if kernel.ring_0_is_emulated() && is_general_protection(kernel, frame) => (SIGSEGV, SI_KERNEL, 0),
        0 => (SIGFPE, FPE_INTDIV, frame.rip),
        1 => (SIGTRAP, TRAP_TRACE, frame.rip),
        3 => (SIGTRAP, SI_KERNEL, 0),
        6 => (SIGILL, ILL_ILLOPN, frame.rip),
        11 | 12 => (SIGBUS, SI_KERNEL, 0),
        16 | 19 => (SIGFPE, FPE_FLTUNK, frame.rip),
        17 => (SIGBUS, BUS_ADRALN, 0),
        _ => (SIGSEGV, SI_KERNEL, 0),
    };
    die(kernel, frame, Death { signal, code, address, cause: CrashCause::Exception })
}

fn is_general_protection(kernel: &Kernel, frame: &TrapFrame) -> bool {
    let mut code = [0; MAX_INSTRUCTION];
    let length = user_copy::peek(kernel, frame.rip, &mut code);
    undecoded::is_general_protection(&code[..length])
}

/// A return to an address that no program can have.
#[cold]
pub(crate) fn bad_return(kernel: &mut Kernel, frame: &TrapFrame) -> ! {
    die(kernel, frame, Death { signal: SIGSEGV, code: SI_KERNEL, address: 0, cause: CrashCause::BadReturn })
}

/// The signal that the program has sent to itself.
#[cold]
pub(crate) fn sent(kernel: &mut Kernel, frame: &TrapFrame) -> ! {
    let signal = kernel.process.dying_of;
    die(kernel, frame, Death { signal, code: SI_USER, address: 0, cause: CrashCause::Sent })
}
