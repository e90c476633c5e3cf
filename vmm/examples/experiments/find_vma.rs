//! What `find_vma` costs by list, tree and tree with cache, in ring-0 instructions, which KVM counts exactly where it
//! emulates ring 0.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::{find_vma_plot, lab};

/// What a look-up can go by, as `--vma-index` names it.
pub(crate) const INDEXES: [&str; 3] = ["list", "tree", "cached"];
/// Which VMA is looked up, as the program's `--pattern` names it.
pub(crate) const PATTERNS: [&str; 2] = ["random", "same"];

#[derive(Args)]
pub(crate) struct Options {
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
pub(crate) struct Cost {
    pub(crate) index: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) vmas: u32,
    pub(crate) instructions: f64,
}

impl Options {
    pub(crate) fn run(&self, pagelab: &Path, scratch: &Path) -> anyhow::Result<()> {
        println!("ring-0 instructions a look-up, of {} each", self.lookups);
        println!("{:>8}  {:<7}  {:>12}  {:>12}", "VMAs", "index", PATTERNS[0], PATTERNS[1]);
        let mut costs = Vec::new();
        for &vmas in &self.vmas {
            for index in INDEXES {
                let (count, lookups) = (vmas.to_string(), self.lookups.to_string());
                let measure = |args: &[&str]| {
                    let args = [&["--vmas", &count, "--lookups", &lookups], args].concat();
                    lab::run(pagelab, scratch, "find-vma", &["--vma-index", index], &args)?.instructions()
                };
                let dry = measure(&["--dry"])?;
                let mut line = format!("{vmas:>8}  {index:<7}");
                for pattern in PATTERNS {
                    let full = measure(&["--pattern", pattern])?;
                    let instructions = (full as f64 - dry as f64) / f64::from(self.lookups);
                    line += &format!("  {instructions:>12.1}");
                    costs.push(Cost { index, pattern, vmas, instructions });
                }
                println!("{line}");
            }
        }
        if let Some(file) = &self.plot {
            find_vma_plot::draw(file, &costs).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}
