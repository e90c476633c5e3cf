//! Runs of the command `pagelab`, and what their run files say.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use pagelab::{analysis::RunFile, run::TIMEOUT_STATUS};
use rusqlite::Row;

/// The command, and what all of its runs have in common.
pub(crate) struct Lab {
    pub(crate) pagelab: PathBuf,
    pub(crate) run_file: PathBuf,
    pub(crate) memory: u64,
}

impl Lab {
    /// Runs demand-paging and reads its run file. `endless` runs have a timeout among their options.
    fn run(&self, options: &[&str], args: &[String], endless: bool) -> anyhow::Result<RunFile> {
        let output = Command::new(&self.pagelab)
            .args(["run", "demand-paging", "--console", "--memory", &self.memory.to_string(), "-o"])
            .arg(&self.run_file)
            .args(options)
            .arg("--")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("cannot run {}", self.pagelab.display()))?;
        if output.status.code() != Some(if endless { TIMEOUT_STATUS } else { 0 }) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("pagelab run demand-paging {} ended with {}: {said}", options.join(" "), output.status);
        }
        Ok(RunFile::open(&self.run_file)?)
    }

    /// Time from the guest's start to its end, with what `record` names.
    pub(crate) fn wall(&self, record: &str, args: &[String]) -> anyhow::Result<Duration> {
        let run = self.run(&["--record", record], args, false)?;
        let wall: u64 = run.fact("wall_ns")?.context("the run file has no wall_ns")?.parse()?;
        Ok(Duration::from_nanos(wall))
    }

    /// A guest that touches `pages` pages again and again while all its pages are taken away at an interval, until the
    /// timeout: for each time that every page came back, in how long.
    pub(crate) fn refaults(&self, plan: &Refaults<'_>) -> anyhow::Result<Vec<f64>> {
        let evict = format!("every={}ms,pages=all", plan.every.as_millis());
        let timeout = plan.timeout.as_secs_f64().to_string();
        let options = ["--record", "uffd", "--backing", plan.backing, "--evict", &evict, "--timeout", &timeout];
        let args = ["--pages", &plan.pages.to_string(), "--passes", &u32::MAX.to_string()].map(str::to_owned);
        let run = self.run(&options, &args, true)?;
        let hz: f64 = run.fact("tsc_hz")?.context("the run file has no tsc_hz")?.parse()?;
        let rates = run.query(|connection| {
            let mut rows = connection.prepare(
                "SELECT count(*), min(fault.tsc_begin), max(fault.tsc_end) FROM
                   (SELECT tsc_end AS begin, lead(tsc_begin) OVER (ORDER BY tsc_begin) AS end FROM eviction) AS gap
                 JOIN host_fault AS fault ON fault.tsc_begin >= gap.begin AND fault.tsc_begin < gap.end
                 WHERE fault.owner = 'anon' AND fault.kind IN ('refault', 'minor')
                 GROUP BY gap.begin",
            )?;
            let rates = rows.query_map([], |row: &Row<'_>| {
                let (count, begin, end): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok((count, count as f64 * hz / (end - begin).max(1) as f64))
            })?;
            rates.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(rates.into_iter().filter(|(count, _)| *count >= plan.pages as i64).map(|(_, rate)| rate).collect())
    }
}

/// See [`Lab::refaults`].
pub(crate) struct Refaults<'a> {
    pub(crate) pages: u64,
    pub(crate) backing: &'a str,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
}

/// Linux's demand_paging_test: pages that it brings in a second, with its options `how`.
pub(crate) fn selftest(program: &Path, pages: u64, how: &[&str]) -> anyhow::Result<f64> {
    let output = Command::new(program)
        .args(["-b", &format!("{}K", pages * 4)])
        .args(how)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| {
        line.strip_prefix("Overall demand paging rate:")?.trim().strip_suffix("pgs/sec")?.trim().parse().ok()
    });
    match rate {
        Some(rate) if output.status.success() => Ok(rate),
        _ => bail!(
            "{} {} ended with {}: {}{text}",
            program.display(),
            how.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}
