//! Faults of both dimensions, counted and timed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    RunFile,
    chain::{self, SlowFault},
    latency::{Latency, Percentiles},
    takers::Takers,
    vmas::{self, VmaFaults},
};
use crate::trace::{RunFileError, primary_source};

/// The guest's page faults.
#[derive(Clone, Debug, Serialize)]
pub struct GuestFaults {
    /// Events.
    pub total: u64,
    /// Events by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// Host faults that happened inside guest faults of a kind.
    pub host_faults_by_kind: BTreeMap<String, u64>,
    /// Times by kind, nested host faults included.
    pub latency_ns_by_kind: BTreeMap<String, Percentiles>,
    /// The slowest ones, the slowest first, with the host faults inside.
    pub slowest: Vec<SlowFault>,
    /// Events by the VMA they fell into.
    pub by_vma: Vec<VmaFaults>,
    /// When the map of `by_vma` was taken: `exit`, or `exec` for a program that did not end.
    pub map_moment: Option<String>,
}

/// The host's faults, each once: those of the source that stands for all.
#[derive(Clone, Debug, Serialize)]
pub struct HostFaults {
    /// The source whose events these are; `None` if there are none.
    pub source: Option<String>,
    /// Events of each source, of the witnesses too.
    pub by_source: BTreeMap<String, u64>,
    /// Events that a witness saw too.
    pub witnessed: u64,
    /// Events.
    pub total: u64,
    /// Events by the translation that was interrupted, `final` or `walk`, of the source that knows it.
    pub by_stage: BTreeMap<String, u64>,
    /// Times of these.
    pub latency_ns_by_stage: BTreeMap<String, Percentiles>,
    /// Events by the owner of the frame.
    pub by_owner: BTreeMap<String, u64>,
    /// Events in slabs, by the cache of kernel objects.
    pub by_cache: BTreeMap<String, u64>,
    /// Events by the place in the guest kernel's source that took the frame.
    pub by_call_site: BTreeMap<String, u64>,
    /// Events by what the page held: `page_table` or `data`; those of which neither is known are left out.
    pub by_level: BTreeMap<String, u64>,
    /// Events inside a guest fault, by the owner of the frame.
    pub nested_by_owner: BTreeMap<String, u64>,
    /// Events inside a guest fault.
    pub nested: u64,
    /// Events outside any guest fault.
    pub outside: u64,
    /// Time of the nested ones together, in nanoseconds: part of the guest faults' time.
    pub nested_ns: u64,
    /// Times by owner.
    pub latency_ns_by_owner: BTreeMap<String, Percentiles>,
}

/// Name of the owner of host faults that were never joined.
pub(crate) const NOT_JOINED: &str = "not_joined";

/// Counts and times guest faults; the second result is the times of all of them.
pub(super) fn guest(run: &RunFile, tsc_hz: u64) -> Result<(GuestFaults, Percentiles), RunFileError> {
    let mut all = Latency::new(tsc_hz);
    let mut by_code: BTreeMap<u8, Latency> = BTreeMap::new();
    run.query(|conn| {
        let mut rows = conn.prepare("SELECT kind, tsc_begin, tsc_end FROM raw_guest_fault")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (begin, end) = (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
            all.add(begin, end);
            by_code.entry(row.get(0)?).or_insert_with(|| Latency::new(tsc_hz)).add(begin, end);
        }
        Ok(())
    })?;
    let latency_ns_by_kind: BTreeMap<String, Percentiles> =
        by_code.iter().map(|(code, latency)| (kind_name(*code), latency.percentiles())).collect();
    let source = source(run)?;
    let host_faults_by_kind = run.query(|conn| {
        conn.prepare(
            "SELECT g.kind, count(*) FROM raw_host_fault h JOIN raw_guest_fault g ON g.id = h.guest_fault_id
             WHERE h.source = (SELECT code FROM code_source WHERE name = ?) GROUP BY 1",
        )?
        .query_map([&source], |row| Ok((kind_name(row.get(0)?), row.get(1)?)))?
        .collect()
    })?;
    let all = all.percentiles();
    let faults = GuestFaults {
        total: all.count,
        by_kind: latency_ns_by_kind.iter().map(|(kind, latency)| (kind.clone(), latency.count)).collect(),
        host_faults_by_kind,
        latency_ns_by_kind,
        slowest: chain::slowest(run, tsc_hz)?,
        by_vma: vmas::faults(run)?,
        map_moment: vmas::moment(run)?,
    };
    Ok((faults, all))
}

/// Counts and times host faults; the second result is the times of all of them.
pub(super) fn host(run: &RunFile, tsc_hz: u64) -> Result<(HostFaults, Percentiles), RunFileError> {
    let mut all = Latency::new(tsc_hz);
    let mut nested = Latency::new(tsc_hz);
    let source = source(run)?;
    let mut by_code: BTreeMap<Option<i64>, (Latency, u64)> = BTreeMap::new();
    let names: BTreeMap<i64, String> = run.query(|conn| {
        let mut rows = conn.prepare(
            "SELECT owner, tsc_begin, tsc_end, guest_fault_id IS NOT NULL FROM raw_host_fault
             WHERE source = (SELECT code FROM code_source WHERE name = ?)",
        )?;
        let mut rows = rows.query([&source])?;
        while let Some(row) = rows.next()? {
            let (begin, end) = (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
            all.add(begin, end);
            let (latency, inside) = by_code.entry(row.get(0)?).or_insert_with(|| (Latency::new(tsc_hz), 0));
            latency.add(begin, end);
            if row.get(3)? {
                *inside += 1;
                nested.add(begin, end);
            }
        }
        conn.prepare("SELECT code, name FROM code_owner")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    })?;
    let named: Vec<(String, Percentiles, u64)> = by_code
        .iter()
        .map(|(code, (latency, inside))| {
            let name = match code {
                None => NOT_JOINED.to_owned(),
                Some(code) => names.get(code).cloned().unwrap_or_else(|| format!("unknown-{code}")),
            };
            (name, latency.percentiles(), *inside)
        })
        .collect();
    let (all, nested) = (all.percentiles(), nested.percentiles());
    let latency_ns_by_stage = by_stage(run, tsc_hz)?;
    let by_source = run.query(|conn| {
        conn.prepare(
            "SELECT (SELECT name FROM code_source WHERE code = source), count(*) FROM raw_host_fault GROUP BY 1",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
    })?;
    let by_level = run.query(|conn| {
        conn.prepare("SELECT level, count(*) FROM host_fault WHERE counted AND level IS NOT NULL GROUP BY 1")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    })?;
    let witnessed = run.query(|conn| {
        conn.query_row("SELECT count(*) FROM host_fault WHERE counted AND same_as IS NOT NULL", [], |row| row.get(0))
    })?;
    let Takers { by_cache, by_call_site } = Takers::read(run)?;
    let faults = HostFaults {
        by_cache,
        by_call_site,
        source,
        by_source,
        witnessed,
        by_level,
        total: all.count,
        by_stage: latency_ns_by_stage.iter().map(|(stage, latency)| (stage.clone(), latency.count)).collect(),
        latency_ns_by_stage,
        by_owner: named.iter().map(|(name, latency, _)| (name.clone(), latency.count)).collect(),
        nested_by_owner: named.iter().map(|(name, _, inside)| (name.clone(), *inside)).collect(),
        nested: nested.count,
        outside: all.count - nested.count,
        nested_ns: nested.sum,
        latency_ns_by_owner: named.into_iter().map(|(name, latency, _)| (name, latency)).collect(),
    };
    Ok((faults, all))
}

/// Times of the host faults of the source that knows their stage, by stage.
fn by_stage(run: &RunFile, tsc_hz: u64) -> Result<BTreeMap<String, Percentiles>, RunFileError> {
    let mut stages: BTreeMap<String, Latency> = BTreeMap::new();
    run.query(|conn| {
        let mut rows = conn.prepare(
            "SELECT s.name, h.tsc_begin, h.tsc_end FROM raw_host_fault h JOIN code_stage s ON s.code = h.stage",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (begin, end) = (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
            stages.entry(row.get(0)?).or_insert_with(|| Latency::new(tsc_hz)).add(begin, end);
        }
        Ok(())
    })?;
    Ok(stages.into_iter().map(|(stage, latency)| (stage, latency.percentiles())).collect())
}

/// The source that stands for the host's faults; `None` if there are none.
fn source(run: &RunFile) -> Result<Option<String>, RunFileError> {
    run.query(primary_source)
}

/// A fault kind's name, as the views show it.
pub(super) fn kind_name(code: u8) -> String {
    pagelab_abi::code::FaultKind(code).name().map_or_else(|| format!("unknown-{code}"), str::to_owned)
}
