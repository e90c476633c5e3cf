//! What each trap means.
#![expect(unsafe_code, reason = "a trap takes the kernel's state")]

use pagelab_abi::{layout::TASK_SIZE, trap::TrapFrame};

use crate::{
    arch::{
        access,
        descriptors::{USER_CODE, USER_DATA},
        entry::{SYSCALL_VECTOR, TRAPPED_PAGE_FAULT, syscall_address},
    },
    fault, signal,
    state::{self, Kernel},
    syscall,
};

const DEBUG: u64 = 1;
const PAGE_FAULT: u64 = 14;
const GENERAL_PROTECTION: u64 = 13;
/// User-mode instruction fetch from a present page (SDM vol. 3, 4.7).
const USER_FETCH_PRESENT: u64 = 0x15;

/// RFLAGS.TF.
const TRAP_FLAG: u64 = 1 << 8;
/// RFLAGS bits that a program may set by itself (SDM vol. 1, 3.4.3), and the two that are always set in ring 3.
const USER_FLAGS: u64 = 0x0024_4dd5;
const RESERVED_AND_IF: u64 = 0x202;

/// Called by the entry code for every trap and system call.
pub(crate) extern "C" fn trap(frame: &mut TrapFrame) {
    if !frame.is_user() {
        if frame.vector == DEBUG {
            // The program single-steps and this CPU has taken its trap behind `syscall`. The program's own flags keep
            // TF, so it gets the trap when it goes on.
            frame.rflags &= !TRAP_FLAG;
            return;
        }
        #[cfg(feature = "selftest")]
        if crate::selftest::probe::fix_up(frame) {
            return;
        }
        if matches!(frame.vector, PAGE_FAULT | TRAPPED_PAGE_FAULT) && access::fix_up(frame) {
            return;
        }
        kernel_trap(frame);
    }
    // SAFETY: the trap came from ring 3, so no reference to the state is live.
    let Some(kernel) = (unsafe { state::get() }) else { panic!("ring 3 trapped before a program was started") };
    let vector = frame.vector;
    match vector {
        PAGE_FAULT if !is_broken_syscall(kernel, frame) => fault::user_fault(kernel, frame),
        PAGE_FAULT => broken_system_call(kernel, frame),
        SYSCALL_VECTOR => system_call(kernel, frame),
        GENERAL_PROTECTION if frame.error == 0 && fault::emulate_cpuid(kernel, frame) => {}
        TRAPPED_PAGE_FAULT if !is_broken_syscall(kernel, frame) => fault::trapped::user_fault(kernel, frame),
        TRAPPED_PAGE_FAULT => broken_system_call(kernel, frame),
        _ => signal::exception::exception(kernel, frame, vector),
    }
    // IRETQ to a non-canonical address would fault in ring 0.
    if kernel.signals.attention || frame.rip >= TASK_SIZE {
        signal::leave(kernel, frame);
    }
}

/// Whether a trap that has been served was a system call.
pub(crate) fn is_system_call(kernel: &Kernel, frame: &TrapFrame) -> bool {
    frame.vector == SYSCALL_VECTOR || kernel.ring_0_is_emulated() && is_fetch_of_entry(frame)
}

/// A system call that came as a page fault.
fn broken_system_call(kernel: &mut Kernel, frame: &mut TrapFrame) {
    frame.rip = frame.rcx;
    frame.rflags = frame.r11;
    system_call(kernel, frame);
}

fn system_call(kernel: &mut Kernel, frame: &mut TrapFrame) {
    frame.cs = u64::from(USER_CODE.0);
    frame.ss = u64::from(USER_DATA.0);
    frame.rflags = frame.rflags & USER_FLAGS | RESERVED_AND_IF;
    syscall::dispatch(kernel, frame);
}

/// Whether this page fault is a `syscall` that shadow-paging hosts deliver with the program's CS: the fetch at LSTAR
/// then faults. There a program that jumps to LSTAR itself looks the same and is served the same, with RCX and R11 as
/// it left them; elsewhere it dies of the jump.
#[inline(always)]
fn is_broken_syscall(kernel: &Kernel, frame: &TrapFrame) -> bool {
    frame.rip == syscall_address() && is_fetch_of_entry(frame) && kernel.ring_0_is_emulated()
}

#[inline(always)]
fn is_fetch_of_entry(frame: &TrapFrame) -> bool {
    frame.error == USER_FETCH_PRESENT && frame.fault_address == syscall_address()
}

/// Ring 0 never faults by design, but in [`access`]: this is the kernel's own bug.
#[cold]
#[inline(never)]
fn kernel_trap(frame: &TrapFrame) -> ! {
    let (vector, error, rip, address, rsp) =
        (frame.vector as u8, frame.error, frame.rip, frame.fault_address, frame.rsp);
    if matches!(frame.vector, PAGE_FAULT | TRAPPED_PAGE_FAULT) {
        // SAFETY: what has trapped never goes on, so that its references to the state are dead.
        if let Some(kernel) = unsafe { state::get() } {
            let at = kernel.mm.where_is(address);
            panic!(
                "ring 0 raised a page fault (error code {error:#x}) at {rip:#x}; CR2 is {address:#x}: {at}; RSP {rsp:#x}"
            );
        }
    }
    panic!("ring 0 raised exception {vector} (error code {error:#x}) at {rip:#x}; CR2 is {address:#x}, RSP {rsp:#x}");
}
