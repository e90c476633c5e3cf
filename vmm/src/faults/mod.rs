//! Where host-side (second-dimension) faults come from: one file a source, behind one trait.

pub mod code;
mod dirty;
mod evict;
mod evicted;
mod latency;
mod memory_fault;
mod pagemap;
pub mod present;
mod stats;
pub mod tracepoint;
mod uffd;
pub mod worker;

use std::{io, sync::Arc, thread, time::Duration};

use crossbeam_channel::Sender;
pub use evict::Eviction;
pub(crate) use evict::Evictor;
pub use evicted::Evicted;
pub use latency::LONGEST as LONGEST_LATENCY;

pub use uffd::modes as uffd_modes;

use crate::{
    perf::recording::Recording,
    trace::{CopyTally, Input},
    vm::{Beat, Ram, Slots, stats::Counters, vcpu::VcpuStatus, vcpu_hook::VcpuHook},
};

/// Every source there is, in the order of preference: the first one that a run has tells its host faults, the others are
/// witnesses. A new one is added here.
pub static SOURCES: &[&dyn FaultSource] =
    &[&uffd::UffdSource, &memory_fault::MemoryFault, &tracepoint::Tracepoint, &stats::Stats, &dirty::Dirty];

/// The source with this name.
pub fn find(name: &str) -> Option<&'static dyn FaultSource> {
    SOURCES.iter().copied().find(|source| source.name() == name)
}

/// Whether this host has a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It can be started.
    Available,
    /// It cannot.
    Missing(Missing),
}

/// Why a source is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What the host lacks.
    pub why: String,
    /// The exact fix.
    pub remedy: &'static str,
}

/// Why a source failed.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The host lacks it.
    #[error("the fault source {name} cannot be used here: {}; {}", missing.why, missing.remedy)]
    Missing {
        /// The source.
        name: &'static str,
        /// Why.
        missing: Missing,
    },
    /// A call failed.
    #[error("the fault source {name} failed to {what}: {error}")]
    Failed {
        /// The source.
        name: &'static str,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// Its thread does not end.
    #[error("the thread of the fault source {name} does not answer; its counts are lost")]
    Stuck {
        /// The source.
        name: &'static str,
    },
    /// Its thread ended without a word.
    #[error("the thread of the fault source {name} died; this is a bug of pagelab, please report it")]
    Died {
        /// The source.
        name: &'static str,
    },
}

/// What a run tells its sources beside their names.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// How often the dirty log is read.
    pub dirty_interval: Duration,
    /// Bytes of each vCPU's buffer for tracepoints, rounded up to a power of two of pages.
    pub tracepoint_buffer: usize,
}

impl Default for SourceOptions {
    fn default() -> SourceOptions {
        SourceOptions { dirty_interval: Duration::from_millis(100), tracepoint_buffer: Recording::DEFAULT_BUFFER }
    }
}

/// What a source is given to start with.
#[derive(Clone)]
pub struct Watch {
    /// The RAM to watch, with everything loaded.
    pub ram: Ram,
    /// The VM, and where its memory slots lie.
    pub slots: Arc<Slots>,
    /// KVM's own counters.
    pub counters: Arc<Counters>,
    /// Where faults go.
    pub sink: Sender<Input>,
    /// The vCPUs, by number. Their threads exist and have their ids, and wait for the sources before they run the guest.
    pub vcpus: Vec<Arc<VcpuStatus>>,
    /// What eviction has taken away, if there is any: a source that brings pages in gives it back.
    pub evicted: Option<Arc<Evicted>>,
    /// When guest memory is to be write-protected, if ever.
    pub protect: Option<Arc<Beat>>,
    /// How much later than possible each fault is answered.
    pub host_latency: Option<Duration>,
    /// Where a source that fails while it should work says so. The run then ends.
    pub failure: Sender<FaultError>,
    /// What the run tells its sources.
    pub options: SourceOptions,
}

impl Watch {
    /// Makes a panic of the current thread known as the failure of a source, as long as the result lives.
    pub fn guard(&self, name: &'static str) -> DeathGuard {
        DeathGuard { name, failure: self.failure.clone() }
    }
}

/// See [`Watch::guard`].
pub struct DeathGuard {
    name: &'static str,
    failure: Sender<FaultError>,
}

impl Drop for DeathGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            // Full only if an earlier failure waits there already.
            let _ = self.failure.try_send(FaultError::Died { name: self.name });
        }
    }
}

/// What a source has counted by the end of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// A userfaultfd source's half of the conservation check.
    pub copies: Option<CopyTally>,
    /// Rows for the `run` view; keys begin with the source's name and a dot.
    pub facts: Vec<(String, String)>,
}

/// A way to see host-side faults.
pub trait FaultSource: Sync {
    /// Its name, as `--record` takes it and `host_fault.source` shows it.
    fn name(&self) -> &'static str;
    /// Whether it resolves the faults itself. A run has at most one such source.
    fn resolves(&self) -> bool;
    /// Whether it keeps the contents of private pages that are evicted, and gives them back.
    fn keeps_evicted(&self) -> bool {
        false
    }
    /// Whether it can write-protect guest memory at an interval.
    fn write_protects(&self) -> bool {
        false
    }
    /// Whether it can answer faults later than it could.
    fn delays(&self) -> bool {
        false
    }
    /// Whether a run has it unless told otherwise, on hosts that have it.
    fn by_default(&self) -> bool;
    /// Whether guest RAM is kept free of huge pages for it, so that each page is one host fault (unless `--backing` says
    /// otherwise).
    fn needs_small_pages(&self) -> bool {
        self.resolves()
    }
    /// Whether this host has it. Changes nothing.
    fn probe(&self) -> Probe;
    /// What it cannot see on this host though it can be started; `None` if it sees all it is for.
    fn limits(&self) -> Option<&'static str> {
        None
    }
    /// Starts watching. The guest must not run yet.
    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError>;
}

/// A source at work.
pub trait ActiveSource: Send {
    /// Its name.
    fn name(&self) -> &'static str;
    /// The thread it works on, by Linux's id: a run ends when that thread is gone. `None` if it has none.
    fn thread(&self) -> Option<u32> {
        None
    }
    /// Its part on the vCPU's thread, taken once before the guest runs; `None` if it has none.
    fn hook(&mut self) -> Option<Box<dyn VcpuHook>> {
        None
    }
    /// Lets every blocked vCPU go and watches no more: for a guest that must end though the source may be stuck.
    fn release(&self) {}
    /// Ends the watch and gives the count. The guest must have ended.
    fn stop(self: Box<Self>) -> Result<Tally, FaultError>;
}
