//! Runs of `pagelab` to measure: options in, console and run file out.

use std::{
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, bail, ensure};
use pagelab::analysis::RunFile;

const RUN_FILE: &str = "run.pagelab";

/// A finished run.
pub(crate) struct Finished {
    /// What the program wrote.
    pub(crate) console: String,
    run: RunFile,
}

impl Finished {
    /// Ring-0 instructions of the whole run.
    pub(crate) fn instructions(&self) -> anyhow::Result<u64> {
        ensure!(
            self.run.fact("ring_0")?.as_deref() == Some("emulated"),
            "ring-0 instructions are counted where KVM emulates ring 0 (shadow paging over PVM); this host runs it natively"
        );
        let count = |key: &str| -> anyhow::Result<u64> {
            Ok(self.run.fact(key)?.with_context(|| format!("the run file has no {key}"))?.parse()?)
        };
        Ok(count("kvm.insn_emulation")? + count("kvm.insn_emulation_fail")?)
    }
}

/// Runs a built-in program without recording, into a run file in `scratch`.
///
/// # Errors
/// The run fails, or its program does.
pub(crate) fn run(
    pagelab: &Path,
    scratch: &Path,
    program: &str,
    options: &[&str],
    args: &[&str],
) -> anyhow::Result<Finished> {
    let output = output(pagelab, scratch, program, options, args)?;
    if !output.status.success() {
        bail!("pagelab run {program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let run = RunFile::open(&scratch.join(RUN_FILE))?;
    Ok(Finished { console: String::from_utf8_lossy(&output.stdout).into_owned(), run })
}

/// The same, however it ends: its status and output.
///
/// # Errors
/// `pagelab` cannot be started.
pub(crate) fn output(
    pagelab: &Path,
    scratch: &Path,
    program: &str,
    options: &[&str],
    args: &[&str],
) -> anyhow::Result<Output> {
    Command::new(pagelab)
        .args(["run", program, "--record", "none", "--console", "-o"])
        .arg(scratch.join(RUN_FILE))
        .args(options)
        .arg("--")
        .args(args)
        .output()
        .with_context(|| format!("cannot run {}", pagelab.display()))
}
