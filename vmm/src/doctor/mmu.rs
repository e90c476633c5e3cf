//! How KVM translates guest memory on a host, and what its hardware can do there.

use super::{Check, host::Host};

const MMU: (&str, &str) = (
    "kvm_mmu",
    "it decides what a host-side fault is: EPT violation, nested page fault, or a shadow table being built",
);
const ACCESSED_DIRTY: (&str, &str) =
    ("ept_accessed_dirty", "without it KVM finds accessed pages by faults, which a run then counts as host faults");
const UNRESTRICTED: (&str, &str) =
    ("unrestricted_guest", "without it KVM emulates guests that run without paging (other kernels, given by --kernel)");
const VPID: (&str, &str) =
    ("vpid", "without it every exit flushes the guest's TLB: its page-table walks, and their times, grow");

/// What the parameters of KVM's modules say.
pub(super) fn checks(host: &Host) -> Vec<Check> {
    let (name, why) = MMU;
    if let Some(ept) = host.parameter("kvm_intel", "ept") {
        let mmu = if ept {
            Check::ok(name, why, "ept: Intel VT-x with extended page tables")
        } else if host.cpu_flag("ept") {
            Check::missing(
                name,
                why,
                "shadow: this CPU has EPT, but kvm_intel does not use it",
                "sudo modprobe -r kvm_intel && sudo modprobe kvm_intel ept=1",
            )
        } else {
            Check::ok(name, why, "shadow: Intel VT-x on a CPU without EPT")
        };
        let mut checks = vec![mmu];
        if ept {
            checks.extend([
                parameter(host, ACCESSED_DIRTY, "eptad"),
                parameter(host, UNRESTRICTED, "unrestricted_guest"),
                parameter(host, VPID, "vpid"),
            ]);
        }
        return checks;
    }
    if let Some(npt) = host.parameter("kvm_amd", "npt") {
        return vec![if npt {
            Check::ok(name, why, "npt: AMD SVM with nested page tables")
        } else if host.cpu_flag("npt") {
            Check::missing(
                name,
                why,
                "shadow: this CPU has NPT, but kvm_amd does not use it",
                "sudo modprobe -r kvm_amd && sudo modprobe kvm_amd npt=1",
            )
        } else {
            Check::ok(name, why, "shadow: AMD SVM on a CPU without NPT")
        }];
    }
    if host.has("sys/module/kvm_pvm") {
        return vec![Check::ok(name, why, "shadow: KVM over PVM; ring 0 is emulated, ring 3 runs natively")];
    }
    vec![Check::unknown(name, why, "no KVM module shows its parameters in /sys/module")]
}

fn parameter(host: &Host, (name, why): (&'static str, &'static str), parameter: &str) -> Check {
    match host.parameter("kvm_intel", parameter) {
        Some(true) => Check::ok(name, why, "in use"),
        Some(false) => Check::missing(
            name,
            why,
            "not in use: switched off, or this CPU lacks it",
            format!("sudo modprobe -r kvm_intel && sudo modprobe kvm_intel {parameter}=1"),
        ),
        None => Check::unknown(name, why, format!("kvm_intel has no parameter {parameter}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Status, host::tests::made_of};

    fn found(files: &[(&str, &str)]) -> Vec<(&'static str, Status, String)> {
        let (_folder, host) = made_of(files);
        checks(&host).into_iter().map(|check| (check.name, check.status, check.found)).collect()
    }

    #[test]
    fn ept_with_its_features() {
        let parameters = [("ept", "Y"), ("eptad", "N"), ("unrestricted_guest", "Y"), ("vpid", "Y")]
            .map(|(name, value)| (format!("sys/module/kvm_intel/parameters/{name}"), value));
        let files: Vec<_> = parameters.iter().map(|(path, value)| (path.as_str(), *value)).collect();
        let found = found(&files);
        let states: Vec<_> = found.iter().map(|(name, status, _)| (*name, *status)).collect();
        assert_eq!(
            states,
            [
                ("kvm_mmu", Status::Ok),
                ("ept_accessed_dirty", Status::Missing),
                ("unrestricted_guest", Status::Ok),
                ("vpid", Status::Ok)
            ]
        );
        assert!(found[0].2.starts_with("ept"));
    }

    #[test]
    fn npt_switched_off_is_something_to_mend() {
        let cpu = ("proc/cpuinfo", "flags : svm npt");
        let found_on = found(&[("sys/module/kvm_amd/parameters/npt", "1"), cpu]);
        assert_eq!((found_on.len(), found_on[0].1), (1, Status::Ok));
        let found_off = found(&[("sys/module/kvm_amd/parameters/npt", "0"), cpu]);
        assert_eq!(found_off[0].1, Status::Missing);
        let found_never = found(&[("sys/module/kvm_amd/parameters/npt", "0"), ("proc/cpuinfo", "flags : svm")]);
        assert_eq!(found_never[0].1, Status::Ok);
    }

    #[test]
    fn other_hosts() {
        assert!(found(&[("sys/module/kvm_pvm/refcnt", "1")])[0].2.contains("PVM"));
        assert_eq!(found(&[])[0].1, Status::Unknown);
    }
}
