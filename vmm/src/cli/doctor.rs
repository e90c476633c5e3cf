//! `pagelab doctor`: what this host offers, what is missing, and the exact fix.

use std::{fmt::Write, io};

use clap::Args;
use serde::Serialize;

use crate::{
    cli::print,
    doctor::{Check, Examination, Group, Status, examine, syscalls},
};

const READY: &str = "
Programs can be run here: pagelab run demand-paging
";
const NOT_READY: &str = "
Programs cannot be run here yet. Where KVM cannot be had at all, a nested rig has it, emulated, on any x86-64 machine
(in pagelab's source tree): scripts/nested-vm.sh amd -- run demand-paging
";

/// Looks at this host: what it offers to the lab, what is missing, and the exact fix.
#[derive(Args, Debug)]
#[command(
    after_help = "Changes nothing. Exit status 0 if programs can be run here, 1 if not; with --syscalls always 0."
)]
pub(super) struct DoctorArgs {
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,
    /// List the system calls that the guest serves instead, and in what they differ from Linux's.
    #[arg(long)]
    syscalls: bool,
}

impl DoctorArgs {
    /// Prints the findings; says whether programs can be run here.
    pub(super) fn execute(&self) -> io::Result<bool> {
        if self.syscalls {
            let served = syscalls::served();
            print(&if self.json { json(&served)? } else { syscalls::text() })?;
            return Ok(true);
        }
        let examination = examine();
        let text = if self.json { json(&examination)? } else { text(&examination) };
        print(&text)?;
        Ok(examination.ready)
    }
}

fn json<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn text(examination: &Examination) -> String {
    let mut text = String::new();
    // A string takes everything that is written to it.
    let _ = writeln!(
        text,
        "host: Linux {}, {}, guest memory by {}\n",
        examination.kernel_release, examination.cpu_model, examination.host_mmu
    );
    let width = examination.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut group = None;
    for check in &examination.checks {
        if group.replace(check.group) != Some(check.group) {
            let _ = writeln!(text, "{}{}", if check.group == Group::Kvm { "" } else { "\n" }, check.group.title());
        }
        let _ = writeln!(text, "  {:<7}  {:<width$}  {}", word(check), check.name, check.found);
        if check.status != Status::Ok {
            let _ = writeln!(text, "  {:7}  {:width$}  why: {}", "", "", check.why);
        }
        if let Some(fix) = &check.fix {
            let _ = writeln!(text, "  {:7}  {:width$}  fix: {fix}", "", "");
        }
    }
    text + if examination.ready { READY } else { NOT_READY }
}

fn word(check: &Check) -> &'static str {
    match check.status {
        Status::Ok => "ok",
        Status::Missing if check.required => "MISSING",
        Status::Missing => "missing",
        Status::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_fix() {
        let check = |name, status, fix: Option<&str>| Check {
            group: Group::Kvm,
            name,
            status,
            required: true,
            found: "something".to_owned(),
            why: "because",
            fix: fix.map(str::to_owned),
        };
        let checks = vec![check("kvm", Status::Missing, Some("modprobe kvm")), check("memory", Status::Ok, None)];
        let examination = Examination {
            host_mmu: "unknown",
            kernel_release: "6.1".to_owned(),
            cpu_model: "a CPU".to_owned(),
            ready: false,
            checks,
        };
        let text = text(&examination);
        assert!(text.contains("KVM and the CPU\n  MISSING  kvm     something"), "{text}");
        assert!(text.contains("fix: modprobe kvm"), "{text}");
        assert!(text.contains("ok       memory  something"), "{text}");
        assert_eq!(text.matches("why:").count(), 1, "{text}");
        assert!(text.contains("cannot be run here yet") && text.contains("scripts/nested-vm.sh"), "{text}");
    }
}
