//! `pagelab-fuzz`: runs the fuzzing targets for a time, and says what they found.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, builder::PossibleValuesParser};
use pagelab_fuzz::{
    Target,
    driver::{self, Options, Until},
    targets::{IN_A_GUEST, Make, ON_THE_HOST},
};

/// Feeds pagelab with what nobody sane would give it. The same seed gives the same cases. Exit status 1 for a finding,
/// 3 for a case that does not end.
#[derive(Debug, Parser)]
#[command(name = "pagelab-fuzz", version)]
struct Cli {
    /// What to fuzz. `all` takes them one after the other; syscalls needs KVM.
    #[arg(value_parser = PossibleValuesParser::new(["all", "host", "elf", "cpio", "ring", "recorder", "run-file", "syscalls"]))]
    target: String,
    /// How long, each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// So many cases of each target instead.
    #[arg(long, conflicts_with = "seconds")]
    cases: Option<u64>,
    /// Seed of all cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first case: with `--cases 1`, one case again.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Where the inputs of findings go.
    #[arg(long, default_value = "fuzz-findings")]
    findings: PathBuf,
    /// Checks these inputs instead of making some.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    replay: Vec<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let mut found = 0;
    let targets: Vec<Make> = ON_THE_HOST
        .iter()
        .chain(IN_A_GUEST.iter().filter(|_| cli.target != "host"))
        .filter(|(name, _)| cli.target == *name || matches!(cli.target.as_str(), "all" | "host"))
        .map(|(_, make)| *make)
        .collect();
    for make in targets {
        let mut target = make();
        found += if cli.replay.is_empty() { run(&cli, &mut *target) } else { replay(&cli, &mut *target)? };
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a target, and says how many findings there were.
fn run(cli: &Cli, target: &mut dyn Target) -> usize {
    let until = cli.cases.map_or(Until::Time(Duration::from_secs(cli.seconds)), Until::Cases);
    let findings = Some(cli.findings.clone());
    let outcome = driver::fuzz(target, &Options { until, seed: cli.seed, first: cli.first, findings, watch: true });
    println!(
        "{:9} seed {}: {} cases in {:.0} s, {} findings",
        target.name(),
        cli.seed,
        outcome.cases,
        outcome.time.as_secs_f64(),
        outcome.findings.len()
    );
    outcome.findings.len()
}

fn replay(cli: &Cli, target: &mut dyn Target) -> anyhow::Result<usize> {
    let mut found = 0;
    for path in &cli.replay {
        match driver::check(target, &std::fs::read(path)?) {
            Ok(()) => println!("{:9} {}: no finding", target.name(), path.display()),
            Err(what) => {
                println!("{:9} {}: {what}", target.name(), path.display());
                found += 1;
            }
        }
    }
    Ok(found)
}
