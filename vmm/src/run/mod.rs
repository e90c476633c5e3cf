//! One run from end to end: a machine, its recording, and what came of it.

mod config;
mod ending;
mod guest;
pub mod host;
mod host_memory;
mod memory;
mod wait;

use std::{fs, io, path::PathBuf, thread};

pub use config::{RunConfig, Sources, SourcesError, Start, StopHandle, StopListener, stop_pair};
use crossbeam_channel::unbounded;
pub use ending::{LAB_STATUS, STOP_AT_STATUS, TIMEOUT_STATUS};
pub use host_memory::{HostMemory, HostMemoryError};

use crate::{
    faults::FaultError,
    trace::{Ending, Recorder, RunFileError},
    trap::TrapError,
    vm::{
        VmError,
        machine::{host_mmu, is_pvm},
    },
};

/// Why the lab could not do a run. What was recorded until then is in the run file, marked incomplete; if the guest
/// never started there is no file.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The machine.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The trap of guest faults.
    #[error(transparent)]
    Trap(#[from] TrapError),
    /// A source of host faults.
    #[error(transparent)]
    Source(#[from] FaultError),
    /// Something that no source of this run does.
    #[error(transparent)]
    HostMemory(#[from] HostMemoryError),
    /// The run file.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// The ring's header could not be written.
    #[error("the trace window cannot be used: {0}")]
    TraceWindow(String),
    /// No thread for the vCPU.
    #[error("cannot start the vCPU's thread: {0}; the limit of processes may have been reached (ulimit -u)")]
    Thread(io::Error),
    /// A bug.
    #[error("the vCPU's thread died; this is a bug of pagelab, please report it")]
    VcpuDied,
    /// A vCPU that neither a signal nor the end of all watching gets out of KVM.
    #[error("the vCPU does not come out of KVM; the host kernel's log (dmesg) may say why")]
    VcpuStuck,
}

impl LabError {
    /// Whether the guest cannot have run one instruction.
    fn before_start(&self) -> bool {
        match self {
            LabError::Vm(_)
            | LabError::Trap(_)
            | LabError::Source(_)
            | LabError::HostMemory(_)
            | LabError::TraceWindow(_)
            | LabError::Thread(_) => true,
            LabError::RunFile(_) | LabError::VcpuDied | LabError::VcpuStuck => false,
        }
    }
}

/// How a run went.
#[derive(Debug)]
pub struct RunOutcome {
    /// The run file.
    pub run_file: PathBuf,
    /// The ending, as the run file has it.
    pub ending: Ending,
}

/// Does a run. An error is the lab's (exit status [`LAB_STATUS`]); a guest that fails is an outcome.
pub fn run(mut config: RunConfig<'_>) -> Result<RunOutcome, LabError> {
    config.host_memory.check(&config.sources)?;
    let facts = facts(&config);
    // The file and the machine are made side by side: neither waits for the other, and the first instruction comes
    // sooner.
    let (vm, recorder) = thread::scope(|scope| {
        let recorder = scope.spawn(|| {
            let facts: Vec<(&str, String)> = facts.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            let recorder = Recorder::create(&config.run_file, &facts);
            log::debug!("run file created after {:?}", config.start.instant.elapsed());
            recorder
        });
        (guest::create(&config), recorder.join())
    });
    let recorder = recorder.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let ending = match vm.and_then(|vm| guest::run(vm, &mut config, recorder.sender())) {
        Ok(ending) => ending,
        Err(error) => {
            drop(recorder);
            if error.before_start() {
                // The file holds nothing that was seen. Should it stay, it is readable and marked incomplete.
                let _ = fs::remove_file(&config.run_file);
            }
            return Err(error);
        }
    };
    recorder.finish(ending.clone())?;
    log::debug!("run file finished after {:?}", config.start.instant.elapsed());
    Ok(RunOutcome { run_file: config.run_file, ending })
}

/// Does a run of which nothing is kept: its run file is not written. What it says comes by [`RunConfig::console`].
///
/// # Errors
/// The lab's own; a guest that fails is an ending.
pub fn run_unrecorded(mut config: RunConfig<'_>) -> Result<Ending, LabError> {
    config.host_memory.check(&config.sources)?;
    let vm = guest::create(&config)?;
    let (sink, inputs) = unbounded();
    thread::scope(|scope| {
        scope.spawn(move || inputs.iter().for_each(drop));
        guest::run(vm, &mut config, sink)
    })
}

/// What is known before the start.
fn facts(config: &RunConfig<'_>) -> Vec<(String, String)> {
    let args = config.args.get(1..).unwrap_or_default();
    let mut facts = vec![
        ("host_mmu".to_owned(), host_mmu().to_owned()),
        ("kernel_release".to_owned(), host::kernel_release()),
        ("cpu_model".to_owned(), host::cpu_model()),
        ("guest_memory_bytes".to_owned(), config.memory.to_string()),
        ("program".to_owned(), config.program.clone()),
        ("args".to_owned(), args.join(" ")),
        ("seed".to_owned(), config.seed.to_string()),
        ("sources".to_owned(), config.sources.names()),
    ];
    if is_pvm() {
        facts.push(("ring_0".to_owned(), "emulated".to_owned()));
    }
    facts.extend(config.policy.facts());
    facts.extend(config.host_memory.facts());
    facts.extend(config.facts.iter().cloned());
    facts
}
