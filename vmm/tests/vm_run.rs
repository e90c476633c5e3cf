//! Whole runs: exit statuses, timeouts, stops, run files, and userfaultfd's counts.

mod vm_support;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use pagelab::{
    faults::{self, Probe},
    run::{HostMemory, LabError, RunConfig, RunOutcome, Sources, Start, run, stop_pair},
    vm::{Backing, Image, MemoryPolicy, vcpu::ConsoleHook},
};
use pagelab_abi::{code::BulkKind, port};
use rusqlite::Connection;
use vm_support::{Code, need_kvm};

/// A run of a flat guest, recorded into `directory`.
fn config<'a>(code: &'a Code, directory: &Path, sources: &str) -> RunConfig<'a> {
    RunConfig {
        start: Start::now(),
        kernel: Image::Flat(&code.0),
        initramfs: b"",
        program: "/guest".to_owned(),
        args: vec!["guest".to_owned(), "one".to_owned()],
        env: Vec::new(),
        memory: 32 << 20,
        host_memory: HostMemory::default(),
        seed: 3,
        policy: MemoryPolicy::default(),
        timeout: Some(Duration::from_secs(20)),
        sources: sources.parse().expect("valid sources"),
        source_options: Default::default(),
        prefault: false,
        trap: None,
        run_file: directory.join("run.plab"),
        console: None,
        stop: None,
        facts: vec![("experiment".to_owned(), "test".to_owned())],
    }
}

fn fact(path: &Path, key: &str) -> String {
    let file = Connection::open(path).expect("the run file opens");
    file.query_row("SELECT CAST(value AS TEXT) FROM run WHERE key = ?", [key], |row| row.get(0))
        .unwrap_or_else(|error| panic!("the run file has no {key}: {error}"))
}

fn count(path: &Path, query: &str) -> i64 {
    let file = Connection::open(path).expect("the run file opens");
    file.query_row(query, [], |row| row.get(0)).expect("the query is right")
}

fn host_fault_addresses(path: &Path) -> Vec<u64> {
    let file = Connection::open(path).expect("the run file opens");
    let mut query = file.prepare("SELECT gpa FROM host_fault ORDER BY tsc_begin").expect("the view is there");
    let rows = query.query_map([], |row| row.get::<_, String>(0)).expect("the query is right");
    rows.map(|text| {
        let text = text.expect("a row");
        u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hexadecimal number")
    })
    .collect()
}

fn diagnosis(outcome: &RunOutcome) -> &str {
    outcome.ending.diagnosis.as_deref().expect("an abnormal end has a diagnosis")
}

/// Fails the test where there is no KVM or no userfaultfd.
fn need_uffd() {
    need_kvm();
    if let Probe::Missing(missing) = faults::find("uffd").expect("it is a source").probe() {
        panic!("this test needs userfaultfd: {}; {}", missing.why, missing.remedy);
    }
}

#[test]
fn a_run_has_the_programs_status_and_a_complete_file() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().out(port::EXIT, 7 << 8);
    let outcome = run(config(&code, directory.path(), "guest")).expect("the lab works");
    assert_eq!(outcome.ending.exit_status, 7);
    assert!(outcome.ending.complete && outcome.ending.diagnosis.is_none());
    for (key, value) in
        [("complete", "1"), ("exit_status", "7"), ("sources", "guest"), ("args", "one"), ("experiment", "test")]
    {
        assert_eq!(fact(&outcome.run_file, key), value, "{key}");
    }
    let first: u64 = fact(&outcome.run_file, "first_instruction_ns").parse().expect("a number");
    let end: u64 = fact(&outcome.run_file, "end_ns").parse().expect("a number");
    assert!(0 < first && first < end, "{first} {end}");
    assert!(outcome.ending.clock_error_ns < outcome.ending.wall_ns);
}

#[test]
fn kvms_own_counters_are_kept() {
    need_kvm();
    let instructions = |pages: u32| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let code = Code::default().clock().touch(0x40_0000, pages).out(port::EXIT, 0);
        let outcome = run(config(&code, directory.path(), "none")).expect("the lab works");
        let value = |key| fact(&outcome.run_file, key).parse::<u64>().expect("a number");
        assert!(value("kvm.exits") > 0);
        value("kvm.insn_emulation")
    };
    let (few, many) = (instructions(10), instructions(20));
    if pagelab::vm::machine::host_mmu() == "shadow" {
        assert_eq!(many - few, 10 * 4, "ring 0 is emulated: each page is four instructions");
    }
}

#[test]
fn a_signal_status_becomes_128_and_the_signal() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().out(port::EXIT, 11);
    let outcome = run(config(&code, directory.path(), "none")).expect("the lab works");
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (139, true));
}

#[test]
fn a_timeout_ends_an_endless_guest_in_time() {
    need_uffd();
    for sources in ["none", "uffd"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let code = Code::default().clock().touch(0x40_0000, 5).forever();
        let begin = Instant::now();
        let timeout = Some(Duration::from_millis(300));
        let outcome = run(RunConfig { timeout, ..config(&code, directory.path(), sources) }).expect("the lab works");
        assert!(begin.elapsed() < Duration::from_secs(3));
        assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (124, false));
        assert!(diagnosis(&outcome).contains("instruction bytes: eb fe"), "{}", diagnosis(&outcome));
        assert_eq!(fact(&outcome.run_file, "complete"), "0");
        if let Some(copies) = outcome.ending.copies {
            assert_eq!((copies.copied, copies.present_at_end - copies.present_at_start), (5, 5));
        }
    }
}

#[test]
fn a_stop_ends_a_run_with_the_signals_status() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().forever();
    let (handle, listener) = stop_pair();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        handle.stop(libc::SIGINT);
        handle.stop(libc::SIGTERM);
    });
    let outcome =
        run(RunConfig { stop: Some(listener), ..config(&code, directory.path(), "guest") }).expect("the lab works");
    stopper.join().expect("it only sleeps");
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (130, false));
    assert_eq!(fact(&outcome.run_file, "exit_status"), "130");
}

#[test]
fn a_handle_that_nobody_holds_stops_nothing() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().out(port::EXIT, 0);
    let (handle, listener) = stop_pair();
    drop(handle);
    let outcome =
        run(RunConfig { stop: Some(listener), ..config(&code, directory.path(), "none") }).expect("the lab works");
    assert_eq!(outcome.ending.exit_status, 0);
}

#[test]
fn a_triple_fault_is_the_labs_status_with_a_diagnosis() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().bytes(&[0x0f, 0x0b]);
    let outcome = run(config(&code, directory.path(), "guest")).expect("the lab works");
    assert_eq!((outcome.ending.exit_status, outcome.ending.complete), (125, false));
    assert!(diagnosis(&outcome).contains("triple-faulted"));
    assert!(diagnosis(&outcome).contains("backtrace:"));
}

#[test]
fn userfaultfd_counts_every_first_touch_once() {
    need_uffd();
    for backing in [Backing::Anonymous, Backing::Memfd] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The second round touches what is there already.
        let code = Code::default().clock().touch(0x40_0000, 300).touch(0x40_0000, 300).out(port::EXIT, 0);
        let outcome = run(RunConfig {
            host_memory: HostMemory { backing, ..HostMemory::default() },
            ..config(&code, directory.path(), "guest,uffd")
        })
        .expect("the lab works");
        assert_eq!(outcome.ending.exit_status, 0, "{:?}", outcome.ending.diagnosis);
        let copies = outcome.ending.copies.expect("the source was on");
        assert_eq!(copies.copied, 300, "{backing:?} {copies:?}");
        assert_eq!(copies.present_at_end - copies.present_at_start, 300, "{backing:?} {copies:?}");
        assert!(copies.present_at_start > 0, "boot info and tables were loaded");
        let expected: Vec<u64> = (0..300).map(|page| 0x40_0000 + page * 4096).collect();
        assert_eq!(host_fault_addresses(&outcome.run_file), expected);
        assert_eq!(count(&outcome.run_file, "SELECT count(*) FROM host_fault"), 300);
        let of_vcpu = "SELECT count(*) FROM host_fault WHERE vcpu = 0 AND access = 'write' AND source = 'uffd'";
        assert_eq!(count(&outcome.run_file, of_vcpu), 300, "each is the vCPU's own write");
        let ordered = "SELECT count(*) FROM host_fault WHERE tsc_begin < tsc_end";
        assert_eq!(count(&outcome.run_file, ordered), 300);
    }
}

#[test]
fn an_unwritable_run_file_is_an_error_before_the_guest_runs() {
    need_kvm();
    let code = Code::default().clock().forever();
    let begin = Instant::now();
    let config = config(&code, Path::new("/proc/nowhere"), "none");
    let error = run(config).expect_err("no file can be there");
    assert!(matches!(error, LabError::RunFile(_)), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_guest_that_cannot_start_leaves_no_run_file() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let code = Code::default().clock().forever();
    let error = run(RunConfig { memory: 1 << 20, ..config(&code, directory.path(), "none") }).expect_err("too small");
    assert!(matches!(error, LabError::Vm(_)), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
}

#[test]
fn the_console_is_heard_while_the_guest_runs() {
    need_kvm();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = pagelab_abi::layout::KERNEL_PHYS;
    let code = Code::default().clock().map_window().bulk(0, BulkKind::Console, text, 4).forever();
    let (handle, listener) = stop_pair();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let console: ConsoleHook = Box::new(move |stream, bytes| {
        ears.lock().expect("nobody panics with it").push((stream, bytes.to_vec()));
        handle.stop(libc::SIGINT);
    });
    let first_bytes = code.0[..4].to_vec();
    let outcome =
        run(RunConfig { console: Some(console), stop: Some(listener), ..config(&code, directory.path(), "guest") })
            .expect("the lab works");
    assert_eq!(outcome.ending.exit_status, 130, "the endless guest was stopped by what it said");
    assert_eq!(*heard.lock().expect("nobody panics with it"), [(1, first_bytes)]);
}

#[test]
fn the_best_sources_of_this_host_can_be_used() {
    let (sources, missing) = Sources::best();
    assert!(sources.guest);
    let wanted = faults::SOURCES.iter().filter(|source| source.by_default()).count();
    assert_eq!(sources.host.len() + missing.len(), wanted);
    assert!(sources.host.iter().all(|source| source.probe() == Probe::Available));
}
