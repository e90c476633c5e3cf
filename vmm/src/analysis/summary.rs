//! A run in numbers: what `--json` prints and the text report shows.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use serde::Serialize;

use super::{
    Attached, Conservation, DirtyPages, Exits, GuestFaults, HostFaults, HostPlaces, Percentiles, RunFile, dirty,
    faults, kvm,
};
use crate::{crash::Diagnosis, trace::RunFileError};

/// A whole run. Times are in nanoseconds, `memory` in kB as `/proc/meminfo` has it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How the host translates guest memory: `ept`, `npt`, `shadow`, `sim`.
    pub host_mmu: String,
    /// What `pagelab run` ended with; `None` if the recorder never saw the end.
    pub exit_status: Option<i64>,
    /// How the program ended, as `wait(2)` encodes it.
    pub wait_status: Option<i64>,
    /// Whether the guest came to its own end.
    pub complete: bool,
    /// All rows of the `run` view.
    pub run: BTreeMap<String, serde_json::Value>,
    /// The guest's page faults.
    pub guest_faults: GuestFaults,
    /// The host's.
    pub host_faults: HostFaults,
    /// Exits from the guest, where KVM's tracepoints were recorded.
    pub exits: Option<Exits>,
    /// Times of both.
    pub latency_ns: LatencyNs,
    /// Pages written per interval, if that was recorded.
    pub dirty: Option<DirtyPages>,
    /// `/proc/meminfo` at the exit of the program, in `memory_unit`.
    pub memory: BTreeMap<String, u64>,
    /// The unit of `memory`.
    pub memory_unit: &'static str,
    /// What was seen of somebody else's VM; `None` for a run of the lab's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached: Option<Attached>,
    /// Where host faults were, for guests that tell nothing of their frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_places: Option<HostPlaces>,
    /// The conservation check.
    pub conservation: Conservation,
    /// Records missing by their sequence numbers; `None` if the recorder never saw the end.
    pub events_lost: Option<i64>,
    /// System calls that were answered with ENOSYS.
    pub missing_syscalls: Vec<MissingCall>,
    /// What the program wrote, standard output and standard error in order.
    pub console: String,
    /// Why the program was ended by a signal; `None` if it was not, or nothing is known of it.
    pub diagnosis: Option<Diagnosis>,
    /// What the kernel and the boundary had to say.
    pub messages: Vec<Message>,
}

/// Times of both dimensions.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LatencyNs {
    /// Guest faults, nested host faults included.
    pub guest: Percentiles,
    /// Host faults.
    pub host: Percentiles,
}

/// A system call the guest does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingCall {
    /// Its number.
    pub number: u32,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How often it was asked for.
    pub count: u32,
}

/// A message beside the program's own output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `panic`, `diagnosis`, `protocol_error`.
    pub kind: String,
    /// What it says.
    pub text: String,
}

impl Summary {
    /// Reads a run file.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn read(run: &RunFile) -> Result<Self, RunFileError> {
        let tsc_hz = run.number("tsc_hz")?.map_or(0, i64::cast_unsigned);
        let attached = Attached::read(run)?;
        let (guest_faults, guest) = faults::guest(run, tsc_hz)?;
        let (host_faults, host) = faults::host(run, tsc_hz)?;
        let console: Vec<String> = run.query(|conn| {
            conn.prepare("SELECT text FROM console ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
        })?;
        Ok(Summary {
            host_mmu: run.fact("host_mmu")?.unwrap_or_else(|| "unknown".into()),
            exit_status: run.number("exit_status")?,
            wait_status: run.query(|conn| {
                let mut rows = conn.prepare("SELECT wait_status FROM process ORDER BY id LIMIT 1")?;
                let mut rows = rows.query([])?;
                rows.next()?.map_or(Ok(None), |row| row.get(0))
            })?,
            complete: run.number("complete")? == Some(1),
            run: facts(run)?,
            guest_faults,
            host_faults,
            // Those of an attached VM are counts: they are in `attached`.
            exits: if attached.is_some() { None } else { kvm::exits(run, tsc_hz)? },
            latency_ns: LatencyNs { guest, host },
            dirty: dirty::read(run)?,
            memory: run.snapshot("meminfo", Some("exit"))?.map(|text| meminfo(&text)).unwrap_or_default(),
            memory_unit: "kB",
            attached,
            host_places: match run.fact("attached.pid")?.or(run.fact("boot_protocol")?) {
                Some(_) => Some(HostPlaces::read(run)?),
                None => None,
            },
            conservation: Conservation::read(run)?,
            events_lost: run.number("events_lost")?,
            missing_syscalls: missing_syscalls(run)?,
            console: console.concat(),
            diagnosis: run.query(Diagnosis::read)?,
            messages: run.query(|conn| {
                conn.prepare("SELECT kind, text FROM message ORDER BY id")?
                    .query_map([], |row| Ok(Message { kind: row.get(0)?, text: row.get(1)? }))?
                    .collect()
            })?,
        })
    }

    /// A row of the `run` view, as text.
    pub fn fact(&self, key: &str) -> Option<String> {
        self.run.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

fn facts(run: &RunFile) -> Result<BTreeMap<String, serde_json::Value>, RunFileError> {
    run.query(|conn| {
        conn.prepare("SELECT key, value FROM run")?
            .query_map([], |row| {
                let value = match row.get::<_, Value>(1)? {
                    Value::Integer(number) => number.into(),
                    Value::Real(number) => number.into(),
                    Value::Text(text) => text.into(),
                    Value::Null | Value::Blob(_) => serde_json::Value::Null,
                };
                Ok((row.get(0)?, value))
            })?
            .collect()
    })
}

fn missing_syscalls(run: &RunFile) -> Result<Vec<MissingCall>, RunFileError> {
    run.query(|conn| {
        conn.prepare(
            "SELECT number, (SELECT name FROM code_syscall WHERE code = number), count FROM raw_missing_syscall
             WHERE record = (SELECT max(record) FROM raw_missing_syscall) ORDER BY count DESC, number",
        )?
        .query_map([], |row| Ok(MissingCall { number: row.get(0)?, name: row.get(1)?, count: row.get(2)? }))?
        .collect()
    })
}

/// Reads `Name:   123 kB` lines.
fn meminfo(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        let read = meminfo("MemTotal:       65536 kB\nActive(anon):   12 kB\nHugePages_Total:    0\nnonsense\n");
        assert_eq!(read.get("MemTotal"), Some(&65536));
        assert_eq!(read.get("Active(anon)"), Some(&12));
        assert_eq!(read.len(), 3);
    }
}
