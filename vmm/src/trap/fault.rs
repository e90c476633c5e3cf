//! One trapped page fault, as the host finds it: by the port in what the guest lays out, by the breakpoint in the CPU.
//! Nothing the guest left there is trusted.

use kvm_bindings::{Msrs, kvm_msr_entry, kvm_regs, kvm_sregs};
use kvm_ioctls::VcpuFd;
use pagelab_abi::{
    code::FaultKind,
    trap::{FaultTrap, TrapFrame},
    vm_flags::VmFlags,
};
use zerocopy::FromBytes;

use super::stop_at::Subject;
use crate::vm::{Ram, machine::is_pvm, walk};

/// Longest name of a mapping that is taken from the guest.
const MAX_NAME: usize = 256;
/// MSR that holds where `syscall` goes (SDM vol. 4).
const LSTAR: u32 = 0xc000_0082;
/// Error code of a user-mode fetch from a present page (SDM vol. 3, 4.7).
const USER_FETCH_PRESENT: u64 = 0x15;

/// A page fault that was trapped.
#[derive(Clone, Debug)]
pub(super) struct TrappedFault {
    /// The registers at the fault.
    pub(super) registers: TrapFrame,
    /// The top page table.
    pub(super) cr3: u64,
    /// What only the guest can know; `None` by the breakpoint.
    pub(super) handled: Option<FaultTrap>,
}

/// A VMA as the guest told it.
#[derive(Clone, Debug)]
pub(super) struct TrappedVma {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) flags: VmFlags,
    pub(super) name: String,
}

impl TrappedFault {
    /// The fault that R8 leads to when the port is rung; an error says how the guest broke the rules.
    pub(super) fn of_port(ram: &Ram, regs: &kvm_regs, sregs: &kvm_sregs) -> Result<TrappedFault, String> {
        let at = regs.r8;
        let told: FaultTrap = structure(ram, sregs.cr3, at)
            .ok_or_else(|| format!("trapped a fault, but its R8, {at:#x}, does not lead to RAM"))?;
        let registers: TrapFrame = structure(ram, sregs.cr3, told.frame)
            .ok_or_else(|| format!("trapped a fault, but its registers, at {:#x}, are not in RAM", told.frame))?;
        Ok(TrappedFault { registers, cr3: sregs.cr3, handled: Some(told) })
    }

    /// The fault whose handler is about to begin in ring 0. `Ok(None)` if it is a system call in disguise.
    pub(super) fn of_entry(
        ram: &Ram,
        vcpu: &VcpuFd,
        regs: &kvm_regs,
        sregs: &kvm_sregs,
    ) -> Result<Option<TrappedFault>, String> {
        /// What the CPU pushes: error code, RIP, CS, RFLAGS, RSP, SS.
        type Pushed = [u64; 6];
        let [error, rip, cs, rflags, rsp, ss]: Pushed = structure(ram, sregs.cr3, regs.rsp)
            .ok_or_else(|| format!("took a page fault on a stack, at {:#x}, that is not in RAM", regs.rsp))?;
        let is_system_call =
            is_pvm() && error == USER_FETCH_PRESENT && rip == sregs.cr2 && msr(vcpu, LSTAR) == Some(rip);
        let registers = TrapFrame { error, rip, cs, rflags, rsp, ss, ..general(regs, sregs.cr2) };
        Ok((!is_system_call).then_some(TrappedFault { registers, cr3: sregs.cr3, handled: None }))
    }

    /// The fault that ring 3 is about to raise by executing what is the kernel's.
    pub(super) fn of_jump(regs: &kvm_regs, sregs: &kvm_sregs) -> TrappedFault {
        let registers = TrapFrame {
            error: USER_FETCH_PRESENT,
            rip: regs.rip,
            cs: u64::from(sregs.cs.selector),
            rflags: regs.rflags,
            rsp: regs.rsp,
            ss: u64::from(sregs.ss.selector),
            ..general(regs, regs.rip)
        };
        TrappedFault { registers, cr3: sregs.cr3, handled: None }
    }

    /// The faulting address.
    pub(super) fn gva(&self) -> u64 {
        self.registers.fault_address
    }

    /// How the fault was resolved, where the trap knows it.
    pub(super) fn kind(&self) -> Option<FaultKind> {
        self.handled.map(|told| told.kind)
    }

    /// What conditions are about.
    pub(super) fn subject(&self) -> Subject {
        Subject { kind: self.kind(), gva: self.gva(), rip: self.registers.rip }
    }

    /// The VMA, where the guest told of one.
    pub(super) fn vma(&self, ram: &Ram) -> Option<TrappedVma> {
        let told = self.handled.filter(|told| told.vma_end > told.vma_start)?;
        let bytes = walk::read(ram, self.cr3, told.name, (told.name_length as usize).min(MAX_NAME));
        let name = String::from_utf8_lossy(&bytes);
        let name = if name.is_empty() || name.starts_with('[') { name.into_owned() } else { format!("/{name}") };
        let flags = VmFlags::from_bits_truncate(told.vma_flags);
        Some(TrappedVma { start: told.vma_start, end: told.vma_end, flags, name })
    }
}

/// The general registers and CR2 as they are.
fn general(regs: &kvm_regs, cr2: u64) -> TrapFrame {
    TrapFrame {
        fault_address: cr2,
        r15: regs.r15,
        r14: regs.r14,
        r13: regs.r13,
        r12: regs.r12,
        r11: regs.r11,
        r10: regs.r10,
        r9: regs.r9,
        r8: regs.r8,
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rax: regs.rax,
        ..TrapFrame::default()
    }
}

/// A structure at a guest-virtual address, if all of it is mapped to RAM.
fn structure<T: FromBytes>(ram: &Ram, cr3: u64, gva: u64) -> Option<T> {
    T::read_from_bytes(&walk::read(ram, cr3, gva, size_of::<T>())).ok()
}

fn msr(vcpu: &VcpuFd, index: u32) -> Option<u64> {
    let mut msrs = Msrs::from_entries(&[kvm_msr_entry { index, ..kvm_msr_entry::default() }]).ok()?;
    (vcpu.get_msrs(&mut msrs).ok()? == 1).then(|| msrs.as_slice()[0].data)
}
