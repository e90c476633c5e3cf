//! The end of a program for which no frame can be found: Linux's OOM killer, with its report.

use pagelab_abi::{crash::CrashCause, trap::TrapFrame, vmstat::Counter};

use super::crash::{Death, die};
use crate::{
    signal::{SI_KERNEL, SIGKILL},
    state::Kernel,
};

/// Kills the program, which is the one that uses the memory: no other could be chosen. `address` is what it touched, or 0
/// in a system call.
#[cold]
pub(crate) fn kill(kernel: &mut Kernel, frame: &TrapFrame, address: u64) -> ! {
    kernel.mm.stats.add(Counter::OomKill, 1);
    let task = kernel.mm_header();
    kernel.say_out_of_memory(Some(&task));
    die(kernel, frame, Death { signal: SIGKILL, code: SI_KERNEL, address, cause: CrashCause::OutOfMemory })
}
