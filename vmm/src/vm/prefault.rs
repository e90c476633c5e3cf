//! Fills guest memory before the guest runs: the baseline without host faults.
#![expect(
    unsafe_code,
    reason = "kvm-ioctls has no call that fills a vCPU's translations; populates mappings of the VM"
)]

use std::io;

use kvm_bindings::{KVM_CAP_PRE_FAULT_MEMORY, KVMIO, kvm_pre_fault_memory};
use kvm_ioctls::VcpuFd;
use rustix::mm::{Advice, madvise};
use vmm_sys_util::ioctl::{_IOC_READ, _IOC_WRITE, ioctl_expr, ioctl_with_mut_ref};

use super::{machine::VmError, memory::MemoryError, slots::Slots};

/// What was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefault {
    /// Host memory: every page is there, KVM still builds its translations at first touches.
    Host,
    /// Host memory and KVM's translations: no touch exits.
    HostAndKvm,
}

impl Prefault {
    /// Its name in the run file.
    pub fn name(self) -> &'static str {
        match self {
            Prefault::Host => "host",
            Prefault::HostAndKvm => "host+kvm",
        }
    }
}

/// Makes every page of the VM's memory present, and KVM's translations of them where KVM can (Linux 6.11, EPT and NPT
/// only). The vCPU must be in its start state and not run.
pub fn populate(slots: &Slots, vcpu: &VcpuFd) -> Result<Prefault, VmError> {
    for extent in slots.extents() {
        let failed = |error| MemoryError::Populate { bytes: extent.size, source: io::Error::from(error) };
        // SAFETY: the extent is a whole live mapping of guest memory, and populating it keeps its contents.
        unsafe { madvise(extent.host as *mut _, extent.size as usize, Advice::LinuxPopulateWrite) }.map_err(failed)?;
    }
    if slots.vm().check_extension_raw(u64::from(KVM_CAP_PRE_FAULT_MEMORY)) <= 0 {
        return Ok(Prefault::Host);
    }
    for extent in slots.extents() {
        let range = kvm_pre_fault_memory { gpa: extent.gpa, size: extent.size, ..Default::default() };
        match translate(vcpu, range) {
            Ok(()) => {}
            // KVM has the call and this VM no second dimension.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Prefault::Host),
            Err(source) => return Err(VmError::Kvm { what: "fill its translations of guest memory", source }),
        }
    }
    Ok(Prefault::HostAndKvm)
}

/// KVM_PRE_FAULT_MEMORY on a range (Linux: Documentation/virt/kvm/api.rst, 4.143). KVM moves the range's start on as it
/// works, so that an interrupted call is just made again.
fn translate(vcpu: &VcpuFd, mut range: kvm_pre_fault_memory) -> io::Result<()> {
    let size = size_of::<kvm_pre_fault_memory>() as u32;
    let request = ioctl_expr(_IOC_READ | _IOC_WRITE, KVMIO, 0xd5, size);
    while range.size > 0 {
        // SAFETY: the request takes a kvm_pre_fault_memory and changes nothing but it and KVM's translations.
        if unsafe { ioctl_with_mut_ref(vcpu, request, &mut range) } < 0 {
            let error = io::Error::last_os_error();
            if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) {
                return Err(error);
            }
        }
    }
    Ok(())
}
