//! The experiments of docs/: what a VMA look-up costs, fragmentation with and without migrate types, HighMem against the
//! direct map. `scripts/experiments.sh` builds and runs them.

mod find_vma;
mod find_vma_plot;
mod fragmentation;
mod highmem;
mod lab;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Experiments with the guest's memory.
#[derive(Parser)]
struct Options {
    /// The command to run them with.
    #[arg(long, value_name = "FILE")]
    pagelab: PathBuf,
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Subcommand)]
enum Experiment {
    /// What find_vma costs with few and with many VMAs, by list, tree, and tree with cache.
    FindVma(find_vma::Options),
    /// What remains of blocks of 2 MiB while unmovable memory grows, with migrate types kept apart and without.
    Fragmentation(fragmentation::Options),
    /// What a page fault costs where the kernel reaches memory by its direct map, and where it must map each page.
    Highmem(highmem::Options),
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scratch = tempfile::tempdir()?;
    match options.experiment {
        Experiment::FindVma(experiment) => experiment.run(&options.pagelab, scratch.path()),
        Experiment::Fragmentation(experiment) => experiment.run(&options.pagelab, scratch.path()),
        Experiment::Highmem(experiment) => experiment.run(&options.pagelab, scratch.path()),
    }
}
