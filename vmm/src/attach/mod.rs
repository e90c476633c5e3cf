//! Records what KVM tells of a VM that somebody else runs: tracepoints and statistics, until there is enough of it.
//!
//! Nothing is changed in the other process, and none of its threads ever waits. Host faults are written one by one; exits
//! and other events are many and are counted, by reason, at intervals.

mod counters;
mod samples;
mod target;

use std::{
    fs, io,
    os::fd::AsFd,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select, tick};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use self::{
    counters::Counters,
    samples::{Rows, Sampler, Totals},
};
use crate::{
    faults::{code::Vendor, tracepoint::Assembler},
    perf::{
        PerfError, Tracefs,
        kvm::{Decoder, EVENTS},
        recording::{Recording, Tally},
    },
    run::{Start, StopListener, host},
    trace::{Ending, Input, Recorder, RunFileError},
    vm::{
        clock,
        machine::{host_mmu, is_pvm},
    },
};

pub use target::{Target, TargetError, Thread};

/// Threads from which on each gets a smaller buffer.
const MANY_THREADS: usize = 8;
/// Times that the threads of a process are listed anew because one of them had ended.
const TRIES: usize = 3;

/// Why nothing could be recorded.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No VM there.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Neither source.
    #[error("nothing of process {pid} can be recorded: tracepoints: {tracepoints}; statistics: {statistics}")]
    NoSource {
        /// The process.
        pid: u32,
        /// Why no tracepoints.
        tracepoints: String,
        /// Why no statistics.
        statistics: String,
    },
    /// A call failed.
    #[error("cannot {what}: {error}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The tracepoints failed.
    #[error(transparent)]
    Perf(#[from] PerfError),
    /// The run file.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
}

/// What to attach to, and for how long.
#[derive(Debug)]
pub struct AttachConfig {
    /// When the process started.
    pub start: Start,
    /// The process with the VM.
    pub target: Target,
    /// How long; until the process ends or a signal comes if not given.
    pub time: Option<Duration>,
    /// Time between two looks at the counts.
    pub interval: Duration,
    /// Where the run file goes.
    pub run_file: PathBuf,
    /// Ends it from outside.
    pub stop: StopListener,
}

/// What ended a recording. All of these are good ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Time,
    Signal(i32),
    Process,
}

impl End {
    fn name(self) -> String {
        match self {
            End::Time => "its time was over".to_owned(),
            End::Signal(number) => format!("signal {number}"),
            End::Process => "the process ended".to_owned(),
        }
    }
}

/// Records until the end and returns where the run file is.
///
/// # Errors
/// Nothing can be recorded, or not written.
pub fn attach(config: AttachConfig) -> Result<PathBuf, AttachError> {
    let AttachConfig { start, target, time, interval, run_file, stop } = config;
    let counters = Counters::find(&target);
    let decoder = Tracefs::open().map_err(PerfError::from).and_then(|tracefs| Decoder::new(&tracefs));
    let sources = [("tracepoint", decoder.is_ok()), ("stats", counters.is_ok())];
    let names: Vec<&str> = sources.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if let (Err(statistics), Err(tracepoints)) = (&counters, &decoder) {
        let (tracepoints, statistics) = (tracepoints.to_string(), statistics.clone());
        return Err(AttachError::NoSource { pid: target.pid, tracepoints, statistics });
    }
    let facts = [
        ("host_mmu", host_mmu().to_owned()),
        ("kernel_release", host::kernel_release()),
        ("cpu_model", host::cpu_model()),
        ("attached.pid", target.pid.to_string()),
        ("attached.vms", target.vms.len().to_string()),
        ("attached.vcpus", target.vcpus.to_string()),
        ("program", target.command.clone()),
        ("sources", names.join(",")),
    ];
    let recorder = Recorder::create(&run_file, &facts)?;
    let seen = record(&target, decoder, counters, &recorder, Ends { time, interval, stop });
    let Seen { end, wall, tally, missing } = match seen {
        Ok(seen) => seen,
        Err(error) => {
            drop(recorder);
            // It holds nothing that was seen. Should it stay, it is readable and marked incomplete.
            let _ = fs::remove_file(&run_file);
            return Err(error);
        }
    };
    let tsc_hz = start.measured_tsc_hz();
    let mut facts = missing;
    facts.push(("attached.end".to_owned(), end.name()));
    facts.extend(tally.hits.iter().map(|(event, hits)| (format!("tracepoint.{event}"), hits.to_string())));
    facts.push(("tracepoint.lost".to_owned(), tally.lost_in_all().to_string()));
    recorder.finish(Ending {
        exit_status: 0,
        complete: true,
        diagnosis: None,
        wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
        clock_error_ns: clock::ticks_to_ns(tally.clock_error_ticks, tsc_hz),
        tsc_hz,
        copies: None,
        facts,
    })?;
    Ok(run_file)
}

/// What ends a recording.
struct Ends {
    time: Option<Duration>,
    interval: Duration,
    stop: StopListener,
}

/// What a recording has seen beside its rows.
struct Seen {
    end: End,
    wall: Duration,
    tally: Tally,
    /// Rows of the `run` view, `missing.WHAT`.
    missing: Vec<(String, String)>,
}

fn record(
    target: &Target,
    decoder: Result<Decoder, PerfError>,
    counters: Result<Counters, String>,
    recorder: &Recorder,
    ends: Ends,
) -> Result<Seen, AttachError> {
    let ended = watch(target)?;
    let mut missing = Vec::new();
    if let Err(why) = &counters {
        let remedy = "run as root, or as the VMM's user";
        missing.push(("missing.stats".to_owned(), format!("{why}; {remedy}")));
    }
    let refused = counters.as_ref().map(Counters::refused).unwrap_or_default();
    if !refused.is_empty() {
        let why = format!("the kernel is locked down and hides from debugfs: {}", refused.join(" "));
        missing.push(("missing.stats".to_owned(), why));
    }
    let known = counters.as_ref().map(Counters::vcpu_threads).unwrap_or_default();
    let totals = Totals::default();
    let recording = decoder.and_then(|decoder| start(target, &known, decoder, &totals, recorder.sender()));
    let recording = match recording {
        Ok(recording) => Some(recording),
        Err(PerfError::Lacking(lack)) if counters.is_ok() => {
            missing.push(("missing.tracepoint".to_owned(), format!("{}; {}", lack.why, lack.remedy)));
            None
        }
        Err(PerfError::Failed { error, .. }) if error.raw_os_error() == Some(libc::ESRCH) => {
            return Err(TargetError::NoProcess { pid: target.pid }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let begin = Instant::now();
    let mut sampler = Sampler::new(counters.ok(), totals, recorder.sender());
    sampler.sample();
    let end = wait(&mut sampler, &ended, &ends);
    let wall = begin.elapsed();
    let tsc = sampler.sample();
    let mut tally = Tally::default();
    if let Some(recording) = recording {
        tally = recording.stop()?;
        missing.extend(silent(&tally));
    }
    // What lay in the buffers happened before the end, too.
    sampler.sample_events(tsc);
    Ok(Seen { end, wall, tally, missing })
}

/// Starts the recording of the threads that run vCPUs.
fn start(
    target: &Target,
    known: &[(u16, u32)],
    decoder: Decoder,
    totals: &Totals,
    sink: Sender<Input>,
) -> Result<Recording, PerfError> {
    // Where the MMU's kind is unknown no code can be read; what is told of frames is right in any case.
    let vendor = Vendor::of_host_mmu(host_mmu()).unwrap_or(Vendor::PageFault);
    let mut tries = 0;
    loop {
        tries += 1;
        let threads = target
            .threads(known)
            .map_err(|error| PerfError::Failed { what: "list the threads of the process", error })?;
        let numbered = threads.iter().all(|thread| thread.vcpu.is_some());
        let ids: Vec<u32> = threads.iter().map(|thread| thread.id).collect();
        log::debug!("watching threads {ids:?}, vCPUs known: {numbered}");
        let assembler = Assembler::new("tracepoint", vendor, decoder.clone(), &ids);
        let rows = Rows { assembler, totals: totals.clone(), sink: sink.clone(), numbered };
        let buffer = Recording::DEFAULT_BUFFER / if ids.len() > MANY_THREADS { 8 } else { 1 };
        match Recording::start(&ids, decoder.clone(), buffer, Box::new(rows)) {
            // A thread has ended since it was listed.
            Err(PerfError::Failed { error, .. })
                if error.raw_os_error() == Some(libc::ESRCH) && tries < TRIES && !ids.is_empty() => {}
            result => return result,
        }
    }
}

/// Tells when the process has ended: the channel is disconnected then.
fn watch(target: &Target) -> Result<Receiver<()>, AttachError> {
    let failed = |what| move |error| AttachError::Failed { what, error };
    let handle = target.handle.try_clone().map_err(failed("copy a descriptor"))?;
    let (alive, ended) = bounded(0);
    let wait = move || {
        let _alive: Sender<()> = alive;
        while let Err(Errno::INTR) = poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], None) {}
    };
    thread::Builder::new().name("process".to_owned()).spawn(wait).map_err(failed("start a thread"))?;
    Ok(ended)
}

/// Samples until the end.
fn wait(sampler: &mut Sampler, ended: &Receiver<()>, ends: &Ends) -> End {
    let deadline = ends.time.map_or_else(never, after);
    let look = tick(ends.interval);
    let no_stop = never();
    let mut stop = ends.stop.receiver();
    loop {
        select! {
            recv(ended) -> _ => return End::Process,
            recv(deadline) -> _ => return End::Time,
            recv(stop) -> signal => match signal {
                Ok(signal) => return End::Signal(signal),
                Err(_) => stop = &no_stop,
            },
            recv(look) -> _ => {
                sampler.sample();
            }
        }
    }
}

/// The tracepoints that never came, with the reason as far as it is known.
fn silent(tally: &Tally) -> Vec<(String, String)> {
    // Where the guest's kernel is emulated it runs outside of KVM's usual paths.
    const NEVER_ON_PVM: [&str; 3] = ["kvm_page_fault", "kvm_exit", "kvm_entry"];
    EVENTS
        .iter()
        .filter_map(|event| event.split_once('/').map(|(_, name)| name))
        .filter(|name| tally.hits.get(*name).is_none_or(|hits| *hits == 0))
        .map(|name| {
            let why = match tally.hits.get(name) {
                None => "this kernel does not have it",
                Some(_) if is_pvm() && NEVER_ON_PVM.contains(&name) => "KVM over PVM does not emit it",
                Some(_) => "it was not emitted",
            };
            (format!("missing.{name}"), why.to_owned())
        })
        .collect()
}
