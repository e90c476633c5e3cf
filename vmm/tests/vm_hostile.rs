//! Guests that break every rule of the boundary: the host says so, stays alive, and comes to an end.

mod vm_support;

use std::{path::Path, thread, time::Duration};

use pagelab::{
    run::{HostMemory, RunConfig, RunOutcome, Start, run as lab_run},
    trace::Input,
    trap::{TrapConfig, TrapMethod},
    vm::{
        Image, MemoryPolicy,
        symbols::Symbols,
        vcpu::{BULK_LIMIT, End},
    },
};
use pagelab_abi::{
    code::BulkKind,
    event::Bulk,
    layout::KERNEL_PHYS,
    port,
    record::RECORD_SIZE,
    ring::{HEAD_OFFSET, RECORDS_OFFSET, TAIL_OFFSET},
};
use vm_support::{Code, NOTHING, WINDOW, need_kvm, protocol_errors, run, start};

/// Bytes that look random, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

/// The code, then the data at the offset that the code was told.
fn with_data(code: Code, offset: usize, data: &[u8]) -> Code {
    assert!(code.0.len() <= offset);
    let mut bytes = code.0;
    bytes.resize(offset, 0);
    bytes.extend_from_slice(data);
    Code(bytes)
}

/// A whole run with the recorder behind it.
fn record(code: &Code, sources: &str) -> RunOutcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    record_into(directory.path(), code, sources)
}

fn record_into(directory: &Path, code: &Code, sources: &str) -> RunOutcome {
    record_with(directory, code, sources, None)
}

fn record_with(directory: &Path, code: &Code, sources: &str, trap: Option<TrapConfig>) -> RunOutcome {
    lab_run(RunConfig {
        start: Start::now(),
        kernel: Image::Flat(&code.0),
        initramfs: b"",
        program: "/hostile".to_owned(),
        args: vec!["hostile".to_owned()],
        env: Vec::new(),
        memory: 16 << 20,
        host_memory: HostMemory::default(),
        seed: 1,
        policy: MemoryPolicy::default(),
        timeout: Some(Duration::from_secs(30)),
        sources: sources.parse().expect("valid sources"),
        source_options: Default::default(),
        prefault: false,
        trap,
        run_file: directory.join("run.plab"),
        console: None,
        stop: None,
        facts: Vec::new(),
    })
    .expect("the lab works")
}

#[test]
fn a_nonsense_head_is_told_and_the_ring_goes_on() {
    need_kvm();
    let code = Code::default().clock().map_window();
    let code = code.publish(u64::MAX - 1).out(port::DOORBELL, 0);
    // From the claimed head on the ring works again, across the wrap of the counter.
    let code = code.publish(2).out(port::DOORBELL, 0).out(port::EXIT, 0);
    let (finished, inputs) = run(&code);
    assert_eq!(finished.end, End::Exit(0));
    assert_eq!(protocol_errors(&inputs).len(), 1, "{:?}", protocol_errors(&inputs));
    let records: usize = inputs.iter().map(|input| if let Input::Records(r) = input { r.len() } else { 0 }).sum();
    assert_eq!(records, 4);
}

#[test]
fn wild_traps_are_told_and_do_no_harm() {
    need_kvm();
    let trap = || TrapConfig {
        method: TrapMethod::Port,
        stop: Some("then=go".parse().expect("valid")),
        symbols: Symbols::default(),
        show: None,
    };
    // R8 leads to zeros, nowhere, beyond RAM, across its end, to noise.
    let data = noise(4096);
    let mut code = Code::default().clock();
    for r8 in [0, u64::MAX, 1 << 63, 0xc000_0000, NOTHING, 0xff_ffff, KERNEL_PHYS + 4096] {
        // mov r8, imm64
        code = code.bytes(&[0x49, 0xb8]).bytes(&r8.to_le_bytes()).out(port::FAULT_TRAP, 0);
    }
    // A structure whose registers are in RAM, and whose VMA and name are wild.
    let told = KERNEL_PHYS + 8192;
    let code = code.bytes(&[0x49, 0xb8]).bytes(&told.to_le_bytes()).out(port::FAULT_TRAP, 0).out(port::EXIT, 0);
    let mut bytes = with_data(code, 4096, &data).0;
    bytes.resize(8192, 0xff);
    bytes.extend_from_slice(&KERNEL_PHYS.to_le_bytes());
    bytes.extend_from_slice(&[0xff; 72]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let outcome = record_with(directory.path(), &Code(bytes), "guest", Some(trap()));
    assert_eq!(outcome.ending.exit_status, 0, "{:?}", outcome.ending.diagnosis);
    let fact = |key: &str| outcome.ending.facts.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    // Zeros at 0, and the last structure, can be read as what they are taken for.
    assert_eq!((fact("trapped"), fact("protocol_errors")), (Some("2".to_owned()), Some("6".to_owned())));
}

#[test]
fn random_records_are_recorded_without_harm() {
    need_kvm();
    const RECORDS: u64 = 4096;
    let data = noise(RECORDS as usize * RECORD_SIZE);
    let code = Code::default()
        .clock()
        .map_window()
        .copy_from_image(4096, WINDOW + RECORDS_OFFSET as u64, data.len() as u64)
        .publish(RECORDS)
        .out(port::DOORBELL, 0)
        .publish(RECORDS * 2)
        .out(port::BULK, 0)
        .out(port::EXIT, 3 << 8);
    let outcome = record(&with_data(code, 4096, &data), "guest");
    assert_eq!(outcome.ending.exit_status, 3);
}

#[test]
fn random_records_of_every_kind_are_recorded_without_harm() {
    need_kvm();
    const RECORDS: u64 = 4096;
    let mut data = noise(RECORDS as usize * RECORD_SIZE);
    for (index, record) in data.chunks_mut(RECORD_SIZE).enumerate() {
        // Known kinds and a gapless stream: the decoder looks into each payload.
        record[0] = (index % 10) as u8;
        record[16..20].copy_from_slice(&(index as u32).to_le_bytes());
    }
    let code = Code::default()
        .clock()
        .map_window()
        .copy_from_image(4096, WINDOW + RECORDS_OFFSET as u64, data.len() as u64)
        .publish(RECORDS)
        .out(port::BULK, 0)
        .bytes(&[0xf4]);
    let outcome = record(&with_data(code, 4096, &data), "guest");
    assert_eq!(outcome.ending.exit_status, 125, "it halted");
    assert!(outcome.ending.diagnosis.is_some_and(|text| text.contains("last events:")));
}

#[test]
fn a_scribbled_ring_header_harms_nobody() {
    need_kvm();
    let mut code = Code::default().clock().map_window();
    for offset in (0..192).step_by(8).filter(|offset| *offset != HEAD_OFFSET) {
        code = code.store(WINDOW + offset as u64, 0xdead_beef_dead_beef);
    }
    let (finished, inputs) = run(&code.publish(3).out(port::DOORBELL, 0).out(port::EXIT, 0));
    assert_eq!(finished.end, End::Exit(0));
    assert!(protocol_errors(&inputs).is_empty(), "the host keeps its own tail and capacity (offset {TAIL_OFFSET})");
    assert!(matches!(&inputs[0], Input::Records(records) if records.len() == 3));
}

#[test]
fn bad_bulk_transfers_are_refused_one_by_one() {
    need_kvm();
    let end_of_ram = 16 << 20;
    let bad = [
        (u64::MAX, 1),
        (u64::MAX - 4, 64),
        (end_of_ram, 1),
        (end_of_ram - 4, 8),
        (0, Bulk::MAX_LENGTH + 1),
        (0, u32::MAX),
        (pagelab_abi::layout::TRACE_WINDOW_PHYS, 16),
        (0xc000_0000, 16),
    ];
    let mut code = Code::default().clock().map_window().out(port::BULK, 0);
    for (number, (gpa, length)) in bad.iter().enumerate() {
        code = code.bulk(number as u64, BulkKind::Console, *gpa, *length);
    }
    let code = code.bulk(bad.len() as u64, BulkKind::Console, end_of_ram - 8, 8).out(port::EXIT, 0);
    let (finished, inputs) = run(&code);
    assert_eq!(finished.end, End::Exit(0));
    assert_eq!(protocol_errors(&inputs).len(), bad.len() + 1, "{:?}", protocol_errors(&inputs));
    let bulks = inputs.iter().filter(|input| matches!(input, Input::Bulk { .. })).count();
    assert_eq!(bulks, 1, "the last one is right");
}

#[test]
fn a_bulk_record_that_is_drained_before_its_port_is_rung_is_served_once() {
    need_kvm();
    let code = Code::default()
        .clock()
        .map_window()
        .bulk_record(0, BulkKind::Console, 8, 8)
        .out(port::DOORBELL, 0)
        .out(port::BULK, 0)
        .out(port::BULK, 0)
        .out(port::EXIT, 0);
    let (finished, inputs) = run(&code);
    assert_eq!(finished.end, End::Exit(0));
    assert_eq!(inputs.iter().filter(|input| matches!(input, Input::Bulk { .. })).count(), 1);
    assert_eq!(protocol_errors(&inputs).len(), 1, "the second ring has no record of its own");
}

#[test]
fn a_bulk_storm_is_cut_at_the_limit() {
    need_kvm();
    let rings = (BULK_LIMIT / u64::from(Bulk::MAX_LENGTH)) as u32 + 20;
    // One record names a mebibyte; each round publishes it anew. RDI counts heads: ECX counts rounds.
    let again = Code::default()
        .bytes(&[0x48, 0xff, 0xc7])
        .bytes(&[0x48, 0xbb])
        .bytes(&(WINDOW + HEAD_OFFSET as u64).to_le_bytes())
        .bytes(&[0x48, 0x89, 0x3b])
        .out(port::BULK, 0);
    let mut code = Code::default().clock().map_window();
    // Every slot of the first rounds must hold the record: fill as many as there are rounds.
    let record: Vec<u8> = {
        let mut bytes = vec![0u8; RECORD_SIZE];
        bytes[0] = 9;
        bytes[32..36].copy_from_slice(&Bulk::MAX_LENGTH.to_le_bytes());
        bytes[36] = BulkKind::Diagnosis.0;
        bytes
    };
    let data = record.repeat(rings as usize);
    code = code
        .copy_from_image(4096, WINDOW + RECORDS_OFFSET as u64, data.len() as u64)
        .bytes(&[0x48, 0x31, 0xff])
        .repeat(rings, &again)
        .out(port::EXIT, 0);
    let (vcpu, inputs) = start(&with_data(code, 4096, &data));
    let taker = thread::spawn(move || {
        let (mut bytes_taken, mut errors) = (0u64, 0);
        for input in inputs {
            match input {
                Input::Bulk { bytes, .. } => bytes_taken += bytes.len() as u64,
                Input::ProtocolError(_) => errors += 1,
                _ => {}
            }
        }
        (bytes_taken, errors)
    });
    let finished = vcpu.finished.recv_timeout(Duration::from_secs(60)).expect("it ends");
    assert_eq!(finished.end, End::Exit(0));
    assert_eq!(taker.join().expect("it only counts"), (BULK_LIMIT, 20));
}

#[test]
fn a_storm_of_port_writes_is_counted_and_told_briefly() {
    need_kvm();
    let code = Code::default().clock().repeat(1000, &Code::default().out(0x1234, 1)).out(port::EXIT, 0);
    let (finished, inputs) = run(&code);
    assert_eq!((finished.end, finished.protocol_errors), (End::Exit(0), 1000));
    assert_eq!(protocol_errors(&inputs).len(), 65);
}

#[test]
fn touching_a_place_without_memory_breaks_the_rules() {
    need_kvm();
    // mov rbx, NOTHING; mov rax, [rbx]; in eax, 0x40
    let code = Code::default().clock().map_window().store(NOTHING, 1).bytes(&[0x48, 0x8b, 0x03, 0xe5, 0x40]);
    let (finished, inputs) = run(&code.out(port::EXIT, 0));
    assert_eq!(finished.end, End::Exit(0));
    let errors = protocol_errors(&inputs);
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with("wrote guest-physical 0xfe000000"), "{errors:?}");
    assert!(errors[1].starts_with("read guest-physical 0xfe000000"), "{errors:?}");
    assert!(errors[2].starts_with("read port 0x40"), "{errors:?}");
}

#[test]
fn a_panics_text_comes_with_the_diagnosis() {
    need_kvm();
    let text = b"all is lost\x1b[2J";
    let code = Code::default().clock().map_window();
    let code = code.bulk(0, BulkKind::Panic, pagelab_abi::layout::KERNEL_PHYS + 4096, text.len() as u32);
    let outcome = record(&with_data(code.out(port::PANIC, 0), 4096, text), "guest");
    let diagnosis = outcome.ending.diagnosis.expect("a panic has one");
    assert!(diagnosis.starts_with("the guest kernel panicked: all is lost?[2J\n"), "{diagnosis}");
    assert_eq!(outcome.ending.exit_status, 125);
}

#[test]
fn another_abi_version_is_named() {
    need_kvm();
    let outcome = record(&Code::default().clock().out(port::ABI_MISMATCH, 77), "none");
    assert_eq!(outcome.ending.exit_status, 125);
    assert!(outcome.ending.diagnosis.is_some_and(|text| text.contains("ABI version 77")));
}

#[test]
fn a_page_that_only_the_host_touched_is_counted_but_not_the_vcpus() {
    need_kvm();
    // The bulk bytes lie in a page that nobody has touched: the copy for the port is its first touch.
    let code = Code::default().clock().map_window().bulk(0, BulkKind::Diagnosis, 0x80_0000, 100).out(port::EXIT, 0);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let outcome = record_into(directory.path(), &code, "uffd");
    let copies = outcome.ending.copies.expect("the source was on");
    assert_eq!(copies.copied, copies.present_at_end - copies.present_at_start);
    // The page of the window's tables is the vCPU's, the bulk page the host's.
    assert_eq!(copies.copied, 2, "{copies:?}");
    let file = rusqlite::Connection::open(&outcome.run_file).expect("the run file opens");
    let mut query = file.prepare("SELECT vcpu FROM host_fault ORDER BY gpa").expect("the view is there");
    let vcpus: Vec<Option<i64>> =
        query.query_map([], |row| row.get(0)).expect("the query is right").map(|vcpu| vcpu.expect("a row")).collect();
    assert_eq!(vcpus, [Some(0), None]);
}
