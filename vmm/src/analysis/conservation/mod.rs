//! The conservation check: independent counts of the same thing must agree.
//!
//! Each identity compares a count from one place with a count of the same thing from another: the guest's own
//! counters with its events, the kernel's page map with the host faults, sequence numbers with records. An identity
//! one of whose sides is not there is *not checked*, with the reason; it never holds by default.

mod guest;
mod host;
mod kvm;
mod protection;
mod terms;
mod traps;

use pagelab_abi::code::{Moment, SnapshotKind};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::RunFile;
use crate::trace::{CopyTally, RunFileError, StreamHealth};

/// Why an identity about guest events is not checked.
const NO_STREAM: &str = "guest events were not recorded";
/// Why identities about what the guest says of itself are not checked.
const NO_RING: &str = "this kernel is not pagelab's and tells nothing of itself";

/// One identity and how it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, stable across versions.
    pub name: String,
    /// One count.
    pub expected: i64,
    /// The other count.
    pub actual: i64,
    /// Whether they agree.
    pub ok: bool,
    /// What is compared, in words: expected = actual.
    pub terms: String,
}

/// An identity that could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// Its name.
    pub name: String,
    /// What was missing.
    pub reason: String,
}

/// The whole check of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Conservation {
    /// Whether every identity that was checked holds; `None` if none was checked.
    pub ok: Option<bool>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// What was not.
    pub not_checked: Vec<NotChecked>,
}

impl Conservation {
    /// Reads the check's result from a run file.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn read(run: &RunFile) -> Result<Self, RunFileError> {
        let checks: Vec<Check> = run.query(|conn| {
            conn.prepare("SELECT name, expected, actual, ok, terms FROM check_result")?
                .query_map([], |row| {
                    Ok(Check {
                        name: row.get(0)?,
                        expected: row.get(1)?,
                        actual: row.get(2)?,
                        ok: row.get(3)?,
                        terms: row.get(4)?,
                    })
                })?
                .collect()
        })?;
        let not_checked = run.query(|conn| {
            conn.prepare("SELECT name, reason FROM check_skipped")?
                .query_map([], |row| Ok(NotChecked { name: row.get(0)?, reason: row.get(1)? }))?
                .collect()
        })?;
        let ok = (!checks.is_empty()).then(|| checks.iter().all(|check| check.ok));
        Ok(Conservation { ok, checks, not_checked })
    }
}

/// What the recorder knows beyond the rows.
pub(crate) struct Evidence {
    /// Of the guest's stream.
    pub(crate) health: StreamHealth,
    /// Of the userfaultfd source, if it was on.
    pub(crate) copies: Option<CopyTally>,
    /// Rules of the boundary that the guest broke.
    pub(crate) protocol_errors: u64,
    /// The guest came to its own end.
    pub(crate) complete: bool,
}

/// Makes every identity and writes the results.
pub(crate) fn check(conn: &Connection, evidence: &Evidence) -> rusqlite::Result<()> {
    let check = Checker { conn };
    check.boundary(evidence)?;
    if check.stream_is_on()? {
        check.guest_counters()?;
        check.processes()?;
        check.frames()?;
    } else {
        for name in ["pgfault", "pgmajfault", "min_flt", "maj_flt", "frames_in_use", "frames_announced"] {
            check.skip(name, NO_STREAM)?;
        }
    }
    check.traps(evidence.complete)?;
    if !check.guest_is_ours()? {
        ["free_blocks", "rss"].iter().try_for_each(|name| check.skip(name, NO_RING))?;
    } else {
        check.memory()?;
    }
    check.host_faults(evidence.copies.as_ref())?;
    check.protection()?;
    check.kvm(evidence)
}

struct Checker<'a> {
    conn: &'a Connection,
}

impl Checker<'_> {
    fn result(&self, name: &str, expected: i64, actual: i64, terms: &str) -> rusqlite::Result<()> {
        let values = params![name, expected, actual, expected == actual, terms];
        self.conn.prepare_cached("INSERT INTO raw_check VALUES (NULL, ?, ?, ?, ?, ?)")?.execute(values)?;
        Ok(())
    }

    fn skip(&self, name: &str, reason: &str) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT INTO raw_check_skipped VALUES (NULL, ?, ?)")?
            .execute(params![name, reason])?;
        Ok(())
    }

    fn number(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<i64> {
        self.conn.query_row(sql, values, |row| row.get::<_, Option<i64>>(0)).map(Option::unwrap_or_default)
    }

    /// A text of the `run` view.
    fn fact(&self, key: &str) -> rusqlite::Result<Option<String>> {
        self.conn.query_row("SELECT value FROM raw_run WHERE key = ?", [key], |row| row.get(0)).optional()
    }

    /// Whether the kernel is of the lab's ABI: a foreign one tells nothing of itself.
    fn guest_is_ours(&self) -> rusqlite::Result<bool> {
        self.conn.query_row(
            "SELECT NOT EXISTS(SELECT 1 FROM raw_run WHERE key IN ('boot_protocol', 'attached.pid'))",
            [],
            |row| row.get(0),
        )
    }

    /// Whether a source is among the run's.
    fn has_source(&self, name: &str) -> rusqlite::Result<bool> {
        Ok(self.fact("sources")?.is_some_and(|sources| sources.split(',').any(|source| source.trim() == name)))
    }

    /// A number of the `run` view.
    fn number_fact(&self, key: &str) -> rusqlite::Result<Option<i64>> {
        self.conn
            .query_row("SELECT CAST(value AS INTEGER) FROM raw_run WHERE key = ?", [key], |row| row.get(0))
            .optional()
    }

    /// Whether the run was to record guest events: `guest` is among its `sources`, or it does not say.
    fn stream_is_on(&self) -> rusqlite::Result<bool> {
        let sources = self.fact("sources")?;
        Ok(sources.is_none_or(|sources| sources.split(',').any(|source| source.trim() == "guest")))
    }

    /// Position in the stream of the last exit snapshot of a kind.
    fn exit_snapshot(&self, kind: SnapshotKind) -> rusqlite::Result<Option<i64>> {
        self.conn.query_row(
            "SELECT max(record) FROM raw_counter WHERE kind = ? AND moment = ?",
            params![kind.0, Moment::Exit.0],
            |row| row.get(0),
        )
    }

    fn counter(&self, kind: SnapshotKind, record: i64, name: &str) -> rusqlite::Result<Option<i64>> {
        self.conn
            .query_row(
                "SELECT value FROM raw_counter WHERE kind = ? AND record = ? AND name = ?",
                params![kind.0, record, name],
                |row| row.get(0),
            )
            .optional()
    }
}
