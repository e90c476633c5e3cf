//! `pagelab bench`: what the guest kernel's operations cost, in instructions.
//!
//! A command of its own beside `pagelab test`: it prints numbers, not verdicts, and compares them with others.

use std::{fmt::Write as _, num::NonZero, path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{guest_memory::GuestMemoryArgs, print, status, test};
use crate::{
    run::{LAB_STATUS, Start},
    selftest::{
        costs::{Baseline, Benchmark, Change, NOT_EMULATED, TOLERANCE, Trend, can_measure, compare, measure},
        list::list,
        machine::Machine,
        one::Setting,
    },
};

/// How long one run of a benchmark may take.
const TIMEOUT: Duration = Duration::from_secs(120);

const HELP: &str = "\
A cost is the number of ring-0 instructions of one operation. Each benchmark boots a virtual machine twice and does \
its operation N times in the one, 2N times in the other; KVM has counted the instructions of both, and the \
difference divided by N is the cost. It is exact and the same every time. That takes a host whose KVM emulates \
ring 0 (KVM over PVM); on others there is nothing to count, and the command says so.

Exit status: 0; 1 if a cost has grown by more than 10 % against --baseline, or is missing there or here; 2 for a \
wrong command line; 125 if the lab failed.

Examples:
  pagelab bench                              all of them
  pagelab bench frame --slab freelist        those with frame in their names, with another allocator
  pagelab bench --baseline docs/costs.json   what has changed
  pagelab bench --save docs/costs.json       the new baseline";

/// Counts the instructions of the guest kernel's operations, where KVM emulates ring 0.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct BenchArgs {
    /// Measure the benchmarks with this in their names [default: all].
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Operations of the shorter of the two runs.
    #[arg(long, value_name = "N", default_value = "128")]
    iterations: NonZero<u32>,
    /// Compare with the costs in this file.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the costs into this file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Print a table in Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Measure so many at a time [default: as many as there are CPUs].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Use the tests of this kernel instead of the built-in one's.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    #[command(flatten)]
    guest_memory: GuestMemoryArgs,
}

impl BenchArgs {
    /// Measures; says the exit status.
    pub(super) fn execute(&self, start: Start) -> ExitCode {
        match self.run(start) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("pagelab: {error:#}");
                status(LAB_STATUS)
            }
        }
    }

    fn run(&self, start: Start) -> anyhow::Result<bool> {
        if !can_measure() {
            let said = if self.json {
                format!("{:#}\n", json!({ "skipped": NOT_EMULATED }))
            } else {
                format!("skipped: {NOT_EMULATED}\n")
            };
            print(&said)?;
            return Ok(true);
        }
        let kernel = test::kernel(self.kernel.as_deref())?;
        let memory = self.guest_memory.memory_or(test::USUAL_MEMORY);
        let machine = Machine { memory, policy: self.guest_memory.policy_for(memory)? };
        let setting = Setting { start, kernel: &kernel, machine, timeout: TIMEOUT, seed: 1, keep: None };
        let wanted = |name: &str| self.filter.as_deref().is_none_or(|filter| name.contains(filter));
        let mut benchmarks = Benchmark::all(list(&kernel)?);
        let names: Vec<String> = benchmarks.iter().map(|benchmark| benchmark.name().to_owned()).collect();
        benchmarks.retain(|benchmark| wanted(benchmark.name()));
        if benchmarks.is_empty() {
            bail!(
                "no benchmark has {:?} in its name; there are {}",
                self.filter.as_deref().unwrap_or_default(),
                names.join(", ")
            );
        }
        let before = self.baseline.as_deref().map(Baseline::read).transpose()?;
        let jobs = self.jobs.or(thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let costs = measure(&setting, &benchmarks, self.iterations.get().into(), jobs)?;
        if let Some(path) = &self.save {
            Baseline::of(&costs).write(path)?;
        }
        // Without a baseline nothing has changed.
        let changes = compare(before.as_ref().unwrap_or(&Baseline::of(&costs)), &costs, wanted);
        print(&self.render(&changes))?;
        let failed = changes.iter().any(|change| change.trend.is_failure());
        if failed {
            eprintln!(
                "pagelab: costs have grown by more than {TOLERANCE} %, or the baseline has others; if that is meant, \
                 renew it with scripts/costs.sh"
            );
        }
        Ok(!failed)
    }

    fn render(&self, changes: &[Change]) -> String {
        if self.json {
            let rows: Vec<_> = changes.iter().map(|change| self.row(change)).collect();
            return format!("{:#}\n", json!({ "benchmarks": rows }));
        }
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let mut text = String::new();
        if self.markdown {
            text += "| operation | instructions |\n| --- | ---: |\n";
            for change in changes {
                let _ = writeln!(text, "| `{}` | {} |", change.name, number(change.now));
            }
            return text;
        }
        for change in changes {
            let _ = write!(text, "{:36} {:>12}", change.name, number(change.now));
            if self.baseline.is_some() {
                let percent = change.percent().map_or(String::new(), |percent| format!("{percent:+.1} %"));
                let _ = write!(text, " {:>12} {percent:>10} {}", number(change.before), change.trend.name());
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    fn row(&self, change: &Change) -> serde_json::Value {
        let mut row = json!({ "name": change.name, "instructions": change.now });
        if self.baseline.is_some() {
            row["before"] = json!(change.before);
            row["trend"] = match change.trend {
                Trend::Same => "same".into(),
                other => other.name().to_lowercase().into(),
            };
        }
        row
    }
}
