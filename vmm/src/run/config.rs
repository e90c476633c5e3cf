//! What a run is made of, as the command line or a test asks for it.

use std::{
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::host_memory::HostMemory;
use crate::{
    faults::{self, FaultSource, Missing, Probe, SourceOptions},
    trap::TrapConfig,
    vm::{Image, MemoryPolicy, TraceWindow, clock, vcpu::ConsoleHook},
};

/// The moment a run's times count from: take it first thing in `main`.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub(super) instant: Instant,
    pub(super) tsc: u64,
}

impl Start {
    /// This moment.
    pub fn now() -> Start {
        Start { instant: Instant::now(), tsc: clock::rdtsc() }
    }

    /// TSC ticks a second, measured from the start until now: for hosts that do not say.
    pub(crate) fn measured_tsc_hz(self) -> u64 {
        let ticks = u128::from(clock::rdtsc().saturating_sub(self.tsc));
        let elapsed = self.instant.elapsed().as_nanos().max(1);
        u64::try_from(ticks * 1_000_000_000 / elapsed).unwrap_or(u64::MAX)
    }
}

/// What is recorded.
#[derive(Clone, Default)]
pub struct Sources {
    /// The guest's own events.
    pub guest: bool,
    /// Host-side faults and their witnesses, in the order of [`faults::SOURCES`].
    pub host: Vec<&'static dyn FaultSource>,
}

impl Sources {
    /// Name of the guest's own events in `--record`.
    pub const GUEST: &'static str = "guest";
    /// Takes the guest's own events out in `--record`, where they are otherwise part of every list.
    pub const NO_GUEST: &'static str = "no-guest";
    /// Name of "nothing" in `--record`.
    pub const NONE: &'static str = "none";

    /// What this host can record of what a run has by default, and what it cannot.
    pub fn best() -> (Sources, Vec<(&'static str, Missing)>) {
        let mut sources = Sources { guest: true, host: Vec::new() };
        let mut missing = Vec::new();
        for source in faults::SOURCES.iter().filter(|source| source.by_default()) {
            match source.probe() {
                Probe::Available => sources.host.push(*source),
                Probe::Missing(why) => missing.push((source.name(), why)),
            }
        }
        (sources, missing)
    }

    /// Names, separated by commas; `none` for nothing.
    pub fn names(&self) -> String {
        let guest = self.guest.then_some(Self::GUEST);
        let names: Vec<&str> = guest.into_iter().chain(self.host.iter().map(|source| source.name())).collect();
        if names.is_empty() { Self::NONE.to_owned() } else { names.join(",") }
    }

    fn add(&mut self, source: &'static dyn FaultSource) -> Result<(), SourcesError> {
        if self.host.iter().any(|there| there.name() == source.name()) {
            return Ok(());
        }
        if source.resolves()
            && let Some(first) = self.host.iter().find(|there| there.resolves())
        {
            return Err(SourcesError::TwoResolvers { first: first.name(), second: source.name() });
        }
        self.host.push(source);
        let rank = |source: &&dyn FaultSource| faults::SOURCES.iter().position(|known| known.name() == source.name());
        self.host.sort_by_key(rank);
        Ok(())
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names())
    }
}

/// A list of sources that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// Not a source.
    #[error("{name:?} is no source; there are: {known}, no-guest, or none alone")]
    Unknown {
        /// What was given.
        name: String,
        /// What there is.
        known: String,
    },
    /// `none` beside others.
    #[error("none stands alone: it cannot be recorded together with others")]
    NoneAlone,
    /// Two sources that resolve faults.
    #[error("{first} and {second} both resolve the host's faults: give one of them")]
    TwoResolvers {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

impl FromStr for Sources {
    type Err = SourcesError;

    fn from_str(text: &str) -> Result<Sources, SourcesError> {
        let mut sources = Sources::default();
        if text == Self::NONE {
            return Ok(sources);
        }
        sources.guest = true;
        for name in text.split(',').map(str::trim) {
            if name == Self::NONE {
                return Err(SourcesError::NoneAlone);
            }
            if name == Self::GUEST {
                continue;
            }
            if name == Self::NO_GUEST {
                sources.guest = false;
                continue;
            }
            let source = faults::find(name).ok_or_else(|| SourcesError::Unknown {
                name: name.to_owned(),
                known: std::iter::once(Self::GUEST)
                    .chain(faults::SOURCES.iter().map(|source| source.name()))
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            sources.add(source)?;
        }
        Ok(sources)
    }
}

/// Stops a run from another thread, such as a signal handler's.
#[derive(Clone, Debug)]
pub struct StopHandle(Sender<i32>);

/// The run's end of a [`StopHandle`].
#[derive(Clone, Debug)]
pub struct StopListener(pub(super) Receiver<i32>);

impl StopListener {
    /// Gives the signal once; disconnected once nobody can stop it any more.
    pub(crate) fn receiver(&self) -> &Receiver<i32> {
        &self.0
    }
}

/// A handle and what it stops.
pub fn stop_pair() -> (StopHandle, StopListener) {
    let (sender, receiver) = bounded(1);
    (StopHandle(sender), StopListener(receiver))
}

impl StopHandle {
    /// Ends the run as if the lab had got this signal; its exit status is 128 plus the number. The first call counts.
    pub fn stop(&self, signal: i32) {
        // Full: a stop waits there already. Disconnected: the run is over.
        let _ = self.0.try_send(signal);
    }
}

/// Everything a run needs to know.
pub struct RunConfig<'a> {
    /// When the process started.
    pub start: Start,
    /// What ring 0 runs.
    pub kernel: Image<'a>,
    /// cpio newc archive with the program and its files.
    pub initramfs: &'a [u8],
    /// Path of the program in the initramfs.
    pub program: String,
    /// Arguments, the program's name included.
    pub args: Vec<String>,
    /// Environment, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Bytes of guest RAM.
    pub memory: u64,
    /// What the host does with it.
    pub host_memory: HostMemory,
    /// Seed of everything random.
    pub seed: u64,
    /// How the guest's kernel manages memory.
    pub policy: MemoryPolicy,
    /// After this long the run is ended, counted from the first instruction.
    pub timeout: Option<Duration>,
    /// What to record.
    pub sources: Sources,
    /// What its sources are told.
    pub source_options: SourceOptions,
    /// Fill guest memory before the start, so that the host has no faults during the run.
    pub prefault: bool,
    /// Whether the host stops the guest at its page faults.
    pub trap: Option<TrapConfig>,
    /// Where the run file goes, if there is one.
    pub run_file: PathBuf,
    /// Called with the program's output as it comes.
    pub console: Option<ConsoleHook>,
    /// Ends the run from outside.
    pub stop: Option<StopListener>,
    /// More rows for the `run` view.
    pub facts: Vec<(String, String)>,
}

impl RunConfig<'_> {
    /// Bytes of the trace window of every run.
    pub const TRACE_WINDOW: u64 = TraceWindow::DEFAULT_SIZE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_they_are_written() {
        for (given, meant) in [
            ("none", "none"),
            ("guest", "guest"),
            ("uffd", "guest,uffd"),
            ("uffd, guest,uffd", "guest,uffd"),
            ("no-guest,uffd", "uffd"),
            ("no-guest", "none"),
        ] {
            assert_eq!(given.parse::<Sources>().expect("valid").names(), meant);
        }
    }

    #[test]
    fn senseless_sources_are_refused() {
        assert_eq!("guest,none".parse::<Sources>().expect_err("none is not alone"), SourcesError::NoneAlone);
        let error = "ebpf".parse::<Sources>().expect_err("not a source");
        let known: Vec<&str> = faults::SOURCES.iter().map(|source| source.name()).collect();
        let expected =
            format!("\"ebpf\" is no source; there are: guest, {}, no-guest, or none alone", known.join(", "));
        assert_eq!(error.to_string(), expected);
        assert!("".parse::<Sources>().is_err());
    }
}
