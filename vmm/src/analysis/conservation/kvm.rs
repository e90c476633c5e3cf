//! Identities between KVM's own counters, its tracepoints, and the source that resolved the host's faults.
//!
//! What each counter counts on which kind of host is measured in ARCHITECTURE.md.

use std::collections::HashSet;

use pagelab_abi::{
    code::FaultKind,
    event::GuestFault,
    layout::{PAGE_SIZE, TRACE_WINDOW_PHYS},
    record::RECORD_SIZE,
    ring::{RECORDS_OFFSET, capacity},
};

use super::{Checker, Evidence, NO_STREAM, terms};
use crate::{trace::primary_source, vm::TraceWindow};

const STATS: &str = "stats";
const TRACEPOINT: &str = "tracepoint";
/// Identities between sources, where each page the guest touches faults once in the second dimension.
const NESTED: [&str; 5] =
    ["kvm_pf_taken", "kvm_pf_fixed", "host_faults_explained", "host_fault_witnesses", "trace_window_pages"];
/// Those under shadow paging.
const SHADOW: [&str; 4] = ["kvm_pf_guest", "kvm_walker_errors", "kvm_pf_fixed", "host_faults_explained"];

/// Why what KVM counted is not checked against anything.
const FOREIGN: &str = "a kernel that is not pagelab's touches devices and takes faults that are not told apart";
const NO_COUNTERS: &str = "KVM's counters from before the start are not there: the source stats was off";
const NO_TRACEPOINTS: &str = "the source tracepoint was off, which tells KVM's faults one by one";

impl Checker<'_> {
    /// KVM's view of the run against the others'.
    pub(super) fn kvm(&self, evidence: &Evidence) -> rusqlite::Result<()> {
        let (stats, tracepoint) = (self.has_source(STATS)?, self.has_source(TRACEPOINT)?);
        if !stats && !tracepoint {
            return Ok(());
        }
        let shadow = match self.fact("host_mmu")?.as_deref() {
            Some("shadow") => true,
            Some("npt" | "ept") => false,
            _ => return Ok(()),
        };
        let names: &[&str] = if shadow { &SHADOW } else { &NESTED };
        if !self.guest_is_ours()? {
            return names.iter().try_for_each(|name| self.skip(name, FOREIGN));
        }
        let mut names = names.iter();
        if shadow {
            self.shadow_guest_faults(names.next().unwrap_or(&""), evidence)?;
        }
        let lost = if !tracepoint {
            Some(NO_TRACEPOINTS.to_owned())
        } else {
            match self.number_fact("tracepoint.lost")? {
                None => Some("the source tracepoint did not come to its end".to_owned()),
                Some(0) => None,
                Some(lost) => Some(format!("{lost} events of the tracepoints were lost")),
            }
        };
        if let Some(reason) = lost {
            return names.try_for_each(|name| self.skip(name, &reason));
        }
        if shadow {
            self.counter_is("kvm_walker_errors", "pf_guest", "tracepoint.kvm_mmu_walker_error")?;
        } else {
            self.taken()?;
        }
        self.fixed()?;
        self.explained(shadow, evidence)
    }

    /// What one of KVM's counters went up by during the run.
    fn kvm_counter(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        let before = self.number_fact(&format!("kvm_before.{name}"))?;
        let after = self.number_fact(&format!("kvm.{name}"))?;
        Ok(before.zip(after).map(|(before, after)| after.wrapping_sub(before)))
    }

    /// A counter against how often KVM hit a tracepoint.
    fn counter_is(&self, name: &str, counter: &str, tracepoint: &str) -> rusqlite::Result<()> {
        let Some(counted) = self.kvm_counter(counter)? else { return self.skip(name, NO_COUNTERS) };
        match self.number_fact(tracepoint)? {
            Some(hits) => self.result(name, counted, hits, &format!("KVM's {counter} = {tracepoint}")),
            None => self.skip(name, &format!("this host's KVM has no {tracepoint}")),
        }
    }

    /// Under KVM over PVM every guest fault of ring 3, every system call and every fault that ring 0 takes itself (those of
    /// kind `kernel`) reaches KVM as a #PF.
    fn shadow_guest_faults(&self, name: &str, evidence: &Evidence) -> rusqlite::Result<()> {
        let reason = if self.fact("ring_0")?.as_deref() != Some("emulated") {
            "only KVM over PVM is known to count system calls as #PFs"
        } else if !self.stream_is_on()? {
            NO_STREAM
        } else if !evidence.complete {
            "the run was cut short, perhaps between a #PF and its record"
        } else {
            ""
        };
        if !reason.is_empty() {
            return self.skip(name, reason);
        }
        let Some(counted) = self.kvm_counter("pf_guest")? else { return self.skip(name, NO_COUNTERS) };
        let faults =
            self.number("SELECT count(*) FROM raw_guest_fault WHERE flags & ? = 0", [GuestFault::IN_KERNEL])?;
        let calls = self.number("SELECT count(*) FROM raw_syscall", [])?;
        let own = self.number("SELECT count(*) FROM raw_guest_fault WHERE kind = ?", [FaultKind::Kernel.0])?;
        let terms = match own {
            0 => format!("KVM's pf_guest = {faults} guest faults of ring 3 + {calls} system calls"),
            _ => format!("KVM's pf_guest = {faults} guest faults of ring 3 + {own} of ring 0 + {calls} system calls"),
        };
        self.result(name, counted, faults + own + calls, &terms)
    }

    /// Each fault that KVM counted was told by a tracepoint.
    fn taken(&self) -> rusqlite::Result<()> {
        let name = "kvm_pf_taken";
        let Some(counted) = self.kvm_counter("pf_taken")? else { return self.skip(name, NO_COUNTERS) };
        let rows = self.witnessed("")?;
        self.result(name, counted, rows, "KVM's pf_taken = host faults by tracepoint")
    }

    /// Each translation that KVM counted was told by a tracepoint.
    fn fixed(&self) -> rusqlite::Result<()> {
        let name = "kvm_pf_fixed";
        let counters = [self.kvm_counter("pf_fixed")?, self.kvm_counter("pf_spurious")?, self.kvm_counter("pf_fast")?];
        let [Some(fixed), Some(spurious), Some(fast)] = counters else { return self.skip(name, NO_COUNTERS) };
        if self.number_fact("tracepoint.kvm_mmu_spte_requested")?.is_none() {
            return self.skip(name, "this host's KVM has no tracepoint kvm_mmu_spte_requested");
        }
        let mapped = self.witnessed("AND h.bytes > 0")?;
        let terms = format!(
            "KVM's pf_fixed + {spurious} pf_spurious = {mapped} translations by tracepoint + {fast} without one (pf_fast)"
        );
        self.result(name, fixed + spurious, mapped + fast, &terms)
    }

    /// Host faults by tracepoint.
    fn witnessed(&self, which: &str) -> rusqlite::Result<i64> {
        let sql = format!(
            "SELECT count(*) FROM raw_host_fault h JOIN code_source s ON s.code = h.source WHERE s.name = ? {which}"
        );
        self.number(&sql, [TRACEPOINT])
    }

    /// Each host fault that a tracepoint told has a reason, and each one that was resolved was told.
    fn explained(&self, shadow: bool, evidence: &Evidence) -> rusqlite::Result<()> {
        let explained = "host_faults_explained";
        let witnesses = if shadow { &[][..] } else { &["host_fault_witnesses", "trace_window_pages"] };
        if self.number_fact("present_at_start_pages")?.is_none() {
            let reason = "which pages the host had at the start is not known";
            return [explained].iter().chain(witnesses).try_for_each(|name| self.skip(name, reason));
        }
        let primary = primary_source(self.conn)?;
        let resolver = primary.as_deref().filter(|source| *source != TRACEPOINT);
        let ram = self.number_fact("guest_memory_bytes")?.unwrap_or_default().cast_unsigned();
        let sorted = terms::sort(self.conn, TRACEPOINT, resolver, ram)?;
        let rows = sorted.explained() + sorted.unexplained;
        let terms = format!("host faults by tracepoint = {}", sorted.describe(resolver));
        self.result(explained, rows, sorted.explained(), &terms)?;
        if shadow {
            // What ring 0 touches under emulation takes no fault of KVM's, nor does the trace window.
            return Ok(());
        }
        match resolver {
            Some(resolver) => {
                let of_source = "SELECT count(*) FROM raw_host_fault h JOIN code_source s ON s.code = h.source
                    WHERE s.name = ? AND h.vcpu IS NOT NULL";
                let all = self.number(of_source, [resolver])?;
                let seen = self.number(&format!("{of_source} AND h.same_as IS NOT NULL"), [resolver])?;
                let terms = format!("{resolver} faults of vCPUs = those of them that tracepoint saw");
                self.result("host_fault_witnesses", all, seen, &terms)?;
            }
            None => self.skip("host_fault_witnesses", "no source resolved the faults")?,
        }
        self.window(&sorted.window_pages, evidence)
    }

    /// The pages that the guest's records lie on, by their sequence numbers, were all faulted in.
    fn window(&self, faulted: &HashSet<u64>, evidence: &Evidence) -> rusqlite::Result<()> {
        let name = "trace_window_pages";
        let health = &evidence.health;
        if !self.stream_is_on()? {
            return self.skip(name, NO_STREAM);
        }
        if health.lost > 0 || health.disordered > 0 || evidence.protocol_errors > 0 {
            return self.skip(name, "the guest broke the ring's rules");
        }
        let records = health.records.min(capacity(TraceWindow::DEFAULT_SIZE));
        let bytes = records * RECORD_SIZE as u64;
        let pages = RECORDS_OFFSET as u64 / PAGE_SIZE + bytes.div_ceil(PAGE_SIZE);
        let first = TRACE_WINDOW_PHYS / PAGE_SIZE;
        let covered = (first..first + pages).filter(|page| faulted.contains(page)).count() as i64;
        self.result(
            name,
            pages.cast_signed(),
            covered,
            "header and records by sequence numbers = their pages that tracepoint saw faulted in",
        )
    }
}
