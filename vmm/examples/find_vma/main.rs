//! Measures what `find_vma` costs by list, tree and tree with cache, in ring-0 instructions, which KVM counts exactly
//! where it emulates ring 0. `scripts/find-vma.sh` builds and runs it.

mod plot;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use pagelab::analysis::RunFile;

/// What a look-up can go by, as `--vma-index` names it.
const INDEXES: [&str; 3] = ["list", "tree", "cached"];
/// Which VMA is looked up, as the program's `--pattern` names it.
const PATTERNS: [&str; 2] = ["random", "same"];

/// Ring-0 instructions per find_vma.
#[derive(Parser)]
struct Options {
    /// The command to measure with.
    #[arg(long, value_name = "FILE")]
    pagelab: PathBuf,
    /// Numbers of VMAs.
    #[arg(long, value_name = "N[,N]", value_delimiter = ',', default_value = "10,1000,20000")]
    vmas: Vec<u32>,
    /// Look-ups of each measurement.
    #[arg(long, value_name = "N", default_value_t = 200)]
    lookups: u32,
    /// Where the plot goes, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What one look-up costs.
struct Cost {
    index: &'static str,
    pattern: &'static str,
    vmas: u32,
    instructions: f64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scratch = tempfile::tempdir()?;
    let run_file = scratch.path().join("run.pagelab");
    println!("ring-0 instructions a look-up, of {} each", options.lookups);
    println!("{:>8}  {:<7}  {:>12}  {:>12}", "VMAs", "index", PATTERNS[0], PATTERNS[1]);
    let mut costs = Vec::new();
    for &vmas in &options.vmas {
        for index in INDEXES {
            let measure = |args: &[&str]| instructions(&options, &run_file, index, vmas, args);
            let dry = measure(&["--dry"])?;
            let mut line = format!("{vmas:>8}  {index:<7}");
            for pattern in PATTERNS {
                let full = measure(&["--pattern", pattern])?;
                let instructions = (full as f64 - dry as f64) / f64::from(options.lookups);
                line += &format!("  {instructions:>12.1}");
                costs.push(Cost { index, pattern, vmas, instructions });
            }
            println!("{line}");
        }
    }
    if let Some(file) = &options.plot {
        plot::draw(file, &costs).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Ring-0 instructions of a whole run.
fn instructions(options: &Options, run_file: &PathBuf, index: &str, vmas: u32, args: &[&str]) -> anyhow::Result<u64> {
    let output = Command::new(&options.pagelab)
        .args(["run", "find-vma", "--record", "none", "--console", "--vma-index", index, "-o"])
        .arg(run_file)
        .args(["--", "--vmas", &vmas.to_string(), "--lookups", &options.lookups.to_string()])
        .args(args)
        .output()
        .with_context(|| format!("cannot run {}", options.pagelab.display()))?;
    if !output.status.success() {
        bail!("pagelab run find-vma ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let run = RunFile::open(run_file)?;
    ensure!(
        run.fact("ring_0")?.as_deref() == Some("emulated"),
        "ring-0 instructions are counted where KVM emulates ring 0 (shadow paging over PVM); this host runs it natively"
    );
    let count = |key: &str| -> anyhow::Result<u64> {
        Ok(run.fact(key)?.with_context(|| format!("the run file has no {key}"))?.parse()?)
    };
    Ok(count("kvm.insn_emulation")? + count("kvm.insn_emulation_fail")?)
}
