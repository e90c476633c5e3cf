//! From synthetic inputs to a run file: round trip, join, conservation, hostile streams, files that cannot be written.

mod trace_support;

use std::time::{Duration, Instant};

use pagelab::trace::{Input, Recorder, RunFileError};
use pagelab_abi::{
    code::{BulkKind, FaultKind, FrameOp, Moment, Owner, SlabOp, SnapshotKind},
    event::{self, GuestFault},
    layout,
    record::{Record, RecordKind},
    vmstat::Counter,
};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use trace_support::{ADDRESS, FIRST, Guest, PID, column, failed, value};
use zerocopy::FromBytes;

fn directory() -> TempDir {
    tempdir().expect("a temporary directory")
}

#[test]
fn a_sound_run_comes_back_whole() {
    let directory = directory();
    let path = Guest::sound(4).record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(column(&path, "SELECT name FROM check_skipped"), [""; 0]);
    assert_eq!(value(&path, "SELECT count(*) FROM check_result"), "14");
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'complete'"), "1");
    assert_eq!(value(&path, "SELECT typeof(value) FROM run WHERE key = 'seed'"), "integer");
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'schema_version'"), "1");
    assert_eq!(
        column(&path, "SELECT kind || gva || pfn FROM guest_fault LIMIT 1"),
        [format!("anon_write{ADDRESS:#018x}{FIRST}")]
    );
    assert_eq!(value(&path, "SELECT vma_start FROM guest_fault"), "0x00007ffff0000000");
    assert_eq!(
        value(
            &path,
            "SELECT op || zone || migratetype || gfp || owner || call_site FROM frame_event WHERE op = 'alloc'"
        ),
        "allocDMAMovable0x100anonguest/mm/src/frame/alloc.rs:42"
    );
    assert_eq!(value(&path, "SELECT op || prot || flags FROM vma_event"), "maprw-private anonymous");
    assert_eq!(
        value(&path, "SELECT name || '(' || args || ') = ' || result FROM syscall"),
        "write(0x1, 0x402000, 0x6, 0x0, 0x0, 0x0) = 6"
    );
    assert_eq!(value(&path, "SELECT program || wait_status || min_flt FROM process"), "/bin/demo04");
    assert_eq!(value(&path, "SELECT text FROM console WHERE stream = 1"), "hello\n");
    assert_eq!(value(&path, "SELECT value FROM counter_snapshot WHERE moment = 'exit' AND name = 'rss_anon'"), "4");
    assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 1, "a run is one file");
}

#[test]
fn host_faults_find_owner_and_guest_fault() {
    let directory = directory();
    let mut guest = Guest::booted();
    guest.host_fault(5 << 12); // announced, in no guest fault
    guest.anon_fault(0);
    guest.free(FIRST, Owner::Anon);
    guest.alloc(FIRST, Owner::PageTable);
    guest.host_fault(u64::from(FIRST) << 12 | 0xabc); // the same frame, another owner
    guest.host_fault(layout::TRACE_WINDOW_PHYS + 64);
    guest.host_fault(0x50_0000); // beyond RAM
    guest.host_fault(900 << 12); // nobody's
    guest.tsc = 10; // before anything was announced
    guest.host_fault(7 << 12);
    let path = guest.record_run(directory.path());
    assert_eq!(
        column(&path, "SELECT owner FROM host_fault ORDER BY id"),
        ["kernel", "anon", "page_table", "trace_window", "outside_ram", "none", "kernel"]
    );
    assert_eq!(
        column(
            &path,
            "SELECT g.kind FROM host_fault h LEFT JOIN guest_fault g ON g.id = h.guest_fault_id ORDER BY h.id"
        ),
        ["NULL", "anon_write", "NULL", "NULL", "NULL", "NULL", "NULL"]
    );
    assert!(failed(&path).contains(&"host_fault_owners".to_owned()));
}

#[test]
fn host_faults_find_the_cache_and_the_place_that_took_the_frame() {
    let directory = directory();
    let mut guest = Guest::booted();
    guest.string(16, "vm_area_struct");
    guest.string(17, "dentry");
    let slab = |op, pfn: u64, bytes, cache| event::Slab {
        address: layout::PAGE_OFFSET + (pfn << 12),
        bytes_requested: 64,
        bytes_allocated: bytes,
        cache,
        call_site: 2,
        gfp: 0,
        op,
        padding: [0; 3],
        reserved: 0,
    };
    for (pfn, cache) in [(800, 16), (801, 17)] {
        guest.alloc(pfn, Owner::Slab);
        guest.record(slab(SlabOp::Grow, pfn.into(), 4096, cache));
        guest.host_fault(u64::from(pfn) << 12);
    }
    // An object is no slab, a frame of another owner in none, and an address of the user half nowhere.
    guest.record(slab(SlabOp::Alloc, 802, 4096, 16));
    guest.record(event::Slab { address: 0x1000, ..slab(SlabOp::Grow, 0, u32::MAX, 16) });
    guest.alloc(802, Owner::Slab);
    guest.host_fault(802 << 12);
    guest.free(801, Owner::Slab);
    guest.alloc(801, Owner::Anon);
    guest.host_fault(801 << 12);
    let path = guest.record_run(directory.path());
    let rows = |of: &str| column(&path, &format!("SELECT {of} FROM host_fault ORDER BY id"));
    assert_eq!(rows("cache"), ["vm_area_struct", "dentry", "NULL", "NULL"]);
    assert_eq!(rows("call_site"), ["guest/mm/src/frame/alloc.rs:42"; 4]);
}

#[test]
fn each_identity_can_fail() {
    type Break = fn(&mut Guest);
    let break_with: [(&str, Break); 12] = [
        ("pgfault", |guest| guest.vmstat[Counter::Pgfault as usize] += 1),
        ("pgmajfault", |guest| guest.vmstat[Counter::Pgmajfault as usize] += 1),
        ("min_flt", |guest| guest.min_flt -= 1),
        ("maj_flt", |guest| guest.maj_flt += 1),
        ("frames_in_use", |guest| guest.frame(FrameOp::Free, FIRST, 1, Owner::Anon)),
        ("frames_announced", |guest| guest.announce(300, 1, Owner::Reserved)),
        ("free_blocks", |guest| guest.zone.free_blocks[3] += 1),
        ("rss", |guest| guest.vmas[0].rss += 1),
        ("uffd_pages", |guest| guest.ending.copies.as_mut().expect("on").present_at_end += 1),
        ("host_fault_rows", |guest| {
            let copies = guest.ending.copies.as_mut().expect("on");
            copies.faults += 1;
        }),
        ("uffd_bytes", |guest| {
            let copies = guest.ending.copies.as_mut().expect("on");
            copies.continued += 1;
            copies.present_at_end += 1;
        }),
        ("host_fault_owners", |guest| guest.host_fault(1000 << 12)),
    ];
    for (name, break_it) in break_with {
        let directory = directory();
        let mut guest = Guest::sound(3);
        break_it(&mut guest);
        assert_eq!(failed(&guest.record_run(directory.path())), [name]);
    }
}

#[test]
fn lost_records_and_broken_rules_fail() {
    let directory = directory();
    let mut guest = Guest::sound(3);
    guest.seq += 2;
    guest.inputs.push(Input::ProtocolError("head beyond the ring".into()));
    let path = guest.record_run(directory.path());
    assert_eq!(failed(&path), ["records", "protocol_errors"]);
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'events_lost'"), "2");
    assert_eq!(value(&path, "SELECT text FROM message WHERE kind = 'protocol_error'"), "head beyond the ring");
}

#[test]
fn kinds_count_as_linux_counts_them() {
    let directory = directory();
    let mut guest = Guest::sound(2);
    let now = guest.tsc;
    guest.fault(FaultKind::SegvMapErr, 0, 0, now, 0);
    let now = guest.tsc;
    guest.fault(FaultKind::FileRead, ADDRESS, 0, now, GuestFault::MAJOR);
    guest.count_fault(true);
    let now = guest.tsc;
    guest.fault(FaultKind::SigBus, ADDRESS, 0, now, 0);
    guest.vmstat[Counter::Pgfault as usize] += 1;
    assert_eq!(failed(&guest.record_run(directory.path())), [""; 0]);
}

#[test]
fn what_was_not_recorded_is_not_checked() {
    let directory = directory();
    let mut guest = Guest::booted();
    guest.facts.retain(|(key, _)| *key != "sources");
    guest.facts.push(("sources", "none".into()));
    guest.ending.copies = None;
    let path = guest.record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(column(&path, "SELECT name FROM check_result"), ["records", "protocol_errors", "free_blocks", "rss"]);
    assert_eq!(value(&path, "SELECT count(*) FROM check_skipped"), "10");
}

#[test]
fn a_run_that_died_is_readable_and_unchecked() {
    let directory = directory();
    let mut guest = Guest::sound(3);
    guest.ending.complete = false;
    let path = guest.record_as_is(directory.path());
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'complete'"), "0");
    assert_eq!(value(&path, "SELECT count(*) FROM guest_fault"), "3");
    assert_eq!(value(&path, "SELECT count(*) FROM host_fault WHERE owner = 'anon'"), "3");
    assert!(column(&path, "SELECT name FROM check_skipped").contains(&"pgfault".to_owned()));
}

#[test]
fn a_dropped_recorder_leaves_what_it_saw() {
    let directory = directory();
    let path = directory.path().join("run");
    let recorder = Recorder::create(&path, &[]).expect("writable");
    for input in Guest::sound(2).inputs {
        recorder.sender().send(input).expect("taken");
    }
    drop(recorder);
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'complete'"), "0");
    assert_eq!(value(&path, "SELECT count(*) FROM guest_fault"), "2");
}

#[test]
fn batches_are_committed_while_the_run_goes_on() {
    let directory = directory();
    let path = directory.path().join("run");
    let recorder = Recorder::create(&path, &[]).expect("writable");
    for input in Guest::sound(2).inputs {
        recorder.sender().send(input).expect("taken");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while value(&path, "SELECT count(*) FROM guest_fault") != "2" {
        assert!(Instant::now() < deadline, "nothing was committed");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(recorder);
}

#[test]
fn strings_and_malformed_snapshots_are_checked() {
    let directory = directory();
    let mut guest = Guest::sound(1);
    guest.bulk(BulkKind::Snapshot, SnapshotKind::Mm.0, Moment::Request, &[1, 2, 3], 10);
    guest.bulk(BulkKind::Snapshot, 99, Moment::Request, &[0; 8], 10);
    guest.bulk(BulkKind(200), 0, Moment::Request, b"what", 10);
    guest.vmas[0].name = 12345;
    let path = guest.record_run(directory.path());
    assert_eq!(failed(&path), ["protocol_errors"]);
    assert_eq!(value(&path, "SELECT count(*) FROM message WHERE kind = 'protocol_error'"), "2");
    assert_eq!(value(&path, "SELECT text FROM message WHERE kind = 'unknown-200'"), "what");
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let path = std::path::Path::new("/nonexistent/directory/run");
    let error = Recorder::create(path, &[]).expect_err("there is no such directory").to_string();
    assert!(error.contains("/nonexistent/directory/run") && error.contains("-o FILE"), "{error}");
    let directory = directory();
    assert!(matches!(Recorder::create(directory.path(), &[]), Err(RunFileError::Create { .. })));
}

#[test]
fn only_run_files_are_replaced() {
    let directory = directory();
    let path = Guest::sound(1).record_run(directory.path());
    assert_eq!(Guest::sound(2).record_run(directory.path()), path);
    assert_eq!(value(&path, "SELECT count(*) FROM guest_fault"), "2");
    let letter = directory.path().join("letter.txt");
    std::fs::write(&letter, "dear reader").expect("writable");
    let error = Recorder::create(&letter, &[]).expect_err("it is something else");
    assert!(matches!(error, RunFileError::Occupied { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&letter).expect("still there"), "dear reader");
}

#[test]
fn a_write_error_is_one_error_and_never_blocks() {
    let directory = directory();
    let path = directory.path().join("run");
    let recorder = Recorder::create(&path, &[]).expect("writable");
    let conn = rusqlite::Connection::open(&path).expect("the file is there");
    conn.execute_batch("DROP VIEW guest_fault; DROP TABLE raw_guest_fault").expect("a way to make every insert fail");
    let sender = recorder.sender();
    let Guest { inputs, ending, .. } = Guest::sound(2);
    let errors = (0..5000).map(|_| Input::ProtocolError("more than the channel holds".into()));
    for input in inputs.into_iter().chain(errors) {
        sender.send_timeout(input, Duration::from_secs(10)).expect("the writer keeps taking inputs");
    }
    let error = recorder.finish(ending).expect_err("a table is gone").to_string();
    assert!(error.contains(path.to_str().expect("UTF-8")) && error.contains("readable"), "{error}");
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'complete'"), "0");
}

#[test]
fn a_stuck_sender_does_not_hold_up_the_end() {
    let directory = directory();
    let recorder = Recorder::create(&directory.path().join("run"), &[]).expect("writable");
    let sender = recorder.sender();
    recorder.finish(Guest::booted().ending).expect("it ends");
    drop(sender);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn hostile_streams_are_written_and_joined(
        records in proptest::collection::vec((0u8..12, any::<[u8; 64]>()), 0..60),
        bulks in proptest::collection::vec((0u8..8, 0u8..8, 0u8..2, proptest::collection::vec(any::<u8>(), 0..700)), 0..12),
        faults in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..20),
    ) {
        let directory = directory();
        let mut guest = Guest::sound(1);
        for (kind, bytes) in records {
            let mut record = Record::read_from_bytes(&bytes).expect("64 bytes are a record");
            record.kind = RecordKind(kind);
            guest.inputs.push(Input::Records(vec![record]));
        }
        for (kind, name, more, bytes) in bulks {
            let bulk = event::Bulk { gpa: 0, length: 0, kind: BulkKind(kind), name, moment: Moment(name), more, reserved: [0; 3] };
            let record = Record { kind: RecordKind::Bulk, flags: 0, vcpu: 0, pid: PID, tsc: u64::MAX, seq: 0, aux: 0, payload: [0; 5] };
            guest.inputs.push(Input::Bulk { record, bulk, bytes });
        }
        for (gpa, tsc_begin, tsc_end) in faults {
            guest.inputs.push(Input::HostFault(pagelab::trace::HostFault {
                vcpu: None, tsc_begin, tsc_end, gpa, access: pagelab::trace::Access::Read, source: "uffd", ..Default::default()
            }));
        }
        let path = guest.record_run(directory.path());
        for view in ["guest_fault", "host_fault", "frame_event", "vma_event", "syscall", "process", "snapshot", "console", "message"] {
            column(&path, &format!("SELECT id FROM {view}"));
        }
    }
}
