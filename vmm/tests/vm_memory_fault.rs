//! The source memory-fault on guests that touch kept pages in every way ring 0 can.

mod vm_support;

use std::{path::Path, time::Duration};

use pagelab::{
    faults::{self, Probe},
    run::{RunConfig, RunOutcome, Start, run},
    vm::{Image, MemoryPolicy},
};
use pagelab_abi::{code::BulkKind, port};
use rusqlite::Connection;
use vm_support::{Code, need_kvm};

/// False, and said, where the host lacks the source; `pagelab doctor` says so too.
fn available() -> bool {
    need_kvm();
    match faults::find("memory-fault").expect("it is known").probe() {
        Probe::Available => true,
        Probe::Missing(missing) => {
            eprintln!("skipped: memory-fault is missing: {}; {}", missing.why, missing.remedy);
            false
        }
    }
}

fn record(directory: &Path, code: &Code) -> RunOutcome {
    run(RunConfig {
        start: Start::now(),
        kernel: Image::Flat(&code.0),
        initramfs: b"",
        program: "/guest".to_owned(),
        args: vec!["guest".to_owned()],
        env: Vec::new(),
        memory: 16 << 20,
        host_memory: Default::default(),
        seed: 1,
        policy: MemoryPolicy::default(),
        timeout: Some(Duration::from_secs(20)),
        sources: "no-guest,memory-fault".parse().expect("valid sources"),
        source_options: Default::default(),
        prefault: false,
        trap: None,
        run_file: directory.join("run.plab"),
        console: None,
        stop: None,
        facts: Vec::new(),
    })
    .expect("the lab works")
}

fn texts(outcome: &RunOutcome, query: &str) -> Vec<String> {
    let file = Connection::open(&outcome.run_file).expect("the run file opens");
    let mut query = file.prepare(query).expect("the query is right");
    let rows = query.query_map([], |row| row.get(0)).expect("the query is right");
    rows.map(|text| text.expect("a text")).collect()
}

/// `mov rbx, address`
fn at(code: Code, address: u64) -> Code {
    code.bytes(&[0x48, 0xbb]).bytes(&address.to_le_bytes())
}

#[test]
fn every_kind_of_access_opens_its_pages_and_does_its_work() {
    if !available() {
        return;
    }
    const STORED: u64 = 0x1122_3344_5566_7788;
    // What the guest reads back adds up to an exit with status 42.
    let filled = (42u32 << 8).wrapping_sub(STORED as u32).wrapping_sub(1);
    let code = Code::default().clock().store(0x40_0ffc, STORED);
    // lock inc qword [rbx]
    let code = at(code, 0x40_2000).bytes(&[0xf0, 0x48, 0xff, 0x03]);
    // mov rdi, ..; mov ecx, 300h; mov eax, filled; rep stosq: 1800h bytes in three pages
    let code = code.bytes(&[0x48, 0xbf]).bytes(&0x40_3f80u64.to_le_bytes()).bytes(&[0xb9, 0, 3, 0, 0, 0xb8]);
    let code = code.bytes(&filled.to_le_bytes()).bytes(&[0xf3, 0x48, 0xab]);
    // mov eax, [rbx]; then add eax, [rbx] for each of the others, one of them untouched
    let mut code = at(code, 0x40_0ffc).bytes(&[0x8b, 0x03]);
    for address in [0x40_2000, 0x40_5778, 0x40_6008] {
        code = at(code, address).bytes(&[0x03, 0x03]);
    }
    let code = code.bytes(&[0xba]).bytes(&u32::from(port::EXIT).to_le_bytes()).bytes(&[0xef]);

    let directory = tempfile::tempdir().expect("a temporary directory");
    let outcome = record(directory.path(), &code);
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (42, true), "{:?}", outcome.ending);
    let pages = texts(&outcome, "SELECT substr(gpa, 1, 15) || '000' FROM host_fault ORDER BY id");
    let expected: Vec<String> = (0x400..=0x406u64).map(|page| format!("{:#018x}", page << 12)).collect();
    assert_eq!(pages, expected, "each page once, in the order of the touches");
    let all = "SELECT DISTINCT source || ' ' || kind || ' ' || bytes || ' ' || vcpu FROM host_fault";
    assert_eq!(texts(&outcome, all), ["memory-fault protected 4096 0"]);
    let broken = texts(&outcome, "SELECT name || ' ' || expected || ' ' || actual FROM check_result WHERE NOT ok");
    assert!(broken.is_empty(), "{broken:?}");
    let checked = texts(&outcome, "SELECT name FROM check_result WHERE name LIKE 'opened%'");
    assert_eq!(checked, ["opened_pages", "opened_rows"]);
}

#[test]
fn the_vmm_reads_kept_memory_as_zeros() {
    if !available() {
        return;
    }
    // 64 bytes of a page that the guest never touched, and eight that begin in one it did touch.
    let code = Code::default().clock().map_window().store(0x40_0ff8, u64::from_le_bytes(*b"touched!"));
    let code = code.bulk(0, BulkKind::Console, 0x48_0000, 64).bulk(1, BulkKind::Console, 0x40_0ff8, 16);
    let code = code.out(port::EXIT, 0);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let outcome = record(directory.path(), &code);
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (0, true), "{:?}", outcome.ending);
    let told = texts(&outcome, "SELECT hex(bytes) FROM console ORDER BY id").concat();
    let touched: String = b"touched!".iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(told, "00".repeat(64) + &touched + &"00".repeat(8));
    let pages = texts(&outcome, "SELECT gpa FROM host_fault WHERE gpa LIKE '%48____'");
    assert!(pages.is_empty(), "reading opens nothing: {pages:?}");
}

#[test]
fn a_jump_into_kept_memory_ends_in_order() {
    if !available() {
        return;
    }
    let code = at(Code::default().clock(), 0x50_0000).bytes(&[0xff, 0xe3]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let outcome = record(directory.path(), &code);
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (125, false), "{:?}", outcome.ending);
    assert!(outcome.ending.diagnosis.is_some());
}
