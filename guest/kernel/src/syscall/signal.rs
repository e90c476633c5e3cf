//! Signals that the program sends to itself. There are no handlers yet, so each does what Linux does by default.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::state::Kernel;

/// Highest signal number (Linux's _NSIG on x86-64).
const LAST: u64 = 64;

pub(super) fn kill(kernel: &mut Kernel, &[pid, number, ..]: &Args) -> Result {
    // 0 is the caller's process group, which has one member.
    match pid as u32 {
        0 => send(kernel, number),
        pid if pid == kernel.process.pid => send(kernel, number),
        _ => checked(number).and(Err(Errno::ESRCH)),
    }
}

pub(super) fn tkill(kernel: &mut Kernel, &[tid, number, ..]: &Args) -> Result {
    let group = u64::from(kernel.process.pid);
    tgkill(kernel, &[group, tid, number, 0, 0, 0])
}

pub(super) fn tgkill(kernel: &mut Kernel, &[group, tid, number, ..]: &Args) -> Result {
    if group as i32 <= 0 || tid as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let pid = kernel.process.pid;
    if group as u32 != pid || tid as u32 != pid {
        return checked(number).and(Err(Errno::ESRCH));
    }
    send(kernel, number)
}

fn checked(number: u64) -> core::result::Result<u32, Errno> {
    let number = u64::from(number as u32);
    if number <= LAST { Ok(number as u32) } else { Err(Errno::EINVAL) }
}

/// What a signal does by default (signal(7)).
fn send(kernel: &mut Kernel, number: u64) -> Result {
    const SIGCHLD: u32 = 17;
    const SIGCONT: u32 = 18;
    const SIGSTOP: u32 = 19;
    const SIGTTOU: u32 = 22;
    const SIGURG: u32 = 23;
    const SIGWINCH: u32 = 28;
    match checked(number)? {
        0 | SIGCHLD | SIGCONT | SIGURG | SIGWINCH => Ok(0),
        // Nobody could make it go on again.
        SIGSTOP..=SIGTTOU => Err(Errno::ENOSYS),
        number => {
            kernel.process.dying_of = number;
            Ok(0)
        }
    }
}
