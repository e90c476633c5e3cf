//! Reports of synthetic runs: text, JSON, events, stored texts, and files that are no run files.

mod trace_support;

use std::path::Path;

use pagelab::{
    analysis::{RunFile, Summary},
    report,
    trace::{Access, HostFault, Input, KvmEvent, Recorder, RunFileError, Stage},
};
use pagelab_abi::{
    code::{BulkKind, FaultKind, Moment, Owner},
    layout,
};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use trace_support::{ADDRESS, Guest};

fn directory() -> TempDir {
    tempdir().expect("a temporary directory")
}

fn rendered(path: &Path, render: impl Fn(&RunFile, &mut Vec<u8>) -> Result<(), RunFileError>) -> String {
    let run = RunFile::open(path).expect("a run file");
    let mut out = Vec::new();
    render(&run, &mut out).expect("a report");
    String::from_utf8(out).expect("UTF-8")
}

fn text(path: &Path) -> String {
    rendered(path, report::text)
}

fn events(path: &Path) -> String {
    rendered(path, report::events)
}

/// A run with something in every section.
fn eventful() -> Guest {
    let mut guest = Guest::sound(300);
    guest.host_fault(7 << 12);
    guest.host_fault(layout::TRACE_WINDOW_PHYS);
    let now = guest.tsc;
    guest.fault(FaultKind::AnonRead, ADDRESS + 0x9_0000, 7, now, 0);
    guest.count_fault(false);
    guest.vmas[0].zero = 1;
    guest.map(0x40_0000, 0x40_2000, 1);
    guest.gone();
    let now = guest.tsc;
    guest.fault(FaultKind::SegvMapErr, 0xdead_b000, 0, now, 0);
    guest.bulk(BulkKind::Diagnosis, 0, Moment::default(), b"SIGSEGV at 0xdeadb000: no VMA\n", 100);
    guest.syscall_write(b"\x1b[31mred\xff\n");
    guest
}

#[test]
fn the_text_has_every_section() {
    let directory = directory();
    let text = text(&eventful().record_run(directory.path()));
    println!("{text}");
    for wanted in [
        "pagelab run demo -- --pages 4",
        "exit status 0, 5.00 ms wall time",
        "shadow paging, ring 0 emulated",
        "4 MiB RAM, seed 7",
        "0 events lost",
        "  │ hello",
        "\u{fffd}[31mred",
        "SIGSEGV at 0xdeadb000",
        "Guest page faults: 303",
        "anon_write",
        "Host faults: 302",
        "trace_window",
        "300 inside a guest fault; 2 outside of any",
        "7ffff0000000-7ffff0200000   rw-p    2,048    1,200      301",
        "(no VMA)",
        "10000-20000                 rw-p       64        0        1   (unmapped)",
        "4 kB more map the shared zero page",
        "MemTotal          2,896",
        "clone × 2",
        "Conservation check: every identity holds",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
    assert!(!text.contains('\x1b'), "the guest writes to the user's terminal");
}

#[test]
fn a_broken_identity_is_loud() {
    let directory = directory();
    let mut guest = Guest::sound(3);
    guest.min_flt += 1;
    let path = guest.record_run(directory.path());
    let text = text(&path);
    assert!(text.contains("Conservation check: BROKEN") && text.contains("FAIL   min_flt"), "{text}");
    let summary = Summary::read(&RunFile::open(&path).expect("a run file")).expect("readable");
    assert_eq!(summary.conservation.ok, Some(false));
}

#[test]
fn json_has_what_the_design_promises() {
    let directory = directory();
    let path = eventful().record_run(directory.path());
    let json: Value = serde_json::from_str(&rendered(&path, report::json)).expect("JSON");
    let at = |pointer: &str| json.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing in {json:#}"));
    assert_eq!(at("/host_mmu"), "shadow");
    assert_eq!(at("/exit_status"), 0);
    assert_eq!(at("/guest_faults/total"), 303);
    assert_eq!(at("/guest_faults/by_kind/anon_write"), 300);
    assert_eq!(at("/host_faults/total"), 302);
    assert_eq!(at("/host_faults/by_owner/anon"), 300);
    assert_eq!(at("/host_faults/by_owner/kernel"), 1);
    assert_eq!(at("/latency_ns/host/p50"), 50);
    assert_eq!(at("/latency_ns/guest/max"), 300);
    assert!(at("/latency_ns/guest/p90").as_u64() <= at("/latency_ns/guest/p99").as_u64());
    assert_eq!(at("/memory/MemTotal"), 724 * 4);
    assert_eq!(at("/memory/MemFree"), 424 * 4);
    assert_eq!(at("/memory_unit"), "kB");
    assert_eq!(at("/conservation/ok"), true);
    assert_eq!(at("/conservation/checks/0/name"), "records");
    assert_eq!(at("/conservation/checks/0/expected"), at("/conservation/checks/0/actual"));
    assert_eq!(at("/events_lost"), 0);
    assert_eq!(at("/missing_syscalls/0/name"), "clone");
    assert_eq!(at("/guest_faults/by_vma/1/faults"), 301);
}

#[test]
fn events_do_not_depend_on_time_or_host() {
    let directory = directory();
    let path = Guest::sound(4).record_run(directory.path());
    let first = events(&path);
    assert_eq!(first.lines().count(), 1 + 1 + 1 + 4 * 2 + 1 + 1 + 1, "{first}");
    for wanted in [
        "exec    pid 1 /bin/demo entry 0x401000\n",
        "vma     pid 1 map 0x7ffff0000000-0x7ffff0200000 rw- private anonymous offset 0x0 -\n",
        "fault   pid 1 page 0x7ffff0003000 anon_write code 0x6 vma 0x7ffff0000000 pfn 403 order 0 rip 0x401234\n",
        "console pid 1 stream 1 \"hello\\n\"\n",
        "syscall pid 1 write(0x1, 0x402000, 0x6, 0x0, 0x0, 0x0) = 6\n",
        "exit    pid 1 status 0x0 min_flt 4 maj_flt 0\n",
    ] {
        assert!(first.contains(wanted), "{wanted:?} is missing in\n{first}");
    }
    let mut again = Guest::booted();
    again.tsc += 123_456;
    again.host_fault(9 << 12);
    for fault in 0..4 {
        again.anon_fault(fault);
        let now = again.tsc;
        again.fault(FaultKind::Spurious, ADDRESS + 8, 0, now, 0);
    }
    again.syscall_write(b"hello\n");
    let second = events(&again.record_run(directory.path()));
    assert_eq!(first, second);
    let mut other = Guest::booted();
    other.alloc(700, Owner::Slab);
    assert_ne!(first, events(&other.record_run(directory.path())));
}

#[test]
fn stored_texts_are_printed() {
    let directory = directory();
    let path = eventful().record_run(directory.path());
    let maps = rendered(&path, |run, out| report::snapshot(run, "maps@exit", out));
    assert!(maps.starts_with("7ffff0000000-7ffff0200000 rw-p 00000000 00:00 0"), "{maps}");
    for (name, wanted) in [
        ("status", "VmRSS:"),
        ("smaps", "Rss:"),
        ("meminfo", "MemFree:"),
        ("buddyinfo", "zone      DMA"),
        ("zoneinfo", "pages free"),
        ("vmstat", "pgfault 302"),
    ] {
        let text = rendered(&path, |run, out| report::snapshot(run, name, out));
        assert!(text.contains(wanted), "{name}: {text}");
    }
    let run = RunFile::open(&path).expect("a run file");
    let error = report::snapshot(&run, "maps@exec", &mut Vec::new()).expect_err("there is none").to_string();
    assert!(error.contains("maps@exec") && error.contains("maps@exit"), "{error}");
}

#[test]
fn a_run_that_only_began_has_a_report() {
    let directory = directory();
    let path = directory.path().join("run");
    drop(Recorder::create(&path, &[]).expect("writable"));
    let text = text(&path);
    assert!(text.contains("INCOMPLETE") && text.contains("nothing could be checked"), "{text}");
    let json: Value = serde_json::from_str(&rendered(&path, report::json)).expect("JSON");
    assert_eq!(json["conservation"]["ok"], Value::Null);
    assert_eq!(json["exit_status"], Value::Null);
}

#[test]
fn what_was_not_recorded_is_said() {
    let directory = directory();
    let mut guest = Guest::booted();
    guest.facts.retain(|(key, _)| *key != "sources");
    guest.facts.push(("sources", "none".into()));
    guest.ending.copies = None;
    let text = text(&guest.record_run(directory.path()));
    for wanted in [
        "Guest page faults: not recorded\n",
        "Host faults: not recorded\n",
        "not checked: pgfault, pgmajfault, min_flt, maj_flt, frames_in_use, frames_announced (guest events were not recorded)",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn a_program_that_did_not_end_shows_its_map() {
    let directory = directory();
    let mut guest = Guest::sound(2);
    guest.ending.complete = false;
    guest.ending.exit_status = 124;
    let text = text(&guest.record_as_is(directory.path()));
    assert!(text.contains("exit status 124, timed out") && text.contains("INCOMPLETE"), "{text}");
    assert!(text.contains("7ffff0000000-7ffff0200000   rw-p"), "{text}");
    assert!(text.contains("there is none, these are the VMAs that faulted"), "{text}");
}

#[test]
fn other_files_are_named_and_refused() {
    let directory = directory();
    let letter = directory.path().join("letter.txt");
    std::fs::write(&letter, "dear reader, this is long enough to look like something else entirely").expect("writable");
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").expect("writable");
    let other = directory.path().join("other.db");
    Connection::open(&other).and_then(|conn| conn.execute_batch("CREATE TABLE t(x)")).expect("writable");
    for path in [&letter, &empty, &other, &directory.path().to_owned()] {
        let error = RunFile::open(path).expect_err("it is no run file");
        assert!(matches!(error, RunFileError::NotARunFile { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().expect("UTF-8")), "{error}");
    }
    let missing = RunFile::open(&directory.path().join("missing")).expect_err("there is nothing").to_string();
    assert!(missing.contains("missing") && missing.contains("No such file"), "{missing}");
}

#[test]
fn a_newer_schema_is_refused() {
    let directory = directory();
    let path = Guest::sound(1).record_run(directory.path());
    Connection::open(&path).and_then(|conn| conn.pragma_update(None, "user_version", 2)).expect("writable");
    let error = RunFile::open(&path).expect_err("it is newer");
    assert!(matches!(error, RunFileError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

#[test]
fn a_batch_cut_short_is_rolled_back() {
    let directory = directory();
    let path = Guest::sound(2).record_run(directory.path());
    let copy = directory.path().join("copy");
    let conn = Connection::open(&path).expect("a database");
    conn.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE raw_guest_fault SET pid = 99; DELETE FROM code_syscall;
        CREATE TABLE filler AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) SELECT x FROM n")
        .expect("an open transaction that has spilled to the disk");
    for suffix in ["", "-journal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(&path), name(&copy)).expect("both files are there");
    }
    let json: Value = serde_json::from_str(&rendered(&copy, report::json)).expect("JSON");
    assert_eq!(json["guest_faults"]["by_kind"]["anon_write"], 2);
    assert_eq!(trace_support::value(&copy, "SELECT pid FROM guest_fault"), "1");
}

#[test]
fn a_fault_that_two_sources_saw_counts_once() {
    let mut guest = Guest::sound(10);
    guest.facts.retain(|(key, _)| *key != "sources");
    guest.facts.push(("sources", "guest,uffd,tracepoint".to_owned()));
    for (stage, gpa) in [(Stage::Final, 7 << 12), (Stage::Final, 8 << 12), (Stage::Walk, 9 << 12)] {
        guest.inputs.push(Input::HostFault(HostFault {
            tsc_begin: 1000,
            tsc_end: 2000,
            gpa,
            access: Access::Write,
            source: "tracepoint",
            stage: Some(stage),
            ..HostFault::default()
        }));
    }
    let exit = KvmEvent {
        name: "kvm_exit",
        tsc: 10,
        tsc_end: Some(30),
        reason: Some("npf".to_owned()),
        ..KvmEvent::default()
    };
    guest.inputs.push(Input::KvmEvent(KvmEvent { tsc_end: None, ..exit.clone() }));
    guest.inputs.push(Input::KvmEvent(exit));
    let back =
        KvmEvent { name: "kvm_userspace_exit", tsc: 5, reason: Some("KVM_EXIT_IO".to_owned()), ..KvmEvent::default() };
    guest.inputs.push(Input::KvmEvent(back));
    guest.ending.facts.push(("tracepoint.lost".to_owned(), "4".to_owned()));
    let directory = directory();
    let path = guest.record_run(directory.path());

    let summary = Summary::read(&RunFile::open(&path).expect("a run file")).expect("a summary");
    let faults = &summary.host_faults;
    assert_eq!((faults.source.as_deref(), faults.total), (Some("uffd"), faults.by_source["uffd"]));
    assert_eq!((faults.by_source["tracepoint"], faults.by_stage["final"], faults.by_stage["walk"]), (3, 2, 1));
    let exits = summary.exits.expect("tracepoints were recorded");
    assert_eq!((exits.total, exits.by_reason["npf"], exits.to_vmm_by_reason["KVM_EXIT_IO"]), (2, 2, 1));
    assert_eq!(exits.latency_ns_by_reason["npf"].count, 1, "the other has no end");
    assert_eq!((exits.lost, summary.events_lost), (4, Some(4)));
    let text = text(&path);
    for part in [
        "Host faults by translation: 3",
        "a page table on the way",
        "Exits from the guest: 2",
        "KVM_EXIT_IO 1",
        "4 events of KVM are missing",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}
