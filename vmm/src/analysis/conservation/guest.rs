//! Identities about the guest: what it says of itself, by its events, its counters and its snapshots.

use pagelab_abi::code::{FaultKind, FrameOp, ProcessOp, SnapshotKind};
use rusqlite::params;

use super::{Checker, Evidence, NO_RING};
use crate::trace::StreamHealth;

/// Processes whose fault counters are compared one by one.
const MAX_PROCESSES: usize = 1000;

impl Checker<'_> {
    /// The stream itself: every record that the sequence numbers promise is there and keeps the rules.
    pub(super) fn boundary(&self, evidence: &Evidence) -> rusqlite::Result<()> {
        if !self.guest_is_ours()? {
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
        if self.fact("boot_protocol")?.is_none() && !self.guest_is_ours()? {
            return self.skip("protocol_errors", NO_RING);
        }
        self.result(
            "protocol_errors",
            0,
            evidence.protocol_errors.cast_signed(),
            "none = rules of the boundary that the guest broke",
        )
    }

    /// Fault events against `/proc/vmstat`.
    pub(super) fn guest_counters(&self) -> rusqlite::Result<()> {
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
    pub(super) fn processes(&self) -> rusqlite::Result<()> {
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
    pub(super) fn frames(&self) -> rusqlite::Result<()> {
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
            value("managed")?.wrapping_sub(value("free")?).wrapping_sub(value("pcp")?),
            sum(FrameOp::Alloc)?.wrapping_sub(sum(FrameOp::Free)?),
            "managed - free - on the CPUs' lists at the exit = allocated - freed by events",
        )?;
        self.result(
            "frames_announced",
            value("ram")?.wrapping_sub(value("managed")?),
            sum(FrameOp::Announce)?,
            "RAM the allocator never had = announced by events",
        )
    }

    /// The guest's memory snapshots against themselves: sums over parts against totals kept apart.
    pub(super) fn memory(&self) -> rusqlite::Result<()> {
        match self.exit_snapshot(SnapshotKind::Memory)? {
            Some(record) => {
                let value = |name| self.counter(SnapshotKind::Memory, record, name).map(Option::unwrap_or_default);
                self.result("free_blocks", value("free")?, value("blocks_free")?, "MemFree = frames in free blocks")?;
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
}

/// The codes of the kinds that do not count, for SQL.
fn not_in(counts: impl Fn(FaultKind) -> bool) -> String {
    let codes: Vec<_> = FaultKind::ALL.iter().filter(|kind| !counts(**kind)).map(|kind| kind.0.to_string()).collect();
    codes.join(", ")
}
