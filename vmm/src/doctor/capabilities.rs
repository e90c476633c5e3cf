//! KVM's capabilities that the lab uses (Linux: Documentation/virt/kvm/api.rst), one row each.

use kvm_bindings::{
    KVM_CAP_BINARY_STATS_FD, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_IMMEDIATE_EXIT,
    KVM_CAP_IRQCHIP, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_MEMORY_FAULT_INFO, KVM_CAP_PRE_FAULT_MEMORY,
    KVM_CAP_USER_MEMORY,
};
use kvm_ioctls::Kvm;

use super::Check;

struct Capability {
    name: &'static str,
    why: &'static str,
    /// Any one of them will do.
    numbers: &'static [u32],
    required: bool,
    /// What to do where it is missing. Some depend on the kind of host rather than on Linux's version.
    fix: &'static str,
}

const CAPABILITIES: &[Capability] = &[
    Capability {
        name: "kvm_user_memory",
        why: "without it a guest can have no memory",
        numbers: &[KVM_CAP_USER_MEMORY],
        required: true,
        fix: "boot Linux 2.6.25 or later",
    },
    Capability {
        name: "kvm_immediate_exit",
        why: "without it a timeout or Ctrl-C could not stop a guest for sure",
        numbers: &[KVM_CAP_IMMEDIATE_EXIT],
        required: true,
        fix: "boot Linux 4.12 or later",
    },
    Capability {
        name: "kvm_irqchip",
        why: "without it kernels that need timers (Linux, given by --kernel) do not boot; the lab's own needs none",
        numbers: &[KVM_CAP_IRQCHIP],
        required: false,
        fix: "boot a kernel whose KVM has an in-kernel interrupt controller (CONFIG_KVM_IOAPIC=y)",
    },
    Capability {
        name: "kvm_binary_stats",
        why: "without it KVM's own counters are no witness in the conservation check",
        numbers: &[KVM_CAP_BINARY_STATS_FD],
        required: false,
        fix: "boot Linux 5.14 or later",
    },
    Capability {
        name: "kvm_memory_fault_info",
        why: "without it host faults cannot be taken as exits of the vCPU (--record memory-fault)",
        numbers: &[KVM_CAP_MEMORY_FAULT_INFO],
        required: false,
        fix: "boot Linux 6.8 or later",
    },
    Capability {
        name: "kvm_pre_fault_memory",
        why: "without it --prefault fills the host's page tables, but not KVM's",
        numbers: &[KVM_CAP_PRE_FAULT_MEMORY],
        required: false,
        fix: "boot Linux 6.11 or later on a host with EPT or NPT (scripts/nested-vm.sh has one)",
    },
    Capability {
        name: "kvm_dirty_ring",
        why: "without it pages the guest writes are found by scanning KVM's dirty bitmap",
        numbers: &[KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL],
        required: false,
        fix: "boot Linux 5.11 or later",
    },
    Capability {
        name: "kvm_manual_dirty_protect",
        why: "without it each reading of the dirty bitmap write-protects all of memory at once",
        numbers: &[KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2],
        required: false,
        fix: "boot Linux 5.2 or later",
    },
];

/// One row a capability. Without KVM none of them can be known.
pub(super) fn checks(kvm: Option<&Kvm>) -> Vec<Check> {
    let has = |number: &u32| kvm.map(|kvm| kvm.check_extension_raw((*number).into()));
    CAPABILITIES.iter().map(|capability| row(capability, capability.numbers.iter().filter_map(has).max())).collect()
}

fn row(capability: &Capability, answer: Option<i32>) -> Check {
    let &Capability { name, why, required, fix, .. } = capability;
    let check = match answer {
        None => Check::unknown(name, why, "KVM has to be there first"),
        Some(answer) if answer > 0 => Check::ok(name, why, "there"),
        Some(_) => Check::missing(name, why, "KVM lacks it", fix),
    };
    if required { check.required() } else { check }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_capability_is_there_or_missing_or_unknown() {
        let [user_memory, .., dirty_protect] = CAPABILITIES else { panic!("there are several") };
        assert_eq!(row(user_memory, Some(1)).status, Status::Ok);
        let missing = row(user_memory, Some(0));
        assert!(missing.required && missing.fix.is_some());
        assert_eq!(row(dirty_protect, None).status, Status::Unknown);
        assert!(!row(dirty_protect, Some(-1)).required);
        assert_eq!(checks(None).len(), CAPABILITIES.len());
    }
}
