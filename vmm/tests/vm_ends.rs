//! How guests end: exit port, HLT, triple fault, emulation failure, an endless loop that is stopped.

mod vm_support;

use std::time::{Duration, Instant};

use pagelab::{
    trace::Input,
    vm::{Vm, VmError, clock, exit::Exit, machine::host_mmu, memory::MemoryError, vcpu::End},
};
use pagelab_abi::{port, record::RecordKind, ring::RECORDS_OFFSET};
use vm_support::{Code, WINDOW, config, need_kvm, protocol_errors, run, start};

#[test]
fn the_exit_port_carries_the_wait_status() {
    need_kvm();
    let (finished, inputs) = run(&Code::default().clock().out(port::EXIT, 42 << 8));
    assert_eq!(finished.end, End::Exit(42 << 8));
    assert!(protocol_errors(&inputs).is_empty());
}

#[test]
fn the_clock_check_finds_one_clock() {
    need_kvm();
    let before = clock::rdtsc();
    let (finished, _) = run(&Code::default().clock().out(port::EXIT, 0));
    let after = clock::rdtsc();
    let calibration = finished.calibration.expect("the guest rang the clock port");
    assert!((before..after).contains(&calibration.first_instruction));
    assert!(calibration.error_ticks < (after - before) / 2);
    assert_eq!(calibration.guest_to_host, 0, "this host lets the offset be zero");
}

#[test]
fn an_offset_of_the_guests_clock_is_seen() {
    need_kvm();
    let vm = Vm::create(&config(&[0xf4])).expect("a machine");
    assert!(vm.tsc_offset_zero, "this host lets the offset be zero");
    assert_eq!(clock::tsc_offset(&vm.vcpu), Some(0));
    assert!(clock::set_tsc_offset(&vm.vcpu, -5_000_000));
    // Over PVM ring 3 reads the host's TSC itself, so KVM leaves the offset at zero.
    let expected = if host_mmu() == "shadow" { 0 } else { -5_000_000 };
    assert_eq!(clock::tsc_offset(&vm.vcpu), Some(expected));
}

#[test]
fn a_reading_that_is_told_in_a_later_entry_is_no_other_clock() {
    need_kvm();
    let code = Code::default().read_clock().out(port::DOORBELL, 0).out(port::CLOCK, 0).out(port::EXIT, 0);
    let (finished, _) = run(&code);
    assert_eq!(finished.calibration.map(|found| found.guest_to_host), Some(0));
}

#[test]
fn a_second_clock_check_breaks_the_rules() {
    need_kvm();
    let (finished, inputs) = run(&Code::default().clock().clock().out(port::EXIT, 0));
    assert_eq!(finished.end, End::Exit(0));
    assert_eq!(protocol_errors(&inputs).len(), 1);
}

#[test]
fn halt_ends_the_run() {
    need_kvm();
    let (finished, _) = run(&Code::default().bytes(&[0xf4]));
    assert_eq!(finished.end, End::Halted);
}

#[test]
fn a_triple_fault_ends_the_run() {
    need_kvm();
    let (finished, _) = run(&Code::default().bytes(&[0x0f, 0x0b]));
    assert_eq!(finished.end, End::Died(Exit::Shutdown));
}

#[test]
fn what_the_emulator_cannot_do_ends_the_run_with_its_bytes() {
    need_kvm();
    // popcnt eax, eax: real hardware and the native part of every host do it; only an emulated ring 0 cannot.
    let (finished, _) = run(&Code::default().bytes(&[0xf3, 0x0f, 0xb8, 0xc0]).out(port::EXIT, 0));
    match (pagelab::vm::machine::host_mmu(), finished.end) {
        ("shadow", End::Died(Exit::EmulationFailed { bytes })) => {
            assert!(bytes.is_empty() || bytes.starts_with(&[0xf3, 0x0f, 0xb8, 0xc0]), "{bytes:x?}");
        }
        (mmu, end) => assert_eq!(end, End::Exit(0), "on {mmu}"),
    }
}

#[test]
fn an_endless_loop_can_be_stopped() {
    need_kvm();
    let (vcpu, _inputs) = start(&Code::default().forever());
    assert!(vcpu.finished.recv_timeout(Duration::from_millis(200)).is_err(), "it does not end by itself");
    let begin = Instant::now();
    vcpu.stop();
    let finished = vcpu.finished.recv_timeout(Duration::from_secs(5)).expect("it stops");
    assert_eq!(finished.end, End::Stopped);
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_guest_can_be_stopped_before_its_first_instruction() {
    need_kvm();
    for _ in 0..20 {
        let (vcpu, _inputs) = start(&Code::default().forever());
        vcpu.stop();
        let finished = vcpu.finished.recv_timeout(Duration::from_secs(5)).expect("it stops");
        assert_eq!(finished.end, End::Stopped);
    }
}

#[test]
fn unreasonable_amounts_of_memory_are_refused() {
    need_kvm();
    let create = |memory| Vm::create(&pagelab::vm::VmConfig { memory, ..config(&[0xf4]) }).expect_err("refused");
    assert!(matches!(create(8 << 20), VmError::Memory(MemoryError::TooSmall { .. })));
    assert!(matches!(create((16 << 20) + 1), VmError::Memory(MemoryError::Unaligned { .. })));
    assert!(matches!(create(1 << 40), VmError::Memory(MemoryError::TooLarge { .. })));
    let available = pagelab::vm::memory::host_available().expect("/proc/meminfo is readable");
    let too_much = ((available * 2) & !0xfff).min(pagelab_abi::layout::MAX_MEMORY);
    if too_much > available {
        assert!(matches!(create(too_much), VmError::Memory(MemoryError::HostTooSmall { .. })));
    }
}

#[test]
fn a_nudge_drains_the_ring_and_the_guest_goes_on() {
    need_kvm();
    // A record, published; then nothing for ever.
    let slot = WINDOW + RECORDS_OFFSET as u64;
    let code = Code::default().clock().map_window().store(slot, u64::from(RecordKind::Boot.0)).publish(1).forever();
    let (vcpu, inputs) = start(&code);
    let begin = Instant::now();
    let record = loop {
        assert!(begin.elapsed() < Duration::from_secs(20), "no record came");
        vcpu.nudge();
        if let Ok(Input::Records(records)) = inputs.recv_timeout(Duration::from_millis(20)) {
            break records[0];
        }
    };
    assert_eq!(record.kind, RecordKind::Boot);
    vcpu.nudge();
    assert!(vcpu.finished.recv_timeout(Duration::from_millis(100)).is_err(), "the guest runs on");
    vcpu.stop();
    let finished = vcpu.finished.recv_timeout(Duration::from_secs(20)).expect("it stops");
    assert_eq!(finished.end, End::Stopped);
}
