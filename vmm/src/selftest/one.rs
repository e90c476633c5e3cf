//! One test: its machine is booted, it runs, and its end is judged.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pagelab_abi::selftest::{FAILED, PASSED, PROGRAM_PREFIX, SKIPPED};

use super::{list::Listed, machine::Machine};
use crate::{
    initramfs::{Initramfs, InitramfsError},
    run::{HostMemory, LabError, RunConfig, Sources, Start, TIMEOUT_STATUS, run, run_unrecorded},
    trace::Ending,
    vm::{Image, VmError, memory::MemoryError},
};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// This machine, or what the user asked for, cannot show what it is about.
    Skipped,
}

impl Verdict {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        }
    }
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// From before the machine was made until after it was gone.
    pub time: Duration,
    /// Why it failed or was skipped, and what else it said; several lines.
    pub message: String,
    /// Instructions that KVM emulated; `None` where KVM does not count them.
    pub emulated: Option<u64>,
    /// Where it was recorded.
    pub run_file: Option<PathBuf>,
}

/// How tests are run.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// When the process began.
    pub start: Start,
    /// The kernel with the tests, an ELF file.
    pub kernel: &'a [u8],
    /// The machine that the user wants.
    pub machine: Machine,
    /// How long one may take.
    pub timeout: Duration,
    /// Seed of everything random in the guest.
    pub seed: u64,
    /// Folder that a run file of each goes into; nothing is recorded without it.
    pub keep: Option<PathBuf>,
}

/// Why a test could not be run.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Its empty file system.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
}

/// Runs a test; a benchmark does its operation `iterations` times.
///
/// # Errors
/// The lab's own. A guest that hangs or dies is an outcome.
pub fn run_one(setting: &Setting<'_>, listed: &Listed, iterations: Option<u64>) -> Result<Outcome, TestError> {
    let begin = Instant::now();
    let outcome = |verdict, message| Outcome {
        name: listed.name.clone(),
        verdict,
        time: begin.elapsed(),
        message,
        emulated: None,
        run_file: None,
    };
    let machine = match Machine::of(&listed.test, &setting.machine) {
        Ok(machine) => machine,
        Err(why) => return Ok(outcome(Verdict::Skipped, why)),
    };
    let said = Arc::new(Mutex::new(String::new()));
    let hear = {
        let said = Arc::clone(&said);
        move |_: u8, bytes: &[u8]| {
            said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(bytes));
        }
    };
    let run_file =
        setting.keep.as_ref().map(|folder| folder.join(format!("{}.pagelab", listed.name.replace('/', "-"))));
    let initramfs = Initramfs::default().pack()?;
    let program = format!("{PROGRAM_PREFIX}{}", listed.name);
    let args = [program.clone(), listed.index.to_string()].into_iter().chain(iterations.map(|count| count.to_string()));
    let config = RunConfig {
        start: setting.start,
        kernel: Image::Elf(setting.kernel),
        initramfs: &initramfs,
        args: args.collect(),
        program,
        env: Vec::new(),
        memory: machine.memory,
        host_memory: HostMemory::default(),
        seed: setting.seed,
        policy: machine.policy,
        timeout: Some(setting.timeout),
        sources: if run_file.is_some() { Sources::best().0 } else { Sources::default() },
        source_options: Default::default(),
        prefault: false,
        trap: None,
        run_file: run_file.clone().unwrap_or_default(),
        console: Some(Box::new(hear)),
        stop: None,
        facts: Vec::new(),
    };
    let ended = match &run_file {
        Some(_) => run(config).map(|outcome| outcome.ending),
        None => run_unrecorded(config),
    };
    let ending = match ended {
        // Not what the user has asked for: the test needs it.
        Err(LabError::Vm(VmError::Memory(error @ MemoryError::HostTooSmall { .. })))
            if machine.memory != setting.machine.memory =>
        {
            return Ok(outcome(Verdict::Skipped, error.to_string()));
        }
        ended => ended?,
    };
    let said = said.lock().unwrap_or_else(PoisonError::into_inner).trim_end().to_owned();
    let (verdict, message) = judge(&ending, listed.test.panic(), said);
    Ok(Outcome { emulated: emulated(&ending), run_file, ..outcome(verdict, message) })
}

/// What an end means for a test that must end by this panic, or by none.
fn judge(ending: &Ending, panic: Option<&str>, said: String) -> (Verdict, String) {
    let diagnosis = ending.diagnosis.as_deref().unwrap_or_default();
    let with = |reason: String| {
        let parts = [reason.as_str(), &said, diagnosis.trim_end()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    };
    match (panic, ending.complete.then_some(ending.exit_status)) {
        (Some(text), None) if ending.exit_status != TIMEOUT_STATUS && diagnosis.contains(text) => {
            (Verdict::Passed, said)
        }
        (Some(text), Some(status)) if status == i32::from(PASSED) => {
            (Verdict::Failed, with(format!("the kernel should have panicked with {text:?}, and did not")))
        }
        (None, Some(status)) if status == i32::from(PASSED) => (Verdict::Passed, said),
        (_, Some(status)) if status == i32::from(SKIPPED) => (Verdict::Skipped, said),
        (_, Some(status)) if status == i32::from(FAILED) => (Verdict::Failed, with(String::new())),
        (_, Some(status)) => (Verdict::Failed, with(format!("the kernel ended with status {status}"))),
        (_, None) => (Verdict::Failed, with(String::new())),
    }
}

/// Instructions that KVM emulated, with those that it could not.
pub(super) fn emulated(ending: &Ending) -> Option<u64> {
    let value = |name: &str| ending.facts.iter().find(|(key, _)| key == name)?.1.parse::<u64>().ok();
    Some(value("kvm.insn_emulation")? + value("kvm.insn_emulation_fail").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(exit_status: i32, complete: bool, diagnosis: Option<&str>) -> Ending {
        Ending {
            exit_status,
            complete,
            diagnosis: diagnosis.map(str::to_owned),
            wall_ns: 0,
            clock_error_ns: 0,
            tsc_hz: 1,
            copies: None,
            facts: Vec::new(),
        }
    }

    fn verdict(ending: &Ending, panic: Option<&str>) -> Verdict {
        judge(ending, panic, "said".to_owned()).0
    }

    #[test]
    fn statuses_are_judged() {
        assert_eq!(verdict(&ending(0, true, None), None), Verdict::Passed);
        assert_eq!(verdict(&ending(1, true, None), None), Verdict::Failed);
        assert_eq!(verdict(&ending(77, true, None), None), Verdict::Skipped);
        assert_eq!(verdict(&ending(3, true, None), None), Verdict::Failed);
        assert_eq!(verdict(&ending(124, false, Some("had not ended")), None), Verdict::Failed);
    }

    #[test]
    fn a_panic_passes_only_if_it_is_the_one() {
        let died = ending(125, false, Some("the guest kernel panicked: a guard page was hit"));
        assert_eq!(verdict(&died, None), Verdict::Failed);
        assert_eq!(verdict(&died, Some("guard page")), Verdict::Passed);
        assert_eq!(verdict(&died, Some("another thing")), Verdict::Failed);
        assert_eq!(verdict(&ending(0, true, None), Some("guard page")), Verdict::Failed);
        assert_eq!(verdict(&ending(124, false, Some("guard page")), Some("guard page")), Verdict::Failed, "a hang");
        let (_, message) = judge(&died, None, "said".to_owned());
        assert_eq!(message, "said\nthe guest kernel panicked: a guard page was hit");
    }
}
