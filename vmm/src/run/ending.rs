//! What is to be said of a run that has ended.

use std::time::Duration;

use super::{config::RunConfig, wait::Cause};
use crate::{
    trace::{CopyTally, Ending},
    vm::{
        Image, Ram, clock, diagnosis,
        symbols::Symbols,
        vcpu::{End, Finished},
    },
};

/// Exit status of a run that the user's own `--stop-at` ended.
pub const STOP_AT_STATUS: i32 = 123;
/// Exit status of a run whose timeout passed, as timeout(1) has it.
pub const TIMEOUT_STATUS: i32 = 124;
/// Exit status of a run that the lab could not bring to the program's own end.
pub const LAB_STATUS: i32 = 125;

/// What was measured of a run.
pub(super) struct Measured {
    pub(super) wall: Duration,
    pub(super) tsc_hz: u64,
    /// What KVM has moved the guest's TSC by since it was the host's, in ticks.
    pub(super) drift: i64,
    pub(super) copies: Option<CopyTally>,
    pub(super) facts: Vec<(String, String)>,
}

/// The ending of a run, as the run file has it.
pub(super) fn ending(
    config: &RunConfig<'_>,
    ram: &Ram,
    cause: &Cause,
    finished: &Finished,
    measured: Measured,
) -> Ending {
    let Measured { wall, tsc_hz, drift, copies, mut facts } = measured;
    let wall_ns = nanoseconds(wall);
    let mut complete = false;
    let (exit_status, reason) = match (cause, &finished.end) {
        (Cause::SourceFailed(error), _) => (LAB_STATUS, Some(error.to_string())),
        // A guest that ended while it was being stopped has ended.
        (_, End::Exit(wait_status)) => {
            complete = true;
            (exit_status(*wait_status), None)
        }
        (_, End::StopAt { .. }) => (STOP_AT_STATUS, None),
        (Cause::Timeout(limit), End::Stopped) => {
            (TIMEOUT_STATUS, Some(format!("the guest had not ended after {limit:?}")))
        }
        (Cause::Signal(number), End::Stopped) => (128 + number, Some(format!("ended by signal {number}"))),
        _ => (LAB_STATUS, None),
    };
    let symbols = || match config.kernel {
        Image::Elf(bytes) => Symbols::from_elf(bytes),
        Image::Foreign(foreign) => Symbols::from_elf(foreign.elf),
        Image::Flat(_) => Symbols::default(),
    };
    let diagnosis = match finished.end {
        End::Exit(_) => reason,
        _ => {
            let described = diagnosis::describe(finished, ram, &symbols());
            Some(reason.into_iter().chain(described).collect::<Vec<_>>().join("\n"))
        }
    };
    let clock_error_ns = finished.calibration.map_or(wall_ns, |found| {
        // Stamps were off by anything between nothing and the whole drift.
        clock::ticks_to_ns(found.error_ticks.max(drift.unsigned_abs()), tsc_hz)
    });
    if let Some(calibration) = finished.calibration {
        let ticks = calibration.first_instruction.saturating_sub(config.start.tsc);
        facts.push(("first_instruction_ns".to_owned(), clock::ticks_to_ns(ticks, tsc_hz).to_string()));
        facts.push(("clock_correction_ticks".to_owned(), calibration.guest_to_host.to_string()));
        facts.push(("clock_drift_ticks".to_owned(), drift.to_string()));
    }
    facts.push(("end_ns".to_owned(), nanoseconds(config.start.instant.elapsed()).to_string()));
    facts.push(("protocol_errors".to_owned(), finished.protocol_errors.to_string()));
    Ending { exit_status, complete, diagnosis, wall_ns, clock_error_ns, tsc_hz, copies, facts }
}

/// A wait status as a shell shows it: the program's own status, or 128 and the signal.
fn exit_status(wait_status: u32) -> i32 {
    match wait_status & 0x7f {
        0 => ((wait_status >> 8) & 0xff) as i32,
        signal => 128 + signal as i32,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::exit_status;

    #[test]
    fn wait_statuses_become_exit_statuses() {
        assert_eq!(exit_status(0), 0);
        assert_eq!(exit_status(7 << 8), 7);
        assert_eq!(exit_status(11), 139);
        assert_eq!(exit_status(0x80 | 6), 134, "with a core dump");
        assert_eq!(exit_status(0xffff_ff00), 255);
    }
}
