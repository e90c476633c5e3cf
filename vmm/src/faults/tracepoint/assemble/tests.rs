//! Event sequences as KVM tells them, and as they look when some were lost.

use super::*;
use crate::{
    perf::{kvm::Isa, testdata},
    trace::Stage,
};

const THREAD: u32 = 77;
const NPF: KvmTrace =
    KvmTrace::Exit { isa: Some(Isa::Svm), reason: 0x400, rip: 0x1000, info1: 0x1_0000_0006, info2: 0x5123 };
const FAULT: KvmTrace = KvmTrace::PageFault { rip: 0x1000, address: 0x5123, error_code: 0x1_0000_0006 };
const ENTRY: KvmTrace = KvmTrace::Entry { rip: Some(0x1000) };

/// The rows of events that happen one tick after another, from 1 on: host faults, and other events.
fn assemble(vendor: Vendor, events: &[KvmTrace]) -> (Vec<HostFault>, Vec<KvmEvent>) {
    let names = Decoder::from_formats(testdata::formats(testdata::LINUX_6_12_SVM));
    let mut assembler = Assembler::new("test", vendor, names, &[THREAD + 1, THREAD]);
    let (mut faults, mut others) = (Vec::new(), Vec::new());
    let mut out = |input| match input {
        Input::HostFault(fault) => faults.push(fault),
        Input::KvmEvent(event) => others.push(event),
        _ => panic!("nothing else comes of it"),
    };
    for (event, tsc) in events.iter().zip(1..) {
        assembler.take(&KvmSample { thread: THREAD, tsc, event: *event }, &mut out);
    }
    assembler.finish(&mut out);
    (faults, others)
}

#[test]
fn a_fault_ends_when_the_guest_goes_on() {
    let mapped = KvmTrace::SpteRequested { gfn: 5, level: 2 };
    let (faults, others) = assemble(Vendor::Npt, &[NPF, FAULT, mapped, ENTRY]);
    let [fault] = &faults[..] else { panic!("one fault: {faults:?}") };
    assert_eq!((fault.tsc_begin, fault.tsc_end, fault.vcpu, fault.source), (2, 4, Some(1), "test"));
    assert_eq!((fault.gpa, fault.rip, fault.error_code), (0x5123, Some(0x1000), Some(0x1_0000_0006)));
    assert_eq!((fault.access, fault.stage, fault.bytes), (Access::Write, Some(Stage::Final), 2 << 20));
    assert_eq!((fault.kind, fault.gva), (HostFaultKind::Violation, None));
    let [exit] = &others[..] else { panic!("one exit: {others:?}") };
    assert_eq!((exit.name, exit.reason.as_deref(), exit.vcpu), ("kvm_exit", Some("npf"), Some(1)));
    assert_eq!((exit.tsc, exit.tsc_end, exit.rip), (1, Some(4), Some(0x1000)));
    assert_eq!((exit.code, exit.code2), (Some(0x1_0000_0006), Some(0x5123)));
}

#[test]
fn a_mapping_of_another_frame_is_not_the_faults() {
    let (faults, others) = assemble(Vendor::Npt, &[NPF, FAULT, KvmTrace::SpteRequested { gfn: 6, level: 1 }, ENTRY]);
    assert_eq!((faults[0].bytes, faults[0].tsc_end), (0, 4));
    assert_eq!((others[0].name, others[0].address), ("kvm_mmu_spte_requested", Some(0x6000)));
}

#[test]
fn what_has_no_end_is_told_without_one() {
    // The run ended inside the fault.
    let (faults, others) = assemble(Vendor::Npt, &[NPF, FAULT]);
    assert_eq!((faults[0].tsc_begin, faults[0].tsc_end), (2, 2));
    assert_eq!((others[0].tsc, others[0].tsc_end), (1, None));
    // Events were lost: the entry that comes next is another's.
    let (faults, others) = assemble(Vendor::Npt, &[NPF, FAULT, KvmTrace::Gap, ENTRY]);
    assert_eq!((faults[0].tsc_end, others[0].tsc_end), (2, None));
    // Nor is an exit's end its own if another came before.
    let (faults, others) = assemble(Vendor::Npt, &[NPF, FAULT, NPF, ENTRY]);
    assert_eq!((faults[0].tsc_end, others[0].tsc_end, others[1].tsc_end), (2, None, Some(4)));
}

#[test]
fn walk_faults_are_told_apart_by_vendor() {
    let stage =
        |vendor, error_code| assemble(vendor, &[KvmTrace::PageFault { rip: 1, address: 2, error_code }]).0[0].stage;
    assert_eq!(
        [0x1_0000_0006, 0x2_0000_0006].map(|code| stage(Vendor::Npt, code)),
        [Some(Stage::Final), Some(Stage::Walk)]
    );
    assert_eq!([0x182, 0x83].map(|code| stage(Vendor::Ept, code)), [Some(Stage::Final), Some(Stage::Walk)]);
}

#[test]
fn over_pvm_a_mapping_is_all_that_is_told() {
    let (faults, others) = assemble(Vendor::PageFault, &[KvmTrace::SpteRequested { gfn: 5, level: 1 }]);
    let [fault] = &faults[..] else { panic!("one fault: {faults:?}") };
    assert_eq!((fault.gpa, fault.bytes, fault.tsc_begin, fault.tsc_end), (0x5000, 4096, 1, 1));
    assert_eq!((fault.access, fault.stage, fault.rip, fault.error_code), (Access::Unknown, None, None, None));
    assert!(others.is_empty());
}

#[test]
fn under_shadow_paging_the_guests_page_fault_is_the_cause() {
    let guest = KvmTrace::PageFault { rip: 0x40_0000, address: 0x7fff_0008, error_code: 6 };
    let mapped = KvmTrace::SpteRequested { gfn: 5, level: 1 };
    let (faults, others) = assemble(Vendor::PageFault, &[guest, mapped, ENTRY, mapped]);
    assert_eq!((faults[0].tsc_begin, faults[0].tsc_end, faults[0].gpa), (1, 2, 0x5000));
    assert_eq!((faults[0].rip, faults[0].gva, faults[0].access), (Some(0x40_0000), Some(0x7fff_0008), Access::Write));
    assert_eq!((faults[1].rip, faults[1].access), (None, Access::Unknown), "it is the cause of one fault only");
    assert_eq!((others[0].name, others[0].address, others[0].code), ("kvm_page_fault", Some(0x7fff_0008), Some(6)));
}

#[test]
fn everything_else_is_a_row_of_its_own() {
    let (faults, others) = assemble(
        Vendor::Ept,
        &[
            KvmTrace::Exception { vector: 14, error_code: Some(6) },
            KvmTrace::UserExit { reason: 2, errno: 0 },
            KvmTrace::UserExit { reason: 10, errno: -libc::EINTR },
            KvmTrace::UserExit { reason: 0, errno: -libc::EFAULT },
            KvmTrace::WalkerError { error_code: 4 },
            KvmTrace::SetAccessed { gpa: 8 },
            KvmTrace::SetDirty { gpa: 16 },
            KvmTrace::MmioFault { address: 24, gfn: 0 },
            KvmTrace::FastFault { address: 32, error_code: 1 },
        ],
    );
    assert!(faults.is_empty());
    let told: Vec<_> =
        others.iter().map(|event| (event.name, event.reason.as_deref(), event.address, event.code)).collect();
    assert_eq!(
        told,
        [
            ("kvm_inj_exception", Some("#PF"), None, Some(6)),
            ("kvm_userspace_exit", Some("KVM_EXIT_IO"), None, None),
            ("kvm_userspace_exit", Some("interrupted"), None, None),
            ("kvm_userspace_exit", Some("errno 14"), None, None),
            ("kvm_mmu_walker_error", None, None, Some(4)),
            ("kvm_mmu_set_accessed_bit", None, Some(8), None),
            ("kvm_mmu_set_dirty_bit", None, Some(16), None),
            ("handle_mmio_page_fault", None, Some(24), None),
            ("fast_page_fault", None, Some(32), Some(1)),
        ]
    );
}

#[test]
fn other_threads_are_passed_over_and_levels_are_known() {
    let names = Decoder::from_formats(Vec::new());
    let mut assembler = Assembler::new("test", Vendor::Npt, names, &[]);
    assembler.take(&KvmSample { thread: THREAD, tsc: 1, event: FAULT }, |_| panic!("not ours"));
    assert_eq!([0, 1, 2, 3, 4, 255].map(bytes), [0, 4096, 2 << 20, 1 << 30, 0, 0]);
}
