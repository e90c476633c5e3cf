//! KVM: the device, its rights and version, and what its vCPUs can do.

use std::{fs, os::unix::fs::MetadataExt};

use kvm_ioctls::{Kvm, VcpuFd};

use super::{Check, capabilities, host::Host, mmu};
use crate::{
    faults::Probe,
    trap,
    vm::{
        VmError, clock,
        cpu::{self, CpuidView},
        machine::{KVM_DEVICE, open_kvm},
    },
};

const KVM: (&str, &str) = ("kvm", "without KVM no guest can run");
const CPUID: (&str, &str) = (
    "fixed_cpu_model",
    "without it a program that asks CPUID behaves as on this host, and its runs differ between hosts",
);
const TSC: (&str, &str) =
    ("tsc_offset", "without it guest and host time stamps agree only as well as one exit measures");
const STABLE: (&str, &str) = (
    "tsc_stable",
    "without it KVM moves the guest's clock during a run, and a host fault may be joined to the wrong guest fault",
);
const BREAKPOINTS: (&str, &str) = (
    "kvm_hardware_breakpoints",
    "without them the guest's page faults cannot be trapped without its help (--trap breakpoint)",
);
const HZ: (&str, &str) = ("tsc_frequency", "without it times in nanoseconds rest on a measurement made during the run");

pub(super) fn checks(host: &Host) -> Vec<Check> {
    let kvm = open_kvm();
    let mut checks = vec![match &kvm {
        Ok(kvm) => {
            Check::ok(KVM.0, KVM.1, format!("{KVM_DEVICE} opens, API version {}", kvm.get_api_version())).required()
        }
        Err(error) => Check::missing(KVM.0, KVM.1, error.to_string(), fix(error)).required(),
    }];
    checks.extend(mmu::checks(host));
    checks.push(match clock::host_tsc_is_stable() {
        Some(true) => Check::ok(STABLE.0, STABLE.1, "Linux trusts the TSC"),
        Some(false) => Check::missing(
            STABLE.0,
            STABLE.1,
            "Linux does not trust the TSC",
            "sudo dmesg | grep -i tsc (it says why); boot with tsc=reliable if the TSCs of all CPUs do agree",
        ),
        None => Check::unknown(STABLE.0, STABLE.1, "Linux does not say which clocks it trusts"),
    });
    checks.extend(match &kvm {
        Ok(kvm) => vcpu_checks(kvm),
        Err(_) => [CPUID, TSC, HZ].map(|(name, why)| Check::unknown(name, why, "KVM has to be there first")).into(),
    });
    checks.extend(capabilities::checks(kvm.as_ref().ok()));
    let (name, why) = BREAKPOINTS;
    checks.push(match kvm.is_ok().then(trap::probe_breakpoint) {
        None => Check::unknown(name, why, "KVM has to be there first"),
        Some(Probe::Available) => Check::ok(name, why, "one was tried: it stops a guest"),
        Some(Probe::Missing(missing)) => Check::missing(name, why, missing.why, missing.remedy),
    });
    checks
}

fn fix(error: &VmError) -> &'static str {
    match error {
        VmError::NoKvm => {
            "sudo modprobe kvm_intel || sudo modprobe kvm_amd (a CPU that has neither: scripts/nested-vm.sh amd -- run hello)"
        }
        VmError::KvmDenied if group_may_open() => "sudo usermod -aG kvm $USER (then log in again)",
        VmError::KvmDenied => "run as root, or: sudo chmod 666 /dev/kvm",
        VmError::KvmVersion { .. } => "boot Linux 2.6.22 or later",
        _ => "sudo dmesg | grep -i kvm (it says why KVM refuses)",
    }
}

/// Whether the group of the device, which distributions call kvm, may read and write it.
fn group_may_open() -> bool {
    const READ_WRITE: u32 = 0o060;
    fs::metadata(KVM_DEVICE).is_ok_and(|device| device.gid() != 0 && device.mode() & READ_WRITE == READ_WRITE)
}

/// What can only be asked of a vCPU.
fn vcpu_checks(kvm: &Kvm) -> Vec<Check> {
    let vcpu: Result<VcpuFd, _> = kvm.create_vm().and_then(|vm| vm.create_vcpu(0));
    let vcpu = match vcpu {
        Ok(vcpu) => vcpu,
        Err(error) => {
            let found = format!("KVM makes no vCPU: {error}");
            return [CPUID, TSC, HZ].map(|(name, why)| Check::unknown(name, why, found.clone())).into();
        }
    };
    let cpuid = match cpu::cpuid_view(&vcpu) {
        CpuidView::Faulting => Check::ok(CPUID.0, CPUID.1, "programs see the fixed model, by CPUID faulting"),
        CpuidView::Kvm => Check::ok(CPUID.0, CPUID.1, "programs see the fixed model, from KVM itself"),
        CpuidView::Host => Check::missing(
            CPUID.0,
            CPUID.1,
            "ring 3 runs natively here and this CPU has no CPUID faulting: programs see this host's CPU",
            "use a host with VT-x or SVM, or one whose /proc/cpuinfo lists cpuid_fault",
        ),
    };
    let tsc = if clock::has_tsc_offset(&vcpu) {
        Check::ok(TSC.0, TSC.1, "there: one clock for guest and host")
    } else {
        Check::missing(TSC.0, TSC.1, "KVM lacks it; the clock is calibrated instead", "boot Linux 5.16 or later")
    };
    let hz = match vcpu.get_tsc_khz() {
        Ok(khz) if khz > 0 => Check::ok(HZ.0, HZ.1, format!("{}.{:03} MHz", khz / 1000, khz % 1000)),
        _ => Check::unknown(HZ.0, HZ.1, "KVM does not say"),
    };
    vec![cpuid, tsc, hz]
}
