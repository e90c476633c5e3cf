//! What operations of the guest kernel cost, in ring-0 instructions, exactly.
//!
//! Where ring 0 is emulated (KVM over PVM), KVM counts every instruction of it. A benchmark is run with N operations and
//! with 2N; the difference divided by N is the cost of one, and neither the boot nor anything else that happens once is in
//! it. The number is the same in every run, whatever else the host does, so a change of it is a change of the code.
//!
//! ```text
//!  mod.rs       what there is to measure, and measuring it
//!  baseline.rs  the costs that were, and what has changed
//! ```

mod baseline;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

pub use baseline::{Baseline, BaselineError, Change, TOLERANCE, Trend, compare};

use super::{
    list::Listed,
    one::{Setting, TestError, Verdict, emulated, run_one},
};
use crate::{
    builtin,
    initramfs::Initramfs,
    program::{self, ProgramError},
    run::{HostMemory, RunConfig, Sources, run_unrecorded},
    vm::{Image, machine::is_pvm},
};

/// Name of the benchmark that is a program: a first write to anonymous memory, from the trap to the return.
pub const FAULT: &str = "bench/anonymous_fault";
/// The program, which touches as many pages as it is told.
const FAULT_PROGRAM: &str = "demand-paging";
/// Why there is nothing to measure on other hosts.
pub const NOT_EMULATED: &str =
    "ring 0 is not emulated on this host, so that KVM does not count its instructions (it does so over PVM only)";

/// Whether this host can measure.
pub fn can_measure() -> bool {
    is_pvm()
}

/// An operation and its cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The benchmark's name.
    pub name: String,
    /// Ring-0 instructions of one operation, to a hundredth: what happens at every other one only gives a part of it.
    pub instructions: f64,
}

/// Why a cost could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The lab.
    #[error(transparent)]
    Test(#[from] TestError),
    /// The program of [`FAULT`].
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The benchmark did not come to its end.
    #[error("{name} failed: {message}")]
    Failed {
        /// Its name.
        name: String,
        /// What it said.
        message: String,
    },
    /// Statistics are missing.
    #[error("KVM did not count the instructions of {0}: its statistics need Linux 5.14")]
    NotCounted(String),
}

/// Something that can be measured.
#[derive(Clone, Debug)]
pub enum Benchmark {
    /// A benchmark of the kernel with the tests.
    InGuest(Box<Listed>),
    /// [`FAULT`], which the ordinary kernel does.
    Fault,
}

impl Benchmark {
    /// All there are, given what the kernel with the tests has.
    pub fn all(listed: Vec<Listed>) -> Vec<Benchmark> {
        let in_guest = listed.into_iter().filter(Listed::is_benchmark).map(Box::new).map(Benchmark::InGuest);
        let mut all: Vec<Benchmark> = in_guest.chain([Benchmark::Fault]).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Benchmark::InGuest(listed) => &listed.name,
            Benchmark::Fault => FAULT,
        }
    }

    /// Instructions of a whole run with so many operations.
    fn run(&self, setting: &Setting<'_>, iterations: u64) -> Result<u64, CostError> {
        let counted = match self {
            Benchmark::InGuest(listed) => {
                let outcome = run_one(setting, listed, Some(iterations))?;
                if outcome.verdict != Verdict::Passed {
                    return Err(CostError::Failed { name: outcome.name, message: outcome.message });
                }
                outcome.emulated
            }
            Benchmark::Fault => touch(setting, iterations)?,
        };
        counted.ok_or_else(|| CostError::NotCounted(self.name().to_owned()))
    }

    fn cost(&self, setting: &Setting<'_>, iterations: u64) -> Result<Cost, CostError> {
        let (once, twice) = (self.run(setting, iterations)?, self.run(setting, 2 * iterations)?);
        let each = twice.saturating_sub(once) as f64 / iterations as f64;
        Ok(Cost { name: self.name().to_owned(), instructions: (each * 100.0).round() / 100.0 })
    }
}

/// Measures, several at a time: what else runs does not change what is counted.
///
/// # Errors
/// The first that failed.
pub fn measure(
    setting: &Setting<'_>,
    benchmarks: &[Benchmark],
    iterations: u64,
    jobs: usize,
) -> Result<Vec<Cost>, CostError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Cost>, CostError> {
        let mut costs = Vec::new();
        while let Some(benchmark) = benchmarks.get(next.fetch_add(1, Ordering::Relaxed)) {
            costs.push(benchmark.cost(setting, iterations)?);
        }
        Ok(costs)
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut costs = Vec::new();
    for part in parts {
        costs.extend(part?);
    }
    costs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(costs)
}

/// Runs [`FAULT_PROGRAM`] on so many pages; the instructions of the whole run.
fn touch(setting: &Setting<'_>, pages: u64) -> Result<Option<u64>, CostError> {
    let program = program::find(FAULT_PROGRAM)?;
    let mut files = Initramfs::default();
    files.add(&program.guest_path, program.elf.to_vec(), 0o755).map_err(TestError::from)?;
    let initramfs = files.pack().map_err(TestError::from)?;
    let args = [program.guest_path.as_str(), "--pages", &pages.to_string()].map(str::to_owned);
    let ending = run_unrecorded(RunConfig {
        start: setting.start,
        kernel: Image::Elf(builtin::KERNEL),
        initramfs: &initramfs,
        program: program.guest_path.clone(),
        args: args.into(),
        env: Vec::new(),
        memory: setting.machine.memory,
        host_memory: HostMemory::default(),
        seed: setting.seed,
        policy: setting.machine.policy,
        timeout: Some(setting.timeout),
        sources: Sources::default(),
        source_options: Default::default(),
        prefault: false,
        trap: None,
        run_file: Default::default(),
        console: None,
        stop: None,
        facts: Vec::new(),
    })
    .map_err(TestError::from)?;
    if !ending.complete || ending.exit_status != 0 {
        let message = ending.diagnosis.unwrap_or_else(|| format!("exit status {}", ending.exit_status));
        return Err(CostError::Failed { name: FAULT.to_owned(), message });
    }
    Ok(emulated(&ending))
}
