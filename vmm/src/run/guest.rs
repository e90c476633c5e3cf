//! The life of one guest: made, watched, run to its end or stopped, and what is to be said of it afterwards.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, never, select, tick};

use super::{
    LabError,
    config::{RunConfig, StopListener},
};
use crate::{
    faults::{ActiveSource, FaultError, Watch},
    trace::{CopyTally, Ending, Input},
    vm::{
        Image, Program, Ram, Vm, VmConfig, clock, diagnosis,
        ring::RingReader,
        stats,
        symbols::Symbols,
        vcpu::{self, End, Finished, RunningVcpu, VcpuStatus, VcpuTask},
    },
};

/// Exit status of a run whose timeout passed, as timeout(1) has it.
pub const TIMEOUT_STATUS: i32 = 124;
/// Exit status of a run that the lab could not bring to the program's own end.
pub const LAB_STATUS: i32 = 125;

/// How long a vCPU may take to stop while its fault source works, and how long once it has been released.
const STOP_PATIENCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// Time between kicks.
const KICK_INTERVAL: Duration = Duration::from_millis(50);
/// How often the ring of a running guest is drained, if it does not ask for it more often.
const DRAIN_INTERVAL: Duration = Duration::from_millis(200);

/// Why the lab ended a run.
#[derive(Debug)]
enum Cause {
    /// The guest ended by itself.
    Guest,
    Timeout(Duration),
    Signal(i32),
    SourceFailed(FaultError),
}

/// Makes the machine of a run. It has not run yet.
pub(super) fn create(config: &RunConfig<'_>) -> Result<Vm, LabError> {
    let program = Program { path: &config.program, args: &config.args, env: &config.env, initramfs: config.initramfs };
    Ok(Vm::create(&VmConfig {
        memory: config.memory,
        backing: config.backing,
        small_pages: config.sources.host.is_some_and(|source| source.needs_small_pages()),
        trace_window: RunConfig::TRACE_WINDOW,
        image: config.kernel,
        program,
        seed: config.seed,
        trace: config.sources.guest,
    })?)
}

/// Runs a machine to its end. Everything it does goes to `sink`.
pub(super) fn run(vm: Vm, config: &mut RunConfig<'_>, sink: Sender<Input>) -> Result<Ending, LabError> {
    let Vm { vcpu, ram, window, cpuid, tsc_offset_zero, tsc_hz, fd } = vm;
    let ring = RingReader::new(window).map_err(|error| LabError::TraceWindow(error.to_string()))?;
    if let Some(hz) = tsc_hz {
        // Known now, so that times can be told even of a run whose end is missing. A recorder that has died says so later.
        let _ = sink.send(Input::Fact("tsc_hz", hz.to_string()));
    }
    let status = Arc::new(VcpuStatus::default());
    let source = match config.sources.host {
        None => None,
        Some(source) => {
            let watch = Watch { ram: ram.clone(), sink: sink.clone(), vcpus: vec![Arc::clone(&status)] };
            Some(source.start(watch)?)
        }
    };
    log::debug!("ready for the first instruction after {:?}", config.start.instant.elapsed());
    let begin = Instant::now();
    let task = VcpuTask { vcpu, ram: ram.clone(), ring, sink, console: config.console.take() };
    let running = vcpu::spawn(task, status).map_err(LabError::Thread)?;
    let (mut cause, finished) = wait(&running, source.as_deref(), config.timeout, config.stop.as_ref())?;
    let finished = match finished {
        Some(finished) => finished,
        None => stop(&running, source.as_deref())?,
    };
    let wall = begin.elapsed();
    log::debug!("the guest ended after {wall:?}");
    // The source ends before anything here reads guest memory, or it would count this process's own touches.
    let mut copies = None;
    match source.map(|source| source.stop()).transpose() {
        Ok(tally) => copies = tally,
        Err(error) => cause = Cause::SourceFailed(error),
    }
    let tsc_hz = tsc_hz.unwrap_or_else(|| config.start.measured_tsc_hz());
    let mut facts = vec![("cpuid".to_owned(), cpuid.name().to_owned())];
    let counters = [stats::read(&fd), stats::read(&finished.vcpu)].into_iter().flatten().flatten();
    facts.extend(counters.map(|(name, value)| (format!("kvm.{name}"), value.to_string())));
    let drift = if tsc_offset_zero { clock::tsc_offset(&finished.vcpu).unwrap_or(0) } else { 0 };
    if drift != 0 {
        log::warn!("this host's TSC is not stable: the guest's moved by {drift} ticks against it");
    }
    Ok(ending(config, &ram, &cause, &finished, Measured { wall, tsc_hz, drift, copies, facts }))
}

/// Waits for the first reason to end, and has the ring drained now and then, so that little is lost if the lab itself is
/// killed. [`Finished`] is there only if the guest ended by itself.
fn wait(
    running: &RunningVcpu,
    source: Option<&dyn ActiveSource>,
    timeout: Option<Duration>,
    stop: Option<&StopListener>,
) -> Result<(Cause, Option<Finished>), LabError> {
    let no_failure = never();
    let failure: &Receiver<FaultError> = source.map_or(&no_failure, ActiveSource::failure);
    let no_stop = never();
    let mut stop = stop.map_or(&no_stop, |listener| &listener.0);
    let deadline = timeout.map_or_else(never, after);
    let drain = tick(DRAIN_INTERVAL);
    loop {
        let cause = select! {
            recv(running.finished) -> finished => {
                return Ok((Cause::Guest, Some(finished.map_err(|_| LabError::VcpuDied)?)));
            }
            recv(failure) -> error => {
                let name = source.map_or("none", ActiveSource::name);
                Cause::SourceFailed(error.unwrap_or(FaultError::Died { name }))
            }
            recv(stop) -> signal => match signal {
                Ok(signal) => Cause::Signal(signal),
                Err(_) => {
                    // Nobody can stop this run any more: wait for its own end.
                    stop = &no_stop;
                    continue;
                }
            },
            recv(deadline) -> _ => Cause::Timeout(timeout.unwrap_or_default()),
            recv(drain) -> _ => {
                running.nudge();
                continue;
            }
        };
        return Ok((cause, None));
    }
}

/// Stops a running vCPU. While the fault source works, a kick is enough and every count stays exact; a vCPU that stays
/// in a fault is let go by force.
fn stop(running: &RunningVcpu, source: Option<&dyn ActiveSource>) -> Result<Finished, LabError> {
    for (round, patience) in STOP_PATIENCE.into_iter().enumerate() {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            running.stop();
            match running.finished.recv_timeout(KICK_INTERVAL) {
                Ok(finished) => return Ok(finished),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(LabError::VcpuDied),
            }
        }
        if let (0, Some(source)) = (round, source) {
            log::debug!("the vCPU is still in a fault: {} lets it go", source.name());
            source.release();
        }
    }
    Err(LabError::VcpuStuck)
}

/// What was measured of a run.
struct Measured {
    wall: Duration,
    tsc_hz: u64,
    /// What KVM has moved the guest's TSC by since it was the host's, in ticks.
    drift: i64,
    copies: Option<CopyTally>,
    facts: Vec<(String, String)>,
}

fn ending(config: &RunConfig<'_>, ram: &Ram, cause: &Cause, finished: &Finished, measured: Measured) -> Ending {
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
        (Cause::Timeout(limit), End::Stopped) => {
            (TIMEOUT_STATUS, Some(format!("the guest had not ended after {limit:?}")))
        }
        (Cause::Signal(number), End::Stopped) => (128 + number, Some(format!("ended by signal {number}"))),
        _ => (LAB_STATUS, None),
    };
    let symbols = || match config.kernel {
        Image::Elf(bytes) => Symbols::from_elf(bytes),
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
