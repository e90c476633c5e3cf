//! HighMem against the direct map: what an anonymous write fault costs, and when kernel memory runs out.

use std::path::Path;

use anyhow::Context;
use clap::Args;

use crate::lab;

/// Pages that the shorter of two runs touches; the other touches twice as many.
const PAGES: u64 = 512;
/// A load that needs 90 % of a guest's memory, half of it for the kernel's own buffers.
const LOAD: [&str; 6] = ["--fill", "90", "--unmovable", "50", "--rounds", "0"];

#[derive(Args)]
pub(crate) struct Options {
    /// Guest memory.
    #[arg(long, value_name = "SIZE", default_value = "32M")]
    memory: String,
    /// How much of it is HighMem in the second half of the experiment.
    #[arg(long, value_name = "SIZE", default_value = "16M")]
    highmem: String,
}

impl Options {
    pub(crate) fn run(&self, pagelab: &Path, scratch: &Path) -> anyhow::Result<()> {
        let layouts: [(&str, &[&str]); 2] = [("direct map", &[]), ("HighMem", &["--highmem", &self.highmem])];
        println!(
            "ring-0 instructions of an anonymous write fault, and the end of a load of 90 % of memory, half of it kernel's"
        );
        for (name, options) in layouts {
            let options = [&["--memory", &self.memory], options].concat();
            let count = |pages: u64| {
                lab::run(pagelab, scratch, "demand-paging", &options, &["--pages", &pages.to_string()])?.instructions()
            };
            let fault = (count(2 * PAGES)? - count(PAGES)?) as f64 / PAGES as f64;
            let load = lab::output(pagelab, scratch, "fragment", &options, &LOAD)?;
            let status = load.status.code().context("pagelab was killed")?;
            println!(
                "{name:<12}  {fault:>8.1}  status {status}{}",
                free_highmem(&String::from_utf8_lossy(&load.stderr))
            );
        }
        Ok(())
    }
}

/// What the report of a kill for want of memory says of HighMem.
fn free_highmem(text: &str) -> String {
    let line = text.lines().find(|line| line.contains(" HighMem free:"));
    let free = line.and_then(|line| line.split("free:").nth(1)?.split(' ').next());
    free.map_or_else(String::new, |free| format!(", killed for want of memory with {free} of HighMem free"))
}
