//! Page faults of the program, and the faults the kernel takes on its behalf.

pub(crate) mod crash;
pub(crate) mod oom;
pub(crate) mod trapped;
pub(crate) mod undecoded;

use pagelab_abi::{boot::CpuidLeaf, code::FaultKind, event, trap::TrapFrame};
use pagelab_mm::{
    errno::Errno,
    fault::{self, Access, Fault, Outcome},
};

use crate::{arch::cpu, signal::exception, state::Kernel, user_copy};

/// Error-code bits (SDM vol. 3, 4.7).
const WRITE: u64 = 1 << 1;
const FETCH: u64 = 1 << 4;
/// What page tables alone explain: present, write, user, fetch. Beyond it are protection keys, which we give nobody.
const EXPLAINED: u64 = 0x17;

/// A page fault in ring 3: resolves it, or sends the signal that tells of it.
#[inline]
pub(crate) fn user_fault(kernel: &mut Kernel, frame: &TrapFrame) {
    let outcome = resolve(kernel, frame);
    conclude(kernel, frame, outcome.kind);
}

/// Resolves a fault if it can be, and records it.
#[inline(always)]
fn resolve(kernel: &mut Kernel, frame: &TrapFrame) -> Outcome {
    let access = match frame.error {
        error if error & WRITE != 0 => Access::Write,
        error if error & FETCH != 0 => Access::Execute,
        _ => Access::Read,
    };
    let outcome = fault::handle(
        &mut kernel.mm,
        &mut kernel.process.space,
        Fault { address: frame.fault_address, access, user: true },
    );
    record(kernel, &outcome, frame.fault_address, frame.rip, frame.error as u16, frame.tsc, 0);
    outcome
}

/// Sends the signal of a fault that could not be resolved.
#[inline(always)]
fn conclude(kernel: &mut Kernel, frame: &TrapFrame, kind: FaultKind) {
    // To go on would fault for ever.
    let unexplained = kind == FaultKind::Spurious && frame.error & !EXPLAINED != 0;
    if unexplained || is_fatal(kind) {
        exception::page_fault(kernel, frame, kind);
    }
}

/// A page that a system call needs and the program has not touched yet.
pub(crate) fn on_behalf(kernel: &mut Kernel, address: u64, write: bool) -> Result<(), Errno> {
    let begin = cpu::tsc();
    let access = if write { Access::Write } else { Access::Read };
    let outcome = fault::handle(&mut kernel.mm, &mut kernel.process.space, Fault { address, access, user: false });
    let error = if write { WRITE as u16 } else { 0 };
    let rip = kernel.process.syscall_rip;
    record(kernel, &outcome, address, rip, error, begin, event::GuestFault::IN_KERNEL);
    match outcome.kind {
        FaultKind::Oom => Err(Errno::ENOMEM),
        kind if is_fatal(kind) => Err(Errno::EFAULT),
        _ => Ok(()),
    }
}

#[inline]
fn record(kernel: &mut Kernel, outcome: &Outcome, gva: u64, rip: u64, error_code: u16, begin: u64, flags: u8) {
    if !kernel.mm.trace.is_on() {
        return;
    }
    let flags = flags | if outcome.major { event::GuestFault::MAJOR } else { 0 };
    let fault = event::GuestFault {
        gva,
        rip,
        vma_start: outcome.vma_start,
        ticks: cpu::tsc() - begin,
        pfn: outcome.pfn.0,
        error_code,
        kind: outcome.kind,
        order: outcome.order,
    };
    kernel.mm.trace.event(fault, begin, flags, 0);
}

fn is_fatal(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::SegvMapErr | FaultKind::SegvAccErr | FaultKind::SigBus | FaultKind::Oom)
}

/// If the program's instruction is CPUID, answers it from the fixed CPU model.
pub(crate) fn emulate_cpuid(kernel: &mut Kernel, frame: &mut TrapFrame) -> bool {
    let mut code = [0; 2];
    if user_copy::read(kernel, frame.rip, &mut code).is_err() || code != [0x0f, 0xa2] {
        return false;
    }
    let (leaf, subleaf) = (frame.rax as u32, frame.rcx as u32);
    let answer = kernel
        .cpu_model()
        .iter()
        .find(|entry| entry.leaf == leaf && (entry.subleaf == subleaf || entry.subleaf == CpuidLeaf::ANY))
        .copied()
        .unwrap_or_default();
    frame.rax = u64::from(answer.eax);
    frame.rbx = u64::from(answer.ebx);
    frame.rcx = u64::from(answer.ecx);
    frame.rdx = u64::from(answer.edx);
    frame.rip += 2;
    true
}
