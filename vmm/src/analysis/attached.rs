//! What `pagelab attach` recorded of somebody else's VM: exits by reason, KVM's statistics, and both over time.

use std::collections::BTreeMap;

use serde::Serialize;

use super::RunFile;
use crate::{
    trace::{RunFileError, SampleKind},
    vm::clock::ticks_to_ns,
};

/// Parts that the time is cut into.
const MAX_INTERVALS: usize = 12;
/// KVM statistics that tell a state, not how often something happened (Linux: Documentation/virt/kvm/api.rst, 4.134,
/// of the types instant and peak).
const STATES: &[&str] = &[
    "blocking",
    "guest_mode",
    "max_mmu_page_hash_collisions",
    "max_mmu_rmap_size",
    "nx_lpage_splits",
    "pages_1g",
    "pages_2m",
    "pages_4k",
    "pf_parked",
];
/// What begins the keys of facts about what the host did not tell.
const MISSING: &str = "missing.";

/// A VM that was watched.
#[derive(Clone, Debug, Serialize)]
pub struct Attached {
    /// The process.
    pub pid: i64,
    /// Its VMs.
    pub vms: i64,
    /// Its vCPUs.
    pub vcpus: i64,
    /// Why the recording ended.
    pub end: String,
    /// How long it was watched.
    pub seconds: f64,
    /// Exits by reason, the most frequent first.
    pub exits: Vec<ExitReason>,
    /// KVM's other events, by tracepoint and reason.
    pub events: Vec<Rate>,
    /// KVM's statistics that changed.
    pub statistics: Vec<Statistic>,
    /// Counts over time.
    pub over_time: Vec<Interval>,
    /// What the host does not tell, and why.
    pub missing: BTreeMap<String, String>,
}

/// Exits of one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExitReason {
    /// The kernel's name for it.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// How many a second.
    pub per_second: f64,
    /// Time from exit to entry, all together, in nanoseconds.
    pub outside_ns: u64,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
    /// How often a second.
    pub per_second: f64,
}

/// One of KVM's statistics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistic {
    /// KVM's name for it.
    pub name: String,
    /// Its value at the end, since the VM was made.
    pub value: u64,
    /// What was added while it was watched; of a state, how it changed.
    pub change: i64,
    /// The same a second; `None` for a state.
    pub per_second: Option<f64>,
}

/// A part of the time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Seconds since the beginning.
    pub begin: f64,
    /// Its end.
    pub end: f64,
    /// Exits a second: by tracepoint, or else KVM's own count; `None` if neither counts them.
    pub exits_per_second: Option<f64>,
    /// Host faults a second; `None` if they were not recorded.
    pub host_faults_per_second: Option<f64>,
    /// Instructions emulated by KVM a second; `None` if it does not count them.
    pub emulated_per_second: Option<f64>,
}

type Counts = BTreeMap<(SampleKind, String), (u64, u64)>;

/// A sample's time and what had changed by then: value and ticks by name.
struct Look {
    tsc: u64,
    changed: Counts,
}

impl Attached {
    /// Reads a run file; `None` if it is of another kind of run.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn read(run: &RunFile) -> Result<Option<Attached>, RunFileError> {
        let Some(pid) = run.number("attached.pid")? else { return Ok(None) };
        let number = |key| run.number(key).map(Option::unwrap_or_default);
        let tsc_hz = number("tsc_hz")?.cast_unsigned();
        let seconds = number("wall_ns")? as f64 / 1e9;
        let looks = looks(run)?;
        let first = looks.first().map(|look| look.changed.clone()).unwrap_or_default();
        let last = looks.iter().flat_map(|look| look.changed.clone()).collect::<Counts>();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let (mut exits, mut events, mut statistics) = (Vec::new(), Vec::new(), Vec::new());
        for ((kind, name), (value, ticks)) in last {
            match kind {
                SampleKind::Exit => exits.push(ExitReason {
                    reason: name,
                    count: value,
                    per_second: rate(value),
                    outside_ns: ticks_to_ns(ticks, tsc_hz),
                }),
                SampleKind::Event => events.push(Rate { name, count: value, per_second: rate(value) }),
                SampleKind::Counter => {
                    let before = first.get(&(kind, name.clone())).map_or(0, |(value, _)| *value);
                    let change = value.wrapping_sub(before).cast_signed();
                    let is_state = STATES.contains(&name.as_str());
                    let per_second = (!is_state).then(|| rate(change.unsigned_abs()));
                    statistics.extend((change != 0).then_some(Statistic { name, value, change, per_second }));
                }
            }
        }
        exits.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        events.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        let over_time = over_time(run, &looks, tsc_hz)?;
        Ok(Some(Attached {
            pid,
            vms: number("attached.vms")?,
            vcpus: number("attached.vcpus")?,
            end: run.fact("attached.end")?.unwrap_or_else(|| "cut short".to_owned()),
            seconds,
            exits,
            events,
            statistics,
            over_time,
            missing: missing(run)?,
        }))
    }
}

fn looks(run: &RunFile) -> Result<Vec<Look>, RunFileError> {
    let kind = |code: u8| SampleKind::ALL.into_iter().find(|kind| *kind as u8 == code);
    let mut looks: Vec<Look> = Vec::new();
    run.query(|conn| {
        let mut rows = conn.prepare("SELECT tsc, kind, name, value, COALESCE(ticks, 0) FROM raw_sample ORDER BY id")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let Some(kind) = kind(row.get(1)?) else { continue };
            let tsc = row.get::<_, i64>(0)?.cast_unsigned();
            if looks.last().is_none_or(|look| look.tsc != tsc) {
                looks.push(Look { tsc, changed: Counts::new() });
            }
            let value = (row.get::<_, i64>(3)?.cast_unsigned(), row.get::<_, i64>(4)?.cast_unsigned());
            if let Some(look) = looks.last_mut() {
                look.changed.insert((kind, row.get(2)?), value);
            }
        }
        Ok(())
    })?;
    Ok(looks)
}

/// Rates between looks, several of them put together where there are many.
fn over_time(run: &RunFile, looks: &[Look], tsc_hz: u64) -> Result<Vec<Interval>, RunFileError> {
    let Some((first, rest)) = looks.split_first() else { return Ok(Vec::new()) };
    let sources = run.fact("sources")?.unwrap_or_default();
    let faults_are_recorded = sources.split(',').any(|source| source == "tracepoint");
    let seconds = |tsc: u64| ticks_to_ns(tsc.saturating_sub(first.tsc), tsc_hz) as f64 / 1e9;
    let mut now = first.changed.clone();
    // One of the two counts of exits, for all of the time: they begin at different numbers.
    let traced = looks.iter().any(|look| look.changed.keys().any(|(kind, _)| *kind == SampleKind::Exit));
    let mut before = Totals::of(&now, traced);
    let mut begin = first.tsc;
    let mut intervals = Vec::new();
    for group in rest.chunks(rest.len().div_ceil(MAX_INTERVALS).max(1)) {
        now.extend(group.iter().flat_map(|look| look.changed.clone()));
        let Some(end) = group.last().map(|look| look.tsc) else { continue };
        let after = Totals::of(&now, traced);
        let length = seconds(end) - seconds(begin);
        if length <= 0.0 {
            continue;
        }
        let rate =
            |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before.unwrap_or(0)) as f64 / length);
        let faults: Option<u64> = match faults_are_recorded {
            false => None,
            true => Some(run.query(|conn| {
                conn.query_row(
                    "SELECT count(*) FROM raw_host_fault WHERE tsc_begin > ? AND tsc_begin <= ?",
                    [begin.cast_signed(), end.cast_signed()],
                    |row| row.get(0),
                )
            })?),
        };
        intervals.push(Interval {
            begin: seconds(begin),
            end: seconds(end),
            exits_per_second: rate(before.exits, after.exits),
            host_faults_per_second: rate(Some(0), faults),
            emulated_per_second: rate(before.emulated, after.emulated),
        });
        (before, begin) = (after, end);
    }
    Ok(intervals)
}

/// The counts that are shown over time.
struct Totals {
    exits: Option<u64>,
    emulated: Option<u64>,
}

impl Totals {
    fn of(counts: &Counts, traced: bool) -> Totals {
        let counter = |name: &str| counts.get(&(SampleKind::Counter, name.to_owned())).map(|(value, _)| *value);
        let by_reason = counts.iter().filter(|((kind, _), _)| *kind == SampleKind::Exit);
        let exits = if traced { Some(by_reason.map(|(_, (value, _))| value).sum()) } else { counter("exits") };
        Totals { exits, emulated: counter("insn_emulation") }
    }
}

fn missing(run: &RunFile) -> Result<BTreeMap<String, String>, RunFileError> {
    run.query(|conn| {
        conn.prepare("SELECT substr(key, length(?1) + 1), value FROM run WHERE substr(key, 1, length(?1)) = ?1")?
            .query_map([MISSING], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    })
}
