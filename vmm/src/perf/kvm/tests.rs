//! Records of every kernel whose formats are at hand.

use proptest::prelude::*;

use super::*;
use crate::perf::testdata::{self, formats};

fn decoder(set: &str) -> Decoder {
    Decoder::from_formats(formats(set))
}

/// A record of a tracepoint with these fields; each is given as its place and its little-endian bytes.
fn record(decoder: &Decoder, name: &str, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let id = decoder.formats().iter().find(|format| format.name == name).expect("it is there").id;
    let mut record = vec![0; 80];
    record[..2].copy_from_slice(&id.to_le_bytes());
    for (at, bytes) in parts {
        record[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    record
}

#[test]
fn every_kernel_has_all_tracepoints() {
    for set in testdata::ALL {
        let names: Vec<String> = decoder(set).formats().iter().map(|format| format.name.clone()).collect();
        let expected: Vec<&str> = EVENTS.iter().map(|name| name.split_once('/').expect("a subsystem").1).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn faults_and_exits_are_read() {
    for set in testdata::ALL {
        let decoder = decoder(set);
        let fault = record(
            &decoder,
            "kvm_page_fault",
            &[
                (16, &0xffff_ffff_8010_0000u64.to_le_bytes()),
                (24, &0x3fc_7123u64.to_le_bytes()),
                (32, &0x1_0000_0006u64.to_le_bytes()),
            ],
        );
        let expected =
            KvmTrace::PageFault { rip: 0xffff_ffff_8010_0000, address: 0x3fc_7123, error_code: 0x1_0000_0006 };
        assert_eq!(decoder.decode(&fault), Some(expected));

        let parts: [(usize, &[u8]); 5] =
            [(8, &48u32.to_le_bytes()), (16, &7u64.to_le_bytes()), (24, &[1]), (32, &[0x81]), (40, &[5])];
        let exit = decoder.decode(&record(&decoder, "kvm_exit", &parts));
        assert_eq!(exit, Some(KvmTrace::Exit { isa: Some(Isa::Vmx), reason: 48, rip: 7, info1: 0x81, info2: 5 }));
        assert_eq!(decoder.exit_name(Some(Isa::Vmx), 48), "EPT_VIOLATION");
        assert_eq!(decoder.exit_name(Some(Isa::Vmx), 0x8000_0021), "INVALID_STATE");
        assert_eq!(decoder.exit_name(Some(Isa::Svm), 0x400), "npf");
        assert_eq!(
            (decoder.exit_name(Some(Isa::Svm), 0x4ff), decoder.exit_name(None, 1)),
            ("reason-1279".into(), "reason-1".into())
        );
        assert_eq!((decoder.exception_name(14), decoder.exception_name(200)), ("#PF".into(), "#200".into()));
        assert_eq!(
            (decoder.user_exit_name(2), decoder.user_exit_name(999)),
            ("KVM_EXIT_IO".into(), "KVM_EXIT_999".into())
        );
    }
}

#[test]
fn the_other_tracepoints_are_read() {
    for set in testdata::ALL {
        let decoder = decoder(set);
        let read = |name, parts: &[(usize, &[u8])]| decoder.decode(&record(&decoder, name, parts));
        assert_eq!(read("kvm_entry", &[(16, &[9])]), Some(KvmTrace::Entry { rip: Some(9) }));
        let fault = read("kvm_inj_exception", &[(8, &[14, 1]), (12, &[0x15])]);
        assert_eq!(fault, Some(KvmTrace::Exception { vector: 14, error_code: Some(0x15) }));
        let undefined = read("kvm_inj_exception", &[(8, &[6, 0]), (12, &[0x15])]);
        assert_eq!(
            undefined,
            Some(KvmTrace::Exception { vector: 6, error_code: None }),
            "it has none, whatever is there"
        );
        let back = read("kvm_userspace_exit", &[(8, &[10]), (12, &(-4i32).to_le_bytes())]);
        assert_eq!(back, Some(KvmTrace::UserExit { reason: 10, errno: -4 }));
        let mapped = read("kvm_mmu_spte_requested", &[(8, &[0xc7, 0x3f]), (24, &[2])]);
        assert_eq!(mapped, Some(KvmTrace::SpteRequested { gfn: 0x3fc7, level: 2 }));
        assert_eq!(read("kvm_mmu_walker_error", &[(8, &[6])]), Some(KvmTrace::WalkerError { error_code: 6 }));
        assert_eq!(read("kvm_mmu_set_accessed_bit", &[(9, &[1])]), Some(KvmTrace::SetAccessed { gpa: 256 }));
        assert_eq!(read("kvm_mmu_set_dirty_bit", &[(9, &[2])]), Some(KvmTrace::SetDirty { gpa: 512 }));
        let mmio = read("handle_mmio_page_fault", &[(8, &[1]), (16, &[2])]);
        assert_eq!(mmio, Some(KvmTrace::MmioFault { address: 1, gfn: 2 }));
        let fast = read("fast_page_fault", &[(16, &[3]), (24, &[4])]);
        assert_eq!(fast, Some(KvmTrace::FastFault { address: 3, error_code: 4 }));
    }
}

#[test]
fn fields_that_a_kernel_lacks_are_not_made_up() {
    let format = |text| Format::parse(text).expect("valid");
    let decoder = Decoder::from_formats(vec![
        format("name: kvm_entry\nID: 1\n"),
        format("name: kvm_exit\nID: 2\n\tfield:u32 exit_reason;\toffset:8;\tsize:4;\tsigned:0;\n"),
        format("name: kvm_page_fault\nID: 3\n\tfield:u64 fault_address;\toffset:8;\tsize:8;\tsigned:0;\n"),
        format("name: sched_switch\nID: 4\n"),
    ]);
    assert_eq!(decoder.formats().len(), 3, "what is no tracepoint of ours is left out");
    let read = |id: u8| decoder.decode(&[id, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read(1), Some(KvmTrace::Entry { rip: None }));
    assert_eq!(read(2), Some(KvmTrace::Exit { isa: None, reason: 5, rip: 0, info1: 0, info2: 0 }));
    assert_eq!(read(3), None, "a fault without a code says nothing");
    assert_eq!((read(4), decoder.decode(&[]), decoder.decode(&[1])), (None, None, None));
}

proptest! {
    #[test]
    fn no_record_panics(bytes in proptest::collection::vec(any::<u8>(), 0..90), index in 0usize..11) {
        let decoder = decoder(testdata::LINUX_6_18_PVM);
        let mut record = bytes;
        if let (Some(id), Some(format)) = (record.first_chunk_mut::<2>(), decoder.formats().get(index)) {
            *id = format.id.to_le_bytes();
        }
        decoder.decode(&record);
    }
}
