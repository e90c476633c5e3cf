//! The joined chain: the host faults inside a guest fault.

use serde::Serialize;

use super::RunFile;
use crate::{trace::RunFileError, vm::clock::ticks_to_ns};

/// Guest faults that are told of one by one.
const SLOWEST: usize = 5;
/// Host faults that are told of one by one, of each of them.
const MAX_INSIDE: usize = 8;

/// A guest fault with the host faults inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlowFault {
    /// Its id.
    pub id: i64,
    /// What kind it was.
    pub kind: String,
    /// The address, as hex text.
    pub gva: String,
    /// How long it took, host faults included, in nanoseconds.
    pub ns: u64,
    /// Host faults inside.
    pub host_faults: u64,
    /// Their time, in nanoseconds: part of `ns`.
    pub host_ns: u64,
    /// The first of them, in the order of their times.
    pub inside: Vec<InnerFault>,
}

/// A host fault inside a guest fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InnerFault {
    /// Its id.
    pub id: i64,
    /// Frame number.
    pub pfn: u64,
    /// Who had the frame.
    pub owner: Option<String>,
    /// `page_table` or `data`, where it is known.
    pub level: Option<String>,
    /// How long it took, in nanoseconds.
    pub ns: u64,
}

/// The guest faults that took longest.
pub(super) fn slowest(run: &RunFile, tsc_hz: u64) -> Result<Vec<SlowFault>, RunFileError> {
    let ns = |ticks: i64| ticks_to_ns(ticks.max(0).cast_unsigned(), tsc_hz);
    run.query(|conn| {
        let mut slowest: Vec<SlowFault> = conn
            .prepare(
                "SELECT id, kind, gva, tsc_end - tsc_begin FROM guest_fault WHERE id IN
                   (SELECT id FROM raw_guest_fault ORDER BY tsc_end - tsc_begin DESC, id LIMIT ?)
                 ORDER BY 4 DESC, 1",
            )?
            .query_map([SLOWEST as i64], |row| {
                let (id, kind, gva) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(SlowFault { id, kind, gva, ns: ns(row.get(3)?), host_faults: 0, host_ns: 0, inside: Vec::new() })
            })?
            .collect::<Result<_, _>>()?;
        let ids: Vec<String> = slowest.iter().map(|fault| fault.id.to_string()).collect();
        let mut inner = conn.prepare(&format!(
            "SELECT h.guest_fault_id, h.id, r.gpa >> 12, h.owner, h.level, h.tsc_end - h.tsc_begin
             FROM host_fault h JOIN raw_host_fault r ON r.id = h.id
             WHERE r.guest_fault_id IN ({}) AND h.counted ORDER BY r.tsc_begin",
            ids.join(", ")
        ))?;
        let mut inner = inner.query([])?;
        while let Some(row) = inner.next()? {
            let outer: i64 = row.get(0)?;
            let (id, pfn) = (row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned());
            let fault = InnerFault { id, pfn, owner: row.get(3)?, level: row.get(4)?, ns: ns(row.get(5)?) };
            for slow in slowest.iter_mut().filter(|slow| slow.id == outer) {
                slow.host_faults += 1;
                slow.host_ns = slow.host_ns.saturating_add(fault.ns);
                if slow.inside.len() < MAX_INSIDE {
                    slow.inside.push(fault.clone());
                }
            }
        }
        Ok(slowest)
    })
}
