//! `pagelab test`: the in-guest tests, each in a fresh VM.

use std::{
    borrow::Cow,
    fmt::Write as _,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{guest_memory::GuestMemoryArgs, print, status, values};
use crate::{
    builtin,
    run::{LAB_STATUS, Start},
    selftest::{
        choice::{NoneMeant, choose},
        list::{Listed, list},
        machine::Machine,
        one::{Outcome, Setting, Verdict},
        suite::{Counts, run_all},
    },
};

/// Longest name that the first column makes room for.
const NAME_WIDTH: usize = 44;

/// Bytes of RAM where neither the test nor the user says: each test ends with a look at every frame.
pub(super) const USUAL_MEMORY: u64 = 32 << 20;

const HELP: &str = "\
Each test boots a virtual machine of its own with a kernel that has the tests in it, and ends it. A test says \
what machine it needs; the options about the guest's memory hold for what it does not fix. A test that is about \
one allocator is skipped if another is asked for.

A test fails if a check in it does not hold (said with file, line and values), if it leaves frames, tables or \
objects behind, if an invariant of the frame allocator is broken after it, if the kernel panics (unless the test \
is about that panic), or if it takes longer than --timeout. What the kernel and the host know of a failure is \
printed below it, the state of memory with it.

Exit status: 0 if all tests passed or were skipped, 1 if one failed, 2 for a wrong command line or a filter that \
no test's name has in it, 125 if the lab failed.

Examples:
  pagelab test                           all of them
  pagelab test frames/                   those of the frame allocator
  pagelab test double_free --keep runs   with a run file of each, for pagelab report
  pagelab test --frames bitmap --list    which tests there are
  pagelab test demo/fails                what a failure looks like (also demo/leaks, demo/panics, demo/hangs)";

/// Runs the tests inside the guest kernel, each in a fresh VM.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct TestArgs {
    /// Run the tests with this in their names [default: all].
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Print the tests' names and run none.
    #[arg(long)]
    list: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// Run so many tests at a time [default: as many as there are CPUs].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// How long one test may take.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds)]
    timeout: Duration,
    /// Record each test into a run file in this folder, which is made if need be.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print what tests say that pass, too.
    #[arg(long)]
    show_output: bool,
    /// Seed of everything random in the guest.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run the tests of this kernel instead of the built-in one's: guest/kernel, built with feature selftest.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    #[command(flatten)]
    guest_memory: GuestMemoryArgs,
}

/// The kernel with the tests: the built-in one, or a file.
pub(super) fn kernel(file: Option<&Path>) -> anyhow::Result<Cow<'static, [u8]>> {
    let Some(path) = file else { return Ok(builtin::SELFTEST_KERNEL.into()) };
    Ok(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into())
}

impl TestArgs {
    /// Runs the tests; says the exit status.
    pub(super) fn execute(&self, start: Start) -> ExitCode {
        match self.run(start) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("pagelab: {error:#}");
                if error.is::<NoneMeant>() { ExitCode::from(2) } else { status(LAB_STATUS) }
            }
        }
    }

    /// Whether all went well.
    fn run(&self, start: Start) -> anyhow::Result<bool> {
        let kernel = kernel(self.kernel.as_deref())?;
        let mut tests = list(&kernel)?;
        tests.retain(|test| !test.is_benchmark());
        let tests = choose(tests, self.filter.as_deref())?;
        if self.list {
            print(&listing(&tests, self.json))?;
            return Ok(true);
        }
        if let Some(folder) = &self.keep {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let memory = self.guest_memory.memory_or(USUAL_MEMORY);
        let setting = Setting {
            start,
            kernel: &kernel,
            machine: Machine { memory, policy: self.guest_memory.policy_for(memory)? },
            timeout: self.timeout,
            seed: self.seed,
            keep: self.keep.clone(),
        };
        let jobs = self.jobs.or(thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let mut outcomes = Vec::new();
        let counts = run_all(&setting, &tests, jobs, |outcome| {
            if self.json {
                outcomes.push(to_json(outcome));
            } else if let Err(error) = print(&self.line(outcome)) {
                log::debug!("a result is not shown: {error}");
            }
        })?;
        let Counts { passed, failed, skipped } = counts;
        let summary = if self.json {
            let whole = json!({"passed": passed, "failed": failed, "skipped": skipped, "tests": outcomes});
            format!("{whole:#}\n")
        } else {
            format!("\n{passed} passed, {failed} failed, {skipped} skipped\n")
        };
        print(&summary)?;
        Ok(failed == 0)
    }

    /// The line of a test, and below it what there is to say.
    fn line(&self, outcome: &Outcome) -> String {
        let Outcome { name, verdict, time, message, .. } = outcome;
        let mut text = format!("{name:NAME_WIDTH$} {:8} {:>6} ms\n", verdict.name(), time.as_millis());
        let said = match verdict {
            Verdict::Passed if !self.show_output => "",
            _ => message.as_str(),
        };
        for line in said.lines() {
            let _ = writeln!(text, "    {line}");
        }
        text
    }
}

fn listing(tests: &[Listed], json: bool) -> String {
    if json {
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        return format!("{:#}\n", json!({ "tests": names }));
    }
    tests.iter().fold(String::new(), |text, test| text + &test.name + "\n")
}

fn to_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "name": outcome.name,
        "result": match outcome.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Skipped => "skipped",
        },
        "ms": u64::try_from(outcome.time.as_millis()).unwrap_or(u64::MAX),
        "message": outcome.message,
        "emulated_instructions": outcome.emulated,
        "run_file": outcome.run_file,
    })
}
