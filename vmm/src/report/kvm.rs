//! The report's sections on what KVM's tracepoints told: host faults by stage, and exits by reason.

use std::cmp::Reverse;

use super::{
    format::{count, percent, time},
    sections::{heading, line},
    table::Rows,
};
use crate::analysis::Summary;

/// Host faults by the translation that was interrupted; empty where no source tells it.
pub(super) fn stages(summary: &Summary) -> String {
    let faults = &summary.host_faults;
    if faults.by_stage.is_empty() {
        return String::new();
    }
    let total = faults.latency_ns_by_stage.values().map(|stage| stage.count).sum();
    let mut text = heading("Host faults by translation", &format!("{}, as KVM tells them", count(total)));
    let mut rows = Rows::new(&["translation of", ">faults", ">share", ">p50", ">p99", ">total"]);
    for (stage, latency) in &faults.latency_ns_by_stage {
        let name = match stage.as_str() {
            "final" => "the address wanted",
            "walk" => "a page table on the way",
            other => other,
        };
        rows.add([
            name.to_owned(),
            count(latency.count),
            percent(latency.count, total),
            time(latency.p50),
            time(latency.p99),
            time(latency.sum),
        ]);
    }
    text += &rows.render();
    line(
        &mut text,
        &["  · from the fault until the guest goes on; page tables that the guest itself writes are addresses wanted"],
    );
    text
}

/// Exits by reason; empty where tracepoints were not recorded.
pub(super) fn exits(summary: &Summary) -> String {
    let Some(exits) = &summary.exits else { return String::new() };
    let mut text = heading(
        "Exits from the guest",
        &match exits.total {
            0 => "this host's KVM does not tell them".to_owned(),
            total => count(total),
        },
    );
    if exits.total > 0 {
        let mut rows = Rows::new(&["reason", ">exits", ">share", ">p50", ">p99", ">total"]);
        let mut reasons: Vec<_> = exits.latency_ns_by_reason.iter().collect();
        reasons.sort_by_key(|(reason, _)| Reverse(exits.by_reason.get(*reason)));
        for (reason, latency) in reasons {
            let number = exits.by_reason.get(reason).copied().unwrap_or(0);
            rows.add([
                reason.clone(),
                count(number),
                percent(number, exits.total),
                time(latency.p50),
                time(latency.p99),
                time(latency.sum),
            ]);
        }
        text += &rows.render();
        line(&mut text, &["  · times run until the vCPU is back in the guest"]);
    }
    if !exits.to_vmm_by_reason.is_empty() {
        let told: Vec<String> =
            exits.to_vmm_by_reason.iter().map(|(reason, number)| format!("{reason} {}", count(*number))).collect();
        line(&mut text, &["  · of them to the VMM: ", &told.join(", ")]);
    }
    if exits.lost > 0 {
        let lost = count(exits.lost);
        line(
            &mut text,
            &["  · ", &lost, " events of KVM are missing: the buffer was full; give a larger --tracepoint-buffer"],
        );
    }
    text
}
