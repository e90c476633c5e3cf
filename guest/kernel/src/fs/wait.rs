//! What file calls have to do with signals: those they raise, and waiting for what only the program itself could bring.

use core::fmt;

use pagelab_mm::errno::Errno;

use crate::{
    signal::{self, Restart, SigInfo, Target, Woken},
    state::Kernel,
};

/// A write to a pipe that nobody can read.
pub(crate) const SIGPIPE: u32 = 13;
/// A write beyond RLIMIT_FSIZE.
pub(crate) const SIGXFSZ: u32 = 25;

/// Sends the program a signal for what it does.
pub(crate) fn raise(kernel: &mut Kernel, number: u32) {
    const SI_USER: i32 = 0;
    let info = SigInfo::sent(number, SI_USER, kernel.process.pid, 0);
    kernel.signals.send(&info, Target::Thread);
}

/// Waits for a change that no one but the program could make: a signal may end it.
pub(crate) fn wait(kernel: &mut Kernel, what: fmt::Arguments<'_>) -> Errno {
    signal::wait(kernel, what, Restart::IfAsked)
}

/// Lets time pass on the logical clock, in nanoseconds; `None` for ever.
///
/// # Errors
/// EINTR: a signal came first.
pub(crate) fn sleep(kernel: &mut Kernel, time: Option<u64>, what: fmt::Arguments<'_>) -> Result<(), Errno> {
    let deadline = time.map(|time| kernel.clock.now().saturating_add(time));
    match signal::wait_until(kernel, deadline, what) {
        Woken::Time => Ok(()),
        Woken::Signal => Err(Errno::EINTR),
    }
}
