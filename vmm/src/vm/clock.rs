//! One clock: the guest's TSC tied to the host's, and how well that is known.
#![expect(unsafe_code, reason = "reads the TSC; kvm-ioctls lacks the x86 vCPU attribute call")]

use std::fs;

use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVMIO, kvm_device_attr};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::{_IOC_WRITE, ioctl_expr, ioctl_with_ref};

/// Linux's list of the clocks it would trust; a TSC that differs between CPUs, or stops, is not among them.
const CLOCK_SOURCES: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

/// The ioctls that get, set and probe a device attribute (Linux: Documentation/virt/kvm/devices/vcpu.rst).
const KVM_SET_DEVICE_ATTR: u32 = 0xe1;
const KVM_GET_DEVICE_ATTR: u32 = 0xe2;
const KVM_HAS_DEVICE_ATTR: u32 = 0xe3;

/// The host's time-stamp counter, now.
pub fn rdtsc() -> u64 {
    // SAFETY: every x86-64 CPU that runs KVM has RDTSC, and Linux leaves it enabled for user mode.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Whether Linux trusts the TSC of this host; `None` where it does not say. Where it does not, KVM moves the guest's TSC
/// while the guest runs.
pub fn host_tsc_is_stable() -> Option<bool> {
    let sources = fs::read_to_string(CLOCK_SOURCES).ok()?;
    Some(sources.split_whitespace().any(|name| name == "tsc"))
}

/// Whether KVM lets the guest's TSC offset be set.
pub fn has_tsc_offset(vcpu: &VcpuFd) -> bool {
    offset_attribute(vcpu, KVM_HAS_DEVICE_ATTR, &mut 0)
}

/// Makes the guest's TSC the host's plus `offset`; false where KVM cannot.
pub fn set_tsc_offset(vcpu: &VcpuFd, mut offset: i64) -> bool {
    has_tsc_offset(vcpu) && offset_attribute(vcpu, KVM_SET_DEVICE_ATTR, &mut offset)
}

/// How far the guest's TSC is ahead of the host's now, in ticks; `None` where KVM does not say.
pub fn tsc_offset(vcpu: &VcpuFd) -> Option<i64> {
    let mut offset = 0;
    offset_attribute(vcpu, KVM_GET_DEVICE_ATTR, &mut offset).then_some(offset)
}

fn offset_attribute(vcpu: &VcpuFd, call: u32, offset: &mut i64) -> bool {
    let attribute = kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: &raw mut *offset as u64,
        flags: 0,
    };
    let request = ioctl_expr(_IOC_WRITE, KVMIO, call, size_of::<kvm_device_attr>() as u32);
    // SAFETY: the request takes a kvm_device_attr whose address names 64 bits that are ours alone during the call.
    unsafe { ioctl_with_ref(vcpu, request, &attribute) == 0 }
}

/// TSC ticks a second: KVM's own figure, or the frequency in /proc/cpuinfo. `None` where neither is known.
pub fn tsc_hz(vcpu: &VcpuFd) -> Option<u64> {
    let from_kvm = vcpu.get_tsc_khz().ok().filter(|khz| *khz > 0).map(|khz| u64::from(khz) * 1000);
    from_kvm.or_else(|| {
        let text = fs::read_to_string("/proc/cpuinfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
        let mhz: f64 = line.split(':').nth(1)?.trim().parse().ok()?;
        Some((mhz * 1e6) as u64)
    })
}

/// The result of the clock check the guest makes with its very first instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// What to add to a guest stamp to get the host's; 0 when the clocks already agree.
    pub guest_to_host: i64,
    /// Half the width of the interval the guest's reading must lie in, ticks: the error of the comparison.
    pub error_ticks: u64,
    /// The host's TSC when the guest's first instruction was known to have run.
    pub first_instruction: u64,
}

/// Compares the guest's reading with the host's readings around it: `before` from before KVM_RUN, `after` from after the
/// exit. A reading inside the interval agrees with the host's clock.
pub fn calibrate(before: u64, guest: u64, after: u64) -> Calibration {
    let width = after.saturating_sub(before);
    let guest_to_host =
        if (before..=after).contains(&guest) { 0 } else { (before + width / 2).wrapping_sub(guest) as i64 };
    Calibration { guest_to_host, error_ticks: width.div_ceil(2), first_instruction: after }
}

/// Ticks as nanoseconds at this frequency.
pub fn ticks_to_ns(ticks: u64, tsc_hz: u64) -> u64 {
    if tsc_hz == 0 {
        return 0;
    }
    u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(tsc_hz)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_in_between_needs_no_correction() {
        assert_eq!(
            calibrate(1000, 1400, 2000),
            Calibration { guest_to_host: 0, error_ticks: 500, first_instruction: 2000 }
        );
    }

    #[test]
    fn a_foreign_clock_is_moved_to_the_middle() {
        let calibration = calibrate(1_000_000, 10, 1_000_200);
        assert_eq!(calibration.guest_to_host, 1_000_090);
        assert_eq!(calibrate(1000, u64::MAX, 1010).guest_to_host, 1006);
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        assert_eq!(ticks_to_ns(3, 3_000_000_000), 1);
        assert_eq!(ticks_to_ns(u64::MAX, 1), u64::MAX);
        assert_eq!(ticks_to_ns(5, 0), 0);
    }
}
