//! The conservation check: independent counts of the same thing must agree.
//!
//! Each identity compares a count from one place with a count of the same thing from another: the guest's own
//! counters with its events, the kernel's page map with the host faults, sequence numbers with records. An identity
//! one of whose sides is not there is *not checked*, with the reason; it never holds by default.

use pagelab_abi::code::{FaultKind, FrameOp, Moment, Owner, ProcessOp, SnapshotKind};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::RunFile;
use crate::trace::{CopyTally, OWNER_UNKNOWN, RunFileError, StreamHealth};

/// Processes whose fault counters are compared one by one.
const MAX_PROCESSES: usize = 1000;

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
    if check.fact("boot_protocol")?.is_some() {
        ["free_blocks", "rss"].iter().try_for_each(|name| check.skip(name, NO_RING))?;
    } else {
        check.memory()?;
    }
    check.host_faults(evidence.copies.as_ref())
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

    /// The stream itself: every record that the sequence numbers promise is there and keeps the rules.
    fn boundary(&self, evidence: &Evidence) -> rusqlite::Result<()> {
        if self.fact("boot_protocol")?.is_some() {
            self.skip("records", NO_RING)?;
        } else {
            let StreamHealth { records, lost, disordered, .. } = evidence.health;
            self.result(
                "records",
                records.saturating_add(lost).cast_signed(),
                records.saturating_sub(disordered).cast_signed(),
                "promised by sequence numbers = decoded in order",
            )?;
        }
        self.result(
            "protocol_errors",
            0,
            evidence.protocol_errors.cast_signed(),
            "none = rules of the boundary that the guest broke",
        )
    }

    /// Fault events against `/proc/vmstat`.
    fn guest_counters(&self) -> rusqlite::Result<()> {
        let Some(record) = self.exit_snapshot(SnapshotKind::VmStat)? else {
            let reason = "there is no vmstat snapshot at the exit of the program";
            return ["pgfault", "pgmajfault"].iter().try_for_each(|name| self.skip(name, reason));
        };
        let counted = not_in(|kind| kind.counts_as_pgfault());
        for (name, major, terms) in [
            ("pgfault", "", "vmstat at the exit = fault events of kinds that count"),
            ("pgmajfault", "AND flags & 1", "vmstat at the exit = fault events marked major"),
        ] {
            let sql = format!("SELECT count(*) FROM raw_guest_fault WHERE id <= ? AND kind NOT IN ({counted}) {major}");
            match self.counter(SnapshotKind::VmStat, record, name)? {
                Some(counter) => self.result(name, counter, self.number(&sql, [record])?, terms)?,
                None => self.skip(name, "the vmstat snapshot lacks it")?,
            }
        }
        Ok(())
    }

    /// Fault events against the counters that each process ended with.
    fn processes(&self) -> rusqlite::Result<()> {
        let counted = not_in(|kind| kind.counts_for_task());
        let exits: Vec<(i64, u32, i64, i64)> = self
            .conn
            .prepare("SELECT id, pid, min_flt, maj_flt FROM raw_process WHERE op = ? ORDER BY id")?
            .query_map([ProcessOp::Exit.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .take(MAX_PROCESSES)
            .collect::<Result<_, _>>()?;
        if exits.is_empty() {
            return ["min_flt", "maj_flt"].iter().try_for_each(|name| self.skip(name, "no process ended"));
        }
        let only = exits.len() == 1;
        for (id, pid, min_flt, maj_flt) in exits {
            for (name, counter, major) in [("min_flt", min_flt, 0), ("maj_flt", maj_flt, 1)] {
                let sql = format!(
                    "SELECT count(*) FROM raw_guest_fault WHERE id <= ? AND pid = ? AND kind NOT IN ({counted}) AND flags & 1 = ?"
                );
                let events = self.number(&sql, params![id, pid, major])?;
                let name = if only { name.to_owned() } else { format!("{name}.{pid}") };
                let terms = format!("counter of process {pid} at its end = its fault events");
                self.result(&name, counter, events, &terms)?;
            }
        }
        Ok(())
    }

    /// Frame events against the allocator's own state.
    fn frames(&self) -> rusqlite::Result<()> {
        let Some(record) = self.exit_snapshot(SnapshotKind::Memory)? else {
            let reason = "there is no memory snapshot at the exit of the program";
            return ["frames_in_use", "frames_announced"].iter().try_for_each(|name| self.skip(name, reason));
        };
        let value = |name| self.counter(SnapshotKind::Memory, record, name).map(Option::unwrap_or_default);
        let sum = |op: FrameOp| {
            self.number("SELECT sum(frames) FROM raw_frame_event WHERE id <= ? AND op = ?", params![record, op.0])
        };
        self.result(
            "frames_in_use",
            value("managed")?.wrapping_sub(value("free")?),
            sum(FrameOp::Alloc)?.wrapping_sub(sum(FrameOp::Free)?),
            "managed - free at the exit = allocated - freed by events",
        )?;
        self.result(
            "frames_announced",
            value("ram")?.wrapping_sub(value("managed")?),
            sum(FrameOp::Announce)?,
            "RAM the allocator never had = announced by events",
        )
    }

    /// The guest's memory snapshots against themselves: sums over parts against totals kept apart.
    fn memory(&self) -> rusqlite::Result<()> {
        match self.exit_snapshot(SnapshotKind::Memory)? {
            Some(record) => {
                let value = |name| self.counter(SnapshotKind::Memory, record, name).map(Option::unwrap_or_default);
                self.result(
                    "free_blocks",
                    value("free")?,
                    value("blocks_free")?,
                    "MemFree = frames in the buddy's free blocks",
                )?;
            }
            None => self.skip("free_blocks", "there is no memory snapshot at the exit of the program")?,
        }
        let Some(record) = self.exit_snapshot(SnapshotKind::Mm)? else {
            return self.skip("rss", "there is no snapshot of the program's memory at its exit");
        };
        let value = |name| self.counter(SnapshotKind::Mm, record, name).map(Option::unwrap_or_default);
        let total = value("rss_anon")?.wrapping_add(value("rss_file")?).wrapping_add(value("rss_shmem")?);
        let by_vma = self.number("SELECT sum(rss) FROM raw_vma_snapshot WHERE record = ?", [record])?;
        self.result("rss", total, by_vma, "RssAnon + RssFile + RssShmem = present PTEs by VMA")
    }

    /// Host faults against what userfaultfd did and what became resident.
    fn host_faults(&self, copies: Option<&CopyTally>) -> rusqlite::Result<()> {
        let Some(copies) = copies else {
            let reason = "host faults were not recorded by userfaultfd";
            return ["uffd_pages", "host_fault_rows", "host_fault_owners"]
                .iter()
                .try_for_each(|name| self.skip(name, reason));
        };
        self.result(
            "uffd_pages",
            copies.present_at_end.wrapping_sub(copies.present_at_start).cast_signed(),
            copies.copied.cast_signed(),
            "present at the end - preloaded = userfaultfd copies",
        )?;
        let rows = self.number("SELECT count(*) FROM host_fault WHERE source = 'uffd'", [])?;
        self.result(
            "host_fault_rows",
            copies.copied.saturating_add(copies.already_there).cast_signed(),
            rows,
            "copies + copies that found the page there = host faults",
        )?;
        if !self.stream_is_on()? {
            return self.skip("host_fault_owners", NO_STREAM);
        }
        let all = self.number("SELECT count(*) FROM raw_host_fault", [])?;
        let unowned = params![Owner::None.0, OWNER_UNKNOWN];
        let owned = self.number("SELECT count(*) FROM raw_host_fault WHERE owner NOT IN (?, ?)", unowned)?;
        self.result("host_fault_owners", all, owned, "host faults = host faults whose frame has an owner")
    }
}

/// The codes of the kinds that do not count, for SQL.
fn not_in(counts: impl Fn(FaultKind) -> bool) -> String {
    let codes: Vec<_> = FaultKind::ALL.iter().filter(|kind| !counts(**kind)).map(|kind| kind.0.to_string()).collect();
    codes.join(", ")
}
