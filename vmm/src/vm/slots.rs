//! A VM and the memory slots that tell KVM which host memory backs the guest.
#![expect(unsafe_code, reason = "tells KVM which host memory backs the guest")]

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;

use super::memory::Extent;

/// A VM with its memory slots, which live as long as it.
#[derive(Debug)]
pub struct Slots {
    vm: VmFd,
    extents: Vec<Extent>,
}

impl Slots {
    /// Gives each extent a slot, numbered in their order.
    pub(super) fn install(vm: VmFd, extents: Vec<Extent>) -> Result<Slots, kvm_ioctls::Error> {
        let slots = Slots { vm, extents };
        for slot in 0..slots.extents.len() {
            slots.set_flags(slot, 0)?;
        }
        Ok(slots)
    }

    /// The VM.
    pub fn vm(&self) -> &VmFd {
        &self.vm
    }

    /// What each slot holds, by its number: RAM first, lowest address first, then the trace window.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Sets a slot's flags (Linux: Documentation/virt/kvm/api.rst, 4.35), such as `KVM_MEM_LOG_DIRTY_PAGES`.
    ///
    /// # Panics
    /// There is no such slot.
    pub fn set_flags(&self, slot: usize, flags: u32) -> Result<(), kvm_ioctls::Error> {
        let extent = self.extents[slot];
        let region = kvm_userspace_memory_region {
            slot: slot as u32,
            flags,
            guest_phys_addr: extent.gpa,
            memory_size: extent.size,
            userspace_addr: extent.host,
        };
        // SAFETY: the extent is a whole live mapping that nothing but volatile accesses reach. Should it be unmapped
        // before the VM is gone, KVM drops its translations and the guest's accesses fail; no other memory is ever
        // reached as long as the vCPU's thread, which owns a handle to the mapping, is the only one that runs the guest.
        unsafe { self.vm.set_user_memory_region(region) }
    }
}
