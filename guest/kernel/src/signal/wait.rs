//! Waiting: the logical clock moves on to the next timer, and a wait that nothing can end ends the run.

use core::fmt;

use pagelab_abi::code::BulkKind;
use pagelab_mm::errno::Errno;

use super::{
    set::{SIGALRM, SIGKILL, SignalSet},
    timer,
};
use crate::{process::Process, state::Kernel};

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// A signal is due. It is delivered on the way back to ring 3.
    Signal,
    /// The time has come.
    Time,
}

/// Whether a system call that a handler interrupted starts again when the handler asks for that (SA_RESTART).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Restart {
    /// As `read`.
    IfAsked,
    /// As `pause`, and whatever has a timeout.
    Never,
}

/// Waits for a signal; answers EINTR. `what` says in a diagnosis what the program waits for.
pub(crate) fn wait(kernel: &mut Kernel, what: fmt::Arguments<'_>, restart: Restart) -> Errno {
    wait_until(kernel, None, what);
    kernel.signals.restart = restart == Restart::IfAsked;
    Errno::EINTR
}

/// Waits for a signal until the clock says `deadline` (nanoseconds since boot).
pub(crate) fn wait_until(kernel: &mut Kernel, deadline: Option<u64>, what: fmt::Arguments<'_>) -> Woken {
    timer::expire(kernel);
    if !kernel.signals.due().is_empty() {
        return Woken::Signal;
    }
    let alarm = kernel.signals.timers.real().filter(|_| kernel.signals.wakes(SIGALRM));
    match (alarm, deadline) {
        (Some(alarm), deadline) if deadline.is_none_or(|deadline| alarm <= deadline) => {
            kernel.clock.sleep_until(alarm);
            timer::expire(kernel);
            Woken::Signal
        }
        (_, Some(deadline)) => {
            kernel.clock.sleep_until(deadline);
            timer::expire(kernel);
            Woken::Time
        }
        (_, None) => for_ever(kernel, what),
    }
}

/// Waits for a signal of a set, which is blocked, as `rt_sigtimedwait` does.
pub(crate) fn wait_for(kernel: &mut Kernel, set: SignalSet, deadline: Option<u64>) -> Woken {
    kernel.signals.waited_for = set;
    let woken = wait_until(kernel, deadline, format_args!("one of the signals {:#x} (rt_sigtimedwait)", set.0));
    kernel.signals.waited_for = SignalSet::default();
    woken
}

/// Ends the run of a program that nothing will ever wake.
#[cold]
pub(crate) fn for_ever(kernel: &mut Kernel, what: fmt::Arguments<'_>) -> ! {
    let rip = kernel.process.syscall_rip;
    kernel.say(
        BulkKind::Diagnosis,
        format_args!(
            "the program waits for ever: for {what}, in the system call at {rip:#x}. No timer is armed that would \
             wake it, and there is no other process; it was ended as by SIGKILL"
        ),
    );
    Process::end(kernel, SIGKILL)
}
