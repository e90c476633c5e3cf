//! What KVM's tracepoints told: exits by reason.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    RunFile,
    latency::{Latency, Percentiles},
};
use crate::trace::RunFileError;

/// How often and why the vCPU left the guest.
#[derive(Clone, Debug, Serialize)]
pub struct Exits {
    /// Exits from the guest; 0 where KVM does not tell them, as over PVM.
    pub total: u64,
    /// The same by hardware's reason, as the host's kernel names it.
    pub by_reason: BTreeMap<String, u64>,
    /// Times until the vCPU was back in the guest, by reason: KVM's work, and the VMM's where it was asked.
    pub latency_ns_by_reason: BTreeMap<String, Percentiles>,
    /// Returns of KVM_RUN to the VMM by reason, such as `KVM_EXIT_IO`: part of the exits.
    pub to_vmm_by_reason: BTreeMap<String, u64>,
    /// Events of every tracepoint that are missing, because the buffer was full.
    pub lost: u64,
}

/// Reads them; `None` for a run that no tracepoints were recorded of.
pub(super) fn exits(run: &RunFile, tsc_hz: u64) -> Result<Option<Exits>, RunFileError> {
    let Some(lost) = run.number("tracepoint.lost")? else { return Ok(None) };
    let mut times: BTreeMap<String, (u64, Latency)> = BTreeMap::new();
    let to_vmm_by_reason = run.query(|conn| {
        let mut rows = conn.prepare("SELECT reason, tsc, tsc_end FROM kvm_event WHERE name = 'kvm_exit'")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (count, latency) = times.entry(row.get(0)?).or_insert_with(|| (0, Latency::new(tsc_hz)));
            *count += 1;
            if let Some(end) = row.get::<_, Option<i64>>(2)? {
                latency.add(row.get::<_, i64>(1)?.cast_unsigned(), end.cast_unsigned());
            }
        }
        conn.prepare("SELECT reason, count(*) FROM kvm_event WHERE name = 'kvm_userspace_exit' GROUP BY 1")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    })?;
    Ok(Some(Exits {
        total: times.values().map(|(count, _)| count).sum(),
        by_reason: times.iter().map(|(reason, (count, _))| (reason.clone(), *count)).collect(),
        latency_ns_by_reason: times.iter().map(|(reason, (_, times))| (reason.clone(), times.percentiles())).collect(),
        to_vmm_by_reason,
        lost: lost.cast_unsigned(),
    }))
}
