//! Where host-side (second-dimension) faults come from: one file a source, behind one trait.

mod pagemap;
mod uffd;

use std::{io, sync::Arc};

use crossbeam_channel::{Receiver, Sender};

use crate::{
    trace::{CopyTally, Input},
    vm::{Ram, vcpu::VcpuStatus},
};

/// Every source there is. A new one is added here.
pub static SOURCES: &[&dyn FaultSource] = &[&uffd::Uffd];

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
    /// Its thread ended without a word.
    #[error("the thread of the fault source {name} died; this is a bug of pagelab, please report it")]
    Died {
        /// The source.
        name: &'static str,
    },
}

/// What a source is given to start with.
pub struct Watch {
    /// The RAM to watch, with everything loaded.
    pub ram: Ram,
    /// Where faults go.
    pub sink: Sender<Input>,
    /// The vCPUs, by number.
    pub vcpus: Vec<Arc<VcpuStatus>>,
}

/// A way to see host-side faults.
pub trait FaultSource: Sync {
    /// Its name, as `--record` takes it and `host_fault.source` shows it.
    fn name(&self) -> &'static str;
    /// Whether guest RAM must be kept free of huge pages for it.
    fn needs_small_pages(&self) -> bool;
    /// Whether this host has it. Changes nothing.
    fn probe(&self) -> Probe;
    /// Starts watching. The guest must not run yet.
    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError>;
}

/// A source at work.
pub trait ActiveSource: Send {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Gives an error, or is disconnected, if the source dies while it should work. The run must then end.
    fn failure(&self) -> &Receiver<FaultError>;
    /// Lets every blocked vCPU go and watches no more: for a guest that must end though the source may be stuck.
    fn release(&self);
    /// Ends the watch and gives the count. The guest must have ended.
    fn stop(self: Box<Self>) -> Result<CopyTally, FaultError>;
}
