//! Delivery: what happens to signals that are due, on the way back to ring 3.

use pagelab_abi::{crash::CrashCause, layout::TASK_SIZE, trap::TrapFrame};

use super::{
    action::flags,
    exception, frame,
    info::SigInfo,
    set::{ByDefault, SIGSEGV, SignalSet, by_default},
    timer, wait,
};
use crate::{
    fault::crash::{Death, die},
    state::Kernel,
    trap::is_system_call,
};

/// Bytes of the `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;

/// Makes the registers such that ring 3 can go on with them: in a handler where a signal is due.
#[cold]
pub(crate) fn leave(kernel: &mut Kernel, registers: &mut TrapFrame) {
    if kernel.signals.timers.armed() && is_system_call(kernel, registers) {
        kernel.clock.read();
    }
    loop {
        timer::expire(kernel);
        if kernel.signals.attention {
            deliver(kernel, registers);
        }
        if registers.rip < TASK_SIZE {
            return;
        }
        exception::bad_return(kernel, registers.rip);
    }
}

fn deliver(kernel: &mut Kernel, registers: &mut TrapFrame) {
    while let Some((number, info)) = kernel.signals.take_due() {
        let action = *kernel.signals.actions.get(number);
        if action.ignores(number) {
            continue;
        }
        match action.handler() {
            Some(handler) => {
                if kernel.signals.restart && action.has(flags::RESTART) {
                    registers.rip = registers.rip.wrapping_sub(SYSCALL_LENGTH);
                    registers.rax = u64::from(kernel.process.failed_syscall);
                }
                kernel.signals.restart = false;
                handle(kernel, registers, number, handler, &info);
            }
            None if by_default(number) == ByDefault::Stop => {
                wait::for_ever(kernel, format_args!("SIGCONT, since signal {number} stopped it"))
            }
            None => {
                let cause = kernel.signals.cause_of(number, &info);
                let address = if info.is_sent() { 0 } else { info.fields[0] };
                die(kernel, registers, Death { signal: number, code: info.code, address, cause })
            }
        }
    }
    kernel.signals.restart = false;
    // A wait's own mask ends with the wait; where a handler runs, its frame has the old one.
    if let Some(mask) = kernel.signals.mask_after_wait.take() {
        kernel.signals.set_blocked(mask);
    }
    kernel.signals.look();
}

/// Starts a handler.
fn handle(kernel: &mut Kernel, registers: &mut TrapFrame, number: u32, handler: u64, info: &SigInfo) {
    let action = *kernel.signals.actions.get(number);
    if action.has(flags::RESETHAND) {
        kernel.signals.actions.reset(number);
    }
    let signals = &kernel.signals;
    let after = signals.mask_after_wait.unwrap_or(signals.blocked);
    if frame::push(kernel, registers, handler, &action, info, after).is_err() {
        if number == SIGSEGV {
            kernel.signals.actions.reset(SIGSEGV);
        }
        kernel.signals.force(&SigInfo::kernel(SIGSEGV), CrashCause::SignalFrame, None);
        return;
    }
    let signals = &mut kernel.signals;
    signals.stack.disarm();
    signals.mask_after_wait = None;
    let itself = if action.has(flags::NODEFER) { SignalSet::default() } else { SignalSet::only(number) };
    signals.set_blocked(signals.blocked.or(SignalSet(action.mask)).or(itself));
}
