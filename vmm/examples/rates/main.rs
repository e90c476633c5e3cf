//! Measures how many host faults a second pagelab takes, by source, and what `--record none` costs. `scripts/rates.sh`
//! builds and runs it, on this host and in the rigs.

mod lab;
mod plain;
mod table;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use lab::{Lab, Refaults};
use pagelab::{
    faults::{self, Probe},
    run::{Sources, host},
    vm::machine::host_mmu,
};
use table::{Samples, row};

/// Pages of the small run that a large one is compared with: what remains is the time of the faults.
const FEW: u64 = 64;
/// What is recorded while first touches are timed, each alone.
const RECORDS: [&str; 5] = ["none", "guest", "no-guest,uffd", "no-guest,tracepoint", "no-guest,memory-fault"];
/// Ways to take refaults: pagelab's backing, and the same for Linux's selftest.
const REFAULTS: [(&str, &str, [&str; 4]); 2] = [
    ("uffd, anon (copied)", "anon", ["-u", "MISSING", "-s", "anonymous"]),
    ("uffd, memfd (mapped)", "memfd", ["-u", "MINOR", "-s", "shmem"]),
];
/// Longest time between two evictions that is tried.
const LONGEST_INTERVAL: Duration = Duration::from_secs(20);
/// Evictions a run goes through.
const EVICTIONS: u32 = 6;
/// The aim: `--record none` takes at most this many times as long as the same guest on plain memory.
const PLAIN_AIM: f64 = 1.05;

/// Rates of host faults, by source, in one run.
#[derive(Parser)]
struct Options {
    /// The command to measure.
    #[arg(long, value_name = "FILE")]
    pagelab: PathBuf,
    /// Linux's KVM selftest demand_paging_test; without it no refaults are compared.
    #[arg(long, value_name = "FILE")]
    selftest: Option<PathBuf>,
    /// Pages of 4 KiB to fault.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(128..=1 << 20))]
    pages: u64,
    /// Rounds: everything is measured once a round, in turn.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let scratch = std::env::temp_dir().join(format!("pagelab-rates-{}", std::process::id()));
    let done = fs::create_dir(&scratch)
        .with_context(|| format!("cannot create {}", scratch.display()))
        .and_then(|()| measure(&options, scratch.join("run.pagelab")));
    // What cannot be removed is a run file in a folder for such.
    let _ = fs::remove_dir_all(&scratch);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rates: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, run_file: PathBuf) -> anyhow::Result<()> {
    // The guest's memory: the pages, and as much again for everything else.
    let memory = (options.pages * 2 * 4096).max(64 << 20);
    let lab = Lab { pagelab: options.pagelab.clone(), run_file, memory };
    println!(
        "host: {}, {}, Linux {}; {} pages, medians of {} rounds",
        host_mmu(),
        host::cpu_model(),
        host::kernel_release(),
        options.pages,
        options.runs
    );
    println!();
    let slowest = first_touches(options, &lab)?;
    println!();
    refaults(options, &lab, slowest)?;
    println!();
    against_plain(options, &lab)
}

/// Arguments of demand-paging.
fn touch(pages: u64) -> Vec<String> {
    vec!["--pages".to_owned(), pages.to_string()]
}

/// Whether this host has all sources of a list; says so where not.
fn available(record: &str) -> anyhow::Result<bool> {
    let mut all = true;
    if record == Sources::NONE {
        return Ok(all);
    }
    for name in record.split(',').filter(|name| ![Sources::GUEST, Sources::NO_GUEST].contains(name)) {
        let source = faults::find(name).with_context(|| format!("pagelab has no source {name}"))?;
        if let Probe::Missing(missing) = source.probe() {
            println!("  --record {record}: missing: {}; {}", missing.why, missing.remedy);
            all = false;
        }
    }
    Ok(all)
}

/// Faults a second while every page is touched for the first time. Gives the longest run's time.
fn first_touches(options: &Options, lab: &Lab) -> anyhow::Result<Duration> {
    row("First touches", &["faults/s", "to none"], "");
    let mut records = Vec::new();
    for record in RECORDS {
        if available(record)? {
            records.push((record, Samples::default(), Samples::default()));
        }
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..options.runs {
        let mut none = f64::NAN;
        for (record, rates, ratios) in &mut records {
            let few = lab.wall(record, &touch(FEW))?;
            let many = lab.wall(record, &touch(options.pages))?;
            slowest = slowest.max(many);
            let time = many.checked_sub(few).filter(|time| !time.is_zero()).context("a larger run took less time")?;
            let rate = (options.pages - FEW) as f64 / time.as_secs_f64();
            if *record == Sources::NONE {
                none = rate;
            }
            rates.add(rate);
            ratios.add(rate / none);
        }
    }
    for (record, rates, ratios) in &records {
        row(&format!("  --record {record}"), &[&rates.whole(), &ratios.ratio()], "");
    }
    Ok(slowest)
}

/// Faults a second while every page comes back that was there before, beside Linux's selftest.
fn refaults(options: &Options, lab: &Lab, startup: Duration) -> anyhow::Result<()> {
    row("Pages that come back (--evict pages=all)", &["pages/s", "selftest", "ratio"], "aim");
    let Some(selftest) = &options.selftest else {
        println!("  demand_paging_test is not here, so there is nothing to compare with");
        return Ok(());
    };
    if !available("uffd")? {
        return Ok(());
    }
    let mut every = Duration::from_millis(250);
    for (name, backing, how) in REFAULTS {
        let (mut ours, mut theirs, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..options.runs {
            let reference = lab::selftest(selftest, options.pages, &how)?;
            let rate = loop {
                let timeout = startup * 2 + every * EVICTIONS;
                let found = lab.refaults(&Refaults { pages: options.pages, backing, every, timeout })?;
                if let Some(rate) = Samples::from(found).median() {
                    break rate;
                }
                every *= 2;
                if every > LONGEST_INTERVAL {
                    bail!("{name}: not all pages came back within {:?}", every / 2);
                }
            };
            ours.add(rate);
            theirs.add(reference);
            ratios.add(rate / reference);
        }
        row(&format!("  {name}"), &[&ours.whole(), &theirs.whole(), &ratios.ratio()], "at least 1");
    }
    let none = (0..options.runs).map(|_| lab::selftest(selftest, options.pages, &[])).collect::<Result<Vec<_>, _>>()?;
    row("  the selftest without userfaultfd", &["", &Samples::from(none).whole(), ""], "");
    println!("  pagelab touches from ring 3, the selftest from ring 0, which KVM emulates on a shadow-paging host:");
    println!("  there the ratio is not one of handlers alone.");
    Ok(())
}

/// The whole run with `--record none`, and the same guest in a VMM that does nothing but run it.
fn against_plain(options: &Options, lab: &Lab) -> anyhow::Result<()> {
    row("The whole run of demand-paging", &["ms", "ratio"], "aim");
    let (mut plain, mut none, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..options.runs * 2 {
        // Whoever comes first finds the machine as the round before left it: they take turns.
        let mut pair = [Duration::ZERO; 2];
        for step in 0..2 {
            let which = ((round + step) % 2) as usize;
            pair[which] = match which {
                0 => plain::run("demand-paging", &touch(options.pages), lab.memory)?,
                _ => lab.wall(Sources::NONE, &touch(options.pages))?,
            };
        }
        let [by_plain, by_none] = pair.map(|time| time.as_secs_f64() * 1000.0);
        plain.add(by_plain);
        none.add(by_none);
        ratios.add(by_none / by_plain);
    }
    row("  plain memory, a loop around KVM_RUN", &[&plain.whole(), ""], "");
    row("  --record none", &[&none.whole(), &ratios.ratio()], &format!("at most {PLAIN_AIM}"));
    Ok(())
}
