//! The state a vCPU starts in: long mode on, flat segments, interrupts off, and the CPUID it answers.
#![expect(unsafe_code, reason = "asks Linux about CPUID faulting by a raw system call")]

use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_cpuid_entry2, kvm_msr_entry, kvm_regs,
    kvm_segment,
};
use kvm_ioctls::{Kvm, VcpuFd};
use pagelab_abi::{
    boot::CpuidLeaf,
    layout::{BOOT_INFO_PHYS, INITIAL_TABLES_PHYS},
};

use super::{cpuid, machine::is_pvm};

/// CR0: protection, math-coprocessor monitoring, extension type, numeric errors, write protection, alignment checks for
/// programs that ask for them, paging.
const CR0: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31;
/// CR4: PAE, global pages, FXSAVE and SSE exceptions.
const CR4: u64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10;
/// EFER: SYSCALL, long mode enabled and active, no-execute.
const EFER: u64 = 1 | 1 << 8 | 1 << 10 | 1 << 11;
/// RFLAGS: the bit that is always set; interrupts off.
const RFLAGS: u64 = 1 << 1;

/// MSR_PLATFORM_INFO; its bit 31 says that CPUID faulting is there (SDM vol. 4).
const MSR_PLATFORM_INFO: u32 = 0xce;
const CPUID_FAULTING: u64 = 1 << 31;

type Result<T> = std::result::Result<T, kvm_ioctls::Error>;

/// Sets registers so that the next KVM_RUN executes `entry` in ring 0 of 64-bit mode under the initial page tables,
/// with the boot info's address in RDI.
pub(super) fn enter_long_mode(vcpu: &VcpuFd, entry: u64) -> Result<()> {
    let mut sregs = vcpu.get_sregs()?;
    let data = kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector: 0x10,
        type_: 3,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    sregs.cs = kvm_segment { selector: 8, type_: 0xb, db: 0, l: 1, ..data };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    // VT-x enters only with a usable, busy TSS.
    sregs.tr = kvm_segment { limit: 0x67, selector: 0, type_: 0xb, present: 1, ..kvm_segment::default() };
    sregs.ldt = kvm_segment { type_: 2, unusable: 1, ..kvm_segment::default() };
    // No descriptor tables: until the kernel has its own, any exception is a triple fault and ends the run.
    (sregs.gdt.base, sregs.gdt.limit) = (0, 0);
    (sregs.idt.base, sregs.idt.limit) = (0, 0);
    (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (CR0, INITIAL_TABLES_PHYS, CR4, EFER);
    vcpu.set_sregs(&sregs)?;
    vcpu.set_regs(&kvm_regs { rip: entry, rdi: BOOT_INFO_PHYS, rflags: RFLAGS, ..kvm_regs::default() })
}

/// Which CPU ring 3 sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuidView {
    /// The fixed model: CPUID faults in ring 3 and the guest kernel answers.
    Faulting,
    /// The fixed model: KVM answers with it.
    Kvm,
    /// This host's CPU: ring 3 runs natively there and nothing can come between.
    Host,
}

impl CpuidView {
    /// Its name in run files.
    pub fn name(self) -> &'static str {
        match self {
            CpuidView::Faulting => "faulting",
            CpuidView::Kvm => "kvm",
            CpuidView::Host => "host",
        }
    }
}

/// Gives the vCPU its CPUID: the model, unless the guest kernel answers ring 3 itself or nobody can.
pub(super) fn set_cpuid(kvm: &Kvm, vcpu: &VcpuFd, vcpu_id: u32) -> Result<CpuidView> {
    let view = cpuid_view(vcpu);
    let table = match view {
        CpuidView::Kvm => model_table()?,
        CpuidView::Faulting | CpuidView::Host => supported(kvm, vcpu_id)?,
    };
    vcpu.set_cpuid2(&table)?;
    Ok(view)
}

/// Gives the vCPU all that KVM supports here: for kernels that ask CPUID themselves.
pub(super) fn set_supported_cpuid(kvm: &Kvm, vcpu: &VcpuFd, vcpu_id: u32) -> Result<CpuidView> {
    vcpu.set_cpuid2(&supported(kvm, vcpu_id)?)?;
    Ok(CpuidView::Host)
}

/// Which CPU ring 3 of this vCPU can be made to see.
pub(crate) fn cpuid_view(vcpu: &VcpuFd) -> CpuidView {
    // VT-x and SVM exit on every CPUID. Over PVM it runs natively: KVM takes the MSR in any case, but only a CPU that
    // itself has CPUID faulting ever faults.
    let native = is_pvm();
    match offer_cpuid_faulting(vcpu) {
        true if !native || cpu_has_cpuid_faulting() => CpuidView::Faulting,
        _ if native => CpuidView::Host,
        _ => CpuidView::Kvm,
    }
}

/// Whether Linux could make CPUID fault for this very process: asks to leave it as it is, which fails without the
/// feature (arch_prctl(2), ARCH_SET_CPUID).
fn cpu_has_cpuid_faulting() -> bool {
    const ARCH_SET_CPUID: libc::c_ulong = 0x1012;
    const ENABLED: libc::c_ulong = 1;
    // SAFETY: enabling what is enabled changes nothing.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, ENABLED) == 0 }
}

/// Whether the guest may use CPUID faulting; asks KVM for it where it is not offered by default.
fn offer_cpuid_faulting(vcpu: &VcpuFd) -> bool {
    let entry = |data| kvm_msr_entry { index: MSR_PLATFORM_INFO, data, ..kvm_msr_entry::default() };
    let read = || -> Option<u64> {
        let mut msrs = Msrs::from_entries(&[entry(0)]).ok()?;
        (vcpu.get_msrs(&mut msrs).ok()? == 1).then(|| msrs.as_slice()[0].data)
    };
    let Some(value) = read() else { return false };
    if value & CPUID_FAULTING != 0 {
        return true;
    }
    let wanted = Msrs::from_entries(&[entry(value | CPUID_FAULTING)]);
    wanted.is_ok_and(|msrs| vcpu.set_msrs(&msrs).is_ok_and(|set| set == 1))
        && read().is_some_and(|value| value & CPUID_FAULTING != 0)
}

/// What KVM supports, with the APIC ids of this vCPU: KVM_GET_SUPPORTED_CPUID reports those of the CPU it runs on.
fn supported(kvm: &Kvm, vcpu_id: u32) -> Result<CpuId> {
    let mut table = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    for entry in table.as_mut_slice() {
        match entry.function {
            1 => entry.ebx = entry.ebx & 0x00ff_ffff | vcpu_id << 24,
            0xb | 0x1f => entry.edx = vcpu_id,
            0x8000_001e => entry.eax = vcpu_id,
            _ => {}
        }
    }
    Ok(table)
}

/// The model in KVM's form.
fn model_table() -> Result<CpuId> {
    let entries: Vec<kvm_cpuid_entry2> = cpuid::model()
        .iter()
        .map(|leaf| {
            let (index, flags) = match leaf.subleaf {
                CpuidLeaf::ANY => (0, 0),
                subleaf => (subleaf, KVM_CPUID_FLAG_SIGNIFCANT_INDEX),
            };
            let CpuidLeaf { leaf: function, eax, ebx, ecx, edx, .. } = *leaf;
            kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..kvm_cpuid_entry2::default() }
        })
        .collect();
    CpuId::from_entries(&entries).map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))
}
