//! What this host offers to the lab, what is missing, why that matters, and the exact fix.

mod capabilities;
mod host;
mod kvm;
mod memory;
mod mmu;
mod pages;
mod sources;
pub mod syscalls;
mod tracing;

use host::Host;
use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is there.
    Ok,
    /// It is not.
    Missing,
    /// It could not be looked at, because something before it is missing.
    Unknown,
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// KVM and the CPU.
    Kvm,
    /// What guest memory can be made of.
    Memory,
    /// The sources of host faults.
    Sources,
    /// What the tracepoints rest on.
    Tracing,
}

impl Group {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Kvm => "KVM and the CPU",
            Group::Memory => "Memory",
            Group::Sources => "Sources of host faults (--record)",
            Group::Tracing => "Tracing",
        }
    }
}

/// One thing a host has or lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub group: Group,
    /// Short name.
    pub name: &'static str,
    /// How it came out.
    pub status: Status,
    /// Whether no run is possible without it.
    pub required: bool,
    /// What was found.
    pub found: String,
    /// Why it matters: what the lab cannot do without it.
    pub why: &'static str,
    /// The exact fix, where there is one.
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, why: &'static str, found: impl Into<String>) -> Check {
        Check { group: Group::Kvm, name, status: Status::Ok, required: false, found: found.into(), why, fix: None }
    }

    fn missing(name: &'static str, why: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
        Check {
            group: Group::Kvm,
            name,
            status: Status::Missing,
            required: false,
            found: found.into(),
            why,
            fix: Some(fix.into()),
        }
    }

    fn unknown(name: &'static str, why: &'static str, found: impl Into<String>) -> Check {
        Check { group: Group::Kvm, name, status: Status::Unknown, required: false, found: found.into(), why, fix: None }
    }

    fn required(self) -> Check {
        Check { required: true, ..self }
    }
}

/// A host's condition.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// How KVM translates guest memory here: `ept`, `npt`, `shadow` or `unknown`.
    pub host_mmu: &'static str,
    /// Linux's release.
    pub kernel_release: String,
    /// The CPU's name.
    pub cpu_model: String,
    /// Whether everything required is there.
    pub ready: bool,
    /// The checks, in the order in which to mend what is missing.
    pub checks: Vec<Check>,
}

/// Looks at this host. Changes nothing.
pub fn examine() -> Examination {
    let host = Host::here();
    let groups = [
        (Group::Kvm, kvm::checks(&host)),
        (Group::Memory, [memory::checks(), pages::checks(&host)].concat()),
        (Group::Sources, sources::checks()),
        (Group::Tracing, tracing::checks(&host)),
    ];
    let checks: Vec<Check> = groups
        .into_iter()
        .flat_map(|(group, checks)| checks.into_iter().map(move |check| Check { group, ..check }))
        .collect();
    Examination {
        host_mmu: crate::vm::machine::host_mmu(),
        kernel_release: crate::run::host::kernel_release(),
        cpu_model: crate::run::host::cpu_model(),
        ready: checks.iter().all(|check| !check.required || check.status == Status::Ok),
        checks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_fix_and_what_is_there_has_none() {
        let examination = examine();
        for check in &examination.checks {
            assert_eq!(check.status == Status::Missing, check.fix.is_some(), "{check:?}");
            assert!(!check.found.is_empty() && !check.why.is_empty(), "{check:?}");
        }
        let names: Vec<_> = examination.checks.iter().map(|check| check.name).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn an_examination_goes_through_json() {
        let examination = examine();
        let json = serde_json::to_value(&examination).expect("plain data");
        assert_eq!(json["ready"], examination.ready);
        assert_eq!(json["checks"].as_array().map(Vec::len), Some(examination.checks.len()));
    }

    #[test]
    fn only_missing_requirements_make_a_host_unready() {
        let examination = examine();
        let kvm = examination.checks.iter().find(|check| check.name == "kvm").expect("it is looked at");
        assert!(kvm.required);
        assert!(!examination.ready || kvm.status == Status::Ok);
    }
}
