//! The end of a program for which no frame can be found: Linux's OOM killer, with its report.

use pagelab_abi::{code::BulkKind, crash::CrashCause, snapshot::ZoneEntry, trap::TrapFrame, vmstat::Counter};
use pagelab_mm::oom::{Report, ZONES};

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
    let memory = kernel.mm.frames.mem_header();
    let mut zones = [ZoneEntry::default(); ZONES];
    let mut count = 0;
    for (place, zone) in zones.iter_mut().zip(kernel.mm.frames.zone_entries()) {
        *place = zone;
        count += 1;
    }
    let report = Report { refused: kernel.mm.refused, task: &task, memory: &memory, zones: &zones[..count] };
    kernel.say(BulkKind::Diagnosis, format_args!("{report}"));
    die(kernel, frame, Death { signal: SIGKILL, code: SI_KERNEL, address, cause: CrashCause::OutOfMemory })
}
