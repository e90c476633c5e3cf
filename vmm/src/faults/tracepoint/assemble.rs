//! Puts KVM's single events together: a fault and its end, an exit and how long it lasted.

use std::collections::HashMap;

use crate::{
    faults::code::{FaultCode, Vendor},
    perf::{
        kvm::{Decoder, KvmTrace},
        recording::KvmSample,
    },
    trace::{Access, HostFault, HostFaultKind, Input, KvmEvent},
};

const PAGE_SHIFT: u32 = pagelab_abi::layout::PAGE_SHIFT;
/// Bits of an address that one more level of page tables translates.
const LEVEL_SHIFT: u32 = 9;
/// The highest level KVM maps at: 1 GiB.
const MAX_LEVEL: u8 = 3;

/// What is under way on one vCPU.
#[derive(Debug, Default)]
struct Pending {
    number: u16,
    fault: Option<HostFault>,
    exit: Option<KvmEvent>,
    /// Under shadow paging, the guest's #PF that KVM is handling.
    cause: Option<Cause>,
}

#[derive(Clone, Copy, Debug)]
struct Cause {
    tsc: u64,
    rip: u64,
    gva: u64,
    code: u64,
}

/// Turns samples into rows of the run file.
#[derive(Debug)]
pub struct Assembler {
    source: &'static str,
    vendor: Vendor,
    names: Decoder,
    vcpus: HashMap<u32, Pending>,
}

impl Assembler {
    /// For the vCPUs with these thread ids, in the order of their numbers, on a host with these codes. Samples of other
    /// threads are passed over. `source` is what the host faults are said to come from.
    pub fn new(source: &'static str, vendor: Vendor, names: Decoder, threads: &[u32]) -> Assembler {
        let vcpus = threads.iter().zip(0..).map(|(thread, number)| (*thread, Pending { number, ..Pending::default() }));
        Assembler { source, vendor, names, vcpus: vcpus.collect() }
    }

    /// Takes a sample; hands on what is known whole by it.
    pub fn take(&mut self, sample: &KvmSample, mut out: impl FnMut(Input)) {
        let Some(pending) = self.vcpus.get_mut(&sample.thread) else { return };
        let tsc = sample.tsc;
        let event = KvmEvent { vcpu: Some(pending.number), tsc, ..KvmEvent::default() };
        let event = match sample.event {
            KvmTrace::Gap => {
                pending.end(None, &mut out);
                return;
            }
            KvmTrace::Entry { .. } => {
                pending.end(Some(tsc), &mut out);
                return;
            }
            KvmTrace::Exit { isa, reason, rip, info1, info2 } => {
                pending.end(None, &mut out);
                let reason = Some(self.names.exit_name(isa, reason));
                let (code, code2) = (Some(info1), Some(info2));
                pending.exit = Some(KvmEvent { name: "kvm_exit", reason, rip: Some(rip), code, code2, ..event });
                return;
            }
            KvmTrace::PageFault { rip, address, error_code } if self.vendor == Vendor::PageFault => {
                pending.cause = Some(Cause { tsc, rip, gva: address, code: error_code });
                KvmEvent {
                    name: "kvm_page_fault",
                    rip: Some(rip),
                    address: Some(address),
                    code: Some(error_code),
                    ..event
                }
            }
            KvmTrace::PageFault { rip, address, error_code } => {
                pending.end_fault(tsc, &mut out);
                let code = FaultCode::decode(self.vendor, error_code);
                pending.fault = Some(HostFault {
                    vcpu: Some(pending.number),
                    tsc_begin: tsc,
                    tsc_end: tsc,
                    gpa: address,
                    access: code.access,
                    source: self.source,
                    kind: HostFaultKind::Violation,
                    rip: Some(rip),
                    error_code: Some(error_code),
                    stage: code.stage,
                    ..HostFault::default()
                });
                return;
            }
            KvmTrace::SpteRequested { gfn, level } if self.vendor == Vendor::PageFault => {
                out(Input::HostFault(self.shadow_fault(sample, gfn, level)));
                return;
            }
            KvmTrace::SpteRequested { gfn, level } => match &mut pending.fault {
                Some(fault) if fault.gpa >> PAGE_SHIFT == gfn => {
                    fault.bytes = bytes(level);
                    return;
                }
                _ => KvmEvent { name: "kvm_mmu_spte_requested", address: Some(gfn << PAGE_SHIFT), ..event },
            },
            KvmTrace::Exception { vector, error_code } => {
                let (reason, code) = (Some(self.names.exception_name(vector)), error_code.map(u64::from));
                KvmEvent { name: "kvm_inj_exception", reason, code, ..event }
            }
            KvmTrace::UserExit { reason, errno } => {
                let reason = match errno {
                    0.. => self.names.user_exit_name(reason),
                    errno if errno == -libc::EINTR => "interrupted".to_owned(),
                    errno => format!("errno {}", -errno),
                };
                KvmEvent { name: "kvm_userspace_exit", reason: Some(reason), ..event }
            }
            KvmTrace::WalkerError { error_code } => {
                KvmEvent { name: "kvm_mmu_walker_error", code: Some(error_code.into()), ..event }
            }
            KvmTrace::SetAccessed { gpa } => KvmEvent { name: "kvm_mmu_set_accessed_bit", address: Some(gpa), ..event },
            KvmTrace::SetDirty { gpa } => KvmEvent { name: "kvm_mmu_set_dirty_bit", address: Some(gpa), ..event },
            KvmTrace::MmioFault { address, .. } => {
                KvmEvent { name: "handle_mmio_page_fault", address: Some(address), ..event }
            }
            KvmTrace::FastFault { address, error_code } => {
                KvmEvent { name: "fast_page_fault", address: Some(address), code: Some(error_code), ..event }
            }
        };
        out(Input::KvmEvent(event));
    }

    /// Hands on what has no end, once all samples have been taken.
    pub fn finish(&mut self, mut out: impl FnMut(Input)) {
        for pending in self.vcpus.values_mut() {
            pending.end(None, &mut out);
        }
    }

    /// Under shadow paging KVM's mapping of a frame is the fault's only trace that tells the frame. What caused it is known
    /// where the host also tells of the #PF that led here.
    fn shadow_fault(&mut self, sample: &KvmSample, gfn: u64, level: u8) -> HostFault {
        let pending = self.vcpus.get_mut(&sample.thread);
        let cause = pending.and_then(|pending| pending.cause.take());
        let code = cause.map(|cause| FaultCode::decode(self.vendor, cause.code));
        HostFault {
            vcpu: self.vcpus.get(&sample.thread).map(|pending| pending.number),
            tsc_begin: cause.map_or(sample.tsc, |cause| cause.tsc),
            tsc_end: sample.tsc,
            gpa: gfn << PAGE_SHIFT,
            access: code.map_or(Access::Unknown, |code| code.access),
            source: self.source,
            kind: HostFaultKind::Violation,
            bytes: bytes(level),
            rip: cause.map(|cause| cause.rip),
            gva: cause.map(|cause| cause.gva),
            error_code: cause.map(|cause| cause.code),
            stage: None,
        }
    }
}

impl Pending {
    /// Ends what is under way; at an entry into the guest if its time is given, else at a time that nobody knows.
    fn end(&mut self, entry: Option<u64>, out: &mut impl FnMut(Input)) {
        self.cause = None;
        if let Some(fault) = &self.fault {
            let end = entry.unwrap_or(fault.tsc_begin);
            self.end_fault(end, out);
        }
        if let Some(exit) = self.exit.take() {
            out(Input::KvmEvent(KvmEvent { tsc_end: entry, ..exit }));
        }
    }

    fn end_fault(&mut self, tsc_end: u64, out: &mut impl FnMut(Input)) {
        if let Some(fault) = self.fault.take() {
            out(Input::HostFault(HostFault { tsc_end, ..fault }));
        }
    }
}

/// Size of a mapping; 0 for a level that KVM does not map at.
fn bytes(level: u8) -> u64 {
    if !(1..=MAX_LEVEL).contains(&level) {
        return 0;
    }
    1 << (PAGE_SHIFT + LEVEL_SHIFT * u32::from(level - 1))
}

#[cfg(test)]
mod tests;
