//! Several sources of one run: which of their rows are the same fault, what each count is made of, and the walk of an
//! address with what both sides know of its frames.

mod trace_support;

use pagelab::{
    analysis::{Backing, RunFile, Summary, Walk},
    report,
    trace::{Access, HostFault, HostFaultKind, Input, Recorder, RunBound, Stage},
    vm::{
        tables::{PageTables, TableEntry},
        walk::Step,
    },
};
use pagelab_abi::{code::Owner, layout};
use tempfile::{TempDir, tempdir};
use trace_support::{ADDRESS, FIRST, Guest, TICK, column, failed, value};

/// The identities between sources, where the second dimension is the hardware's.
const NESTED: [&str; 5] =
    ["kvm_pf_taken", "kvm_pf_fixed", "host_faults_explained", "host_fault_witnesses", "trace_window_pages"];
/// Pages that the VMM loaded before the start.
const PRELOADED: u64 = 17;
/// Instruction that the witness saw.
const RIP: u64 = 0x40_1234;

fn directory() -> TempDir {
    tempdir().expect("a temporary directory")
}

fn set(guest: &mut Guest, key: &'static str, value: impl ToString) {
    guest.facts.retain(|(old, _)| *old != key);
    guest.facts.push((key, value.to_string()));
}

fn set_at_end(guest: &mut Guest, key: &str, value: impl ToString) {
    guest.ending.facts.retain(|(old, _)| old != key);
    guest.ending.facts.push((key.into(), value.to_string()));
}

/// What a tracepoint saw at a time.
fn witness(gpa: u64, tsc_begin: u64) -> HostFault {
    HostFault {
        vcpu: Some(0),
        tsc_begin,
        tsc_end: tsc_begin + TICK / 2,
        gpa,
        access: Access::Write,
        source: "tracepoint",
        kind: HostFaultKind::Violation,
        bytes: 4096,
        rip: Some(RIP),
        error_code: Some(1 << 32 | 6),
        stage: Some(Stage::Final),
        ..HostFault::default()
    }
}

fn source(input: &Input) -> Option<&'static str> {
    match input {
        Input::HostFault(fault) => Some(fault.source),
        _ => None,
    }
}

/// A run of three anonymous faults on a host with nested paging, seen by all three sources: each fault of userfaultfd's
/// a little earlier by tracepoint, two preloaded pages, one of them twice, and the trace window.
fn nested() -> Guest {
    let mut guest = Guest::sound(3);
    set(&mut guest, "host_mmu", "npt");
    set(&mut guest, "sources", "guest,uffd,tracepoint,stats");
    let told = std::mem::take(&mut guest.inputs);
    for input in told {
        if let Input::HostFault(fault) = &input {
            let twin = witness(fault.gpa & !0xfff | 8, fault.tsc_begin - 1);
            guest.inputs.push(Input::HostFault(twin));
        }
        guest.inputs.push(input);
    }
    let window = (0..4).map(|page| layout::TRACE_WINDOW_PHYS + page * 4096);
    for gpa in [1 << 12, 2 << 12, 2 << 12 | 0x123].into_iter().chain(window) {
        guest.inputs.push(Input::HostFault(witness(gpa, guest.tsc)));
        guest.tsc += TICK;
    }
    let frames = u64::from(FIRST)..u64::from(FIRST) + 3;
    guest.inputs.push(Input::Present(RunBound::Start, std::iter::once(0..PRELOADED).collect()));
    guest.inputs.push(Input::Present(RunBound::End, vec![0..PRELOADED, frames]));
    for name in ["pf_taken", "pf_fixed", "pf_spurious", "pf_fast"] {
        let counted = if name == "pf_taken" || name == "pf_fixed" { 10 } else { 0 };
        set_at_end(&mut guest, &format!("kvm.{name}"), counted);
        set_at_end(&mut guest, &format!("kvm_before.{name}"), 0);
    }
    set_at_end(&mut guest, "tracepoint.lost", 0);
    set_at_end(&mut guest, "tracepoint.kvm_mmu_spte_requested", 10);
    guest
}

/// Removes the fault of a source that comes at this place among the source's.
fn remove(guest: &mut Guest, name: &str, place: usize) {
    let at = guest.inputs.iter().enumerate().filter(|(_, input)| source(input) == Some(name)).nth(place);
    let (at, _) = at.expect("there is such a fault");
    guest.inputs.remove(at);
}

#[test]
fn three_counts_agree_by_named_terms() {
    let directory = directory();
    let path = nested().record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(column(&path, "SELECT name FROM check_skipped"), [""; 0]);
    let names = NESTED.map(|name| format!("'{name}'")).join(", ");
    assert_eq!(value(&path, &format!("SELECT count(*) FROM check_result WHERE name IN ({names})")), "5");
    assert_eq!(
        value(&path, "SELECT terms FROM check_result WHERE name = 'host_faults_explained'"),
        "host faults by tracepoint = 3 uffd faults + 2 preloaded pages + 4 trace window pages + 1 again on a page"
    );
}

#[test]
fn each_identity_between_sources_can_fail() {
    type Break = fn(&mut Guest);
    let break_with: [(&[&str], Break); 8] = [
        (&["kvm_pf_taken", "kvm_pf_fixed", "host_fault_witnesses"], |guest| remove(guest, "tracepoint", 1)),
        (&["kvm_pf_taken", "kvm_pf_fixed", "trace_window_pages"], |guest| remove(guest, "tracepoint", 6)),
        (&["kvm_pf_taken", "kvm_pf_fixed"], |guest| remove(guest, "tracepoint", 4)),
        (&["kvm_pf_taken", "kvm_pf_fixed"], |guest| {
            let again = witness(1 << 12, guest.tsc);
            guest.inputs.push(Input::HostFault(again));
        }),
        (&["uffd_bytes", "host_fault_rows", "host_faults_explained"], |guest| remove(guest, "uffd", 2)),
        (&["kvm_pf_taken"], |guest| set_at_end(guest, "kvm.pf_taken", 11)),
        (&["kvm_pf_fixed"], |guest| set_at_end(guest, "kvm.pf_spurious", 1)),
        (&["kvm_pf_taken", "kvm_pf_fixed", "host_faults_explained"], |guest| {
            let nowhere_from = witness(299 << 12, guest.tsc);
            guest.inputs.push(Input::HostFault(nowhere_from));
        }),
    ];
    for (number, (names, break_it)) in break_with.into_iter().enumerate() {
        let directory = directory();
        let mut guest = nested();
        break_it(&mut guest);
        assert_eq!(failed(&guest.record_run(directory.path())), names, "number {number}");
    }
}

#[test]
fn lost_events_are_not_checked_against() {
    let directory = directory();
    let mut guest = nested();
    set_at_end(&mut guest, "tracepoint.lost", 3);
    remove(&mut guest, "tracepoint", 0);
    let path = guest.record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(column(&path, "SELECT name FROM check_skipped"), NESTED);
    assert_eq!(value(&path, "SELECT reason FROM check_skipped"), "3 events of the tracepoints were lost");
}

#[test]
fn shadow_paging_has_its_own_terms() {
    let directory = directory();
    let shadow = || {
        let mut guest = nested();
        set(&mut guest, "host_mmu", "shadow");
        set(&mut guest, "ring_0", "emulated");
        // No guest record is a page fault that the kernel took for the program: three faults and a system call.
        set_at_end(&mut guest, "kvm.pf_guest", 4);
        set_at_end(&mut guest, "kvm_before.pf_guest", 0);
        set_at_end(&mut guest, "tracepoint.kvm_mmu_walker_error", 4);
        guest
    };
    let path = shadow().record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(
        value(&path, "SELECT terms FROM check_result WHERE name = 'kvm_pf_guest'"),
        "KVM's pf_guest = 3 guest faults of ring 3 + 1 system calls"
    );
    let mut guest = shadow();
    set_at_end(&mut guest, "kvm.pf_guest", 5);
    assert_eq!(failed(&guest.record_run(directory.path())), ["kvm_pf_guest", "kvm_walker_errors"]);
}

#[test]
fn nothing_is_counted_twice_and_twins_tell_what_they_know() {
    let directory = directory();
    let path = nested().record_run(directory.path());
    assert_eq!(value(&path, "SELECT value FROM run WHERE key = 'host_fault_source'"), "uffd");
    assert_eq!(value(&path, "SELECT count(*) FROM host_fault"), "13");
    assert_eq!(value(&path, "SELECT count(*) FROM host_fault WHERE counted"), "3");
    assert_eq!(
        column(&path, "SELECT DISTINCT source || rip || stage || error_code FROM host_fault WHERE same_as IS NOT NULL"),
        ["tracepoint0x0000000000401234final4294967302", "uffd0x0000000000401234final4294967302"]
    );
    let both_ways = "SELECT count(*) FROM host_fault a JOIN host_fault b ON b.id = a.same_as AND b.same_as = a.id";
    assert_eq!(value(&path, both_ways), "6");
    assert_eq!(
        column(&path, "SELECT host_faults || '/' || host_ticks || '/' || own_frame_faults FROM fault_chain"),
        ["1/50/1", "1/50/1", "1/50/1"]
    );
    let run = RunFile::open(&path).expect("a run file");
    let summary = Summary::read(&run).expect("readable");
    assert_eq!(summary.host_faults.total, 3);
    assert_eq!(summary.host_faults.by_owner.values().sum::<u64>(), 3);
    assert_eq!(summary.host_faults.by_source.get("tracepoint"), Some(&10));
    assert_eq!((summary.host_faults.witnessed, summary.host_faults.nested), (3, 3));
    assert_eq!(summary.guest_faults.host_faults_by_kind.get("anon_write"), Some(&3));
    let mut text = Vec::new();
    report::text(&run, &mut text).expect("a report");
    let text = String::from_utf8(text).expect("UTF-8");
    for wanted in ["as uffd counts them; tracepoint saw 10, and 3 of these 3 are among them", "anon 0x190 50 ns"] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn an_interrupted_resolution_is_one_fault() {
    let directory = directory();
    let mut guest = nested();
    let gpa = u64::from(FIRST) << 12;
    let first = guest.inputs.iter().find_map(|input| match input {
        Input::HostFault(fault) if fault.source == "tracepoint" => Some(fault.tsc_begin),
        _ => None,
    });
    let attempt = HostFault { bytes: 0, ..witness(gpa, first.expect("there is one") - 20) };
    guest.inputs.push(Input::HostFault(attempt));
    set_at_end(&mut guest, "kvm.pf_taken", 11);
    let path = guest.record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(
        value(&path, "SELECT count(*) FROM host_fault WHERE source = 'tracepoint' AND same_as IS NOT NULL"),
        "4"
    );
}

#[test]
fn alone_a_witness_counts() {
    let directory = directory();
    let mut guest = nested();
    set(&mut guest, "sources", "guest,tracepoint");
    guest.inputs.retain(|input| source(input) != Some("uffd"));
    guest.ending.copies = None;
    for name in ["pf_taken", "pf_fixed"] {
        guest.ending.facts.retain(|(key, _)| *key != format!("kvm_before.{name}"));
    }
    let path = guest.record_run(directory.path());
    assert_eq!(failed(&path), [""; 0]);
    assert_eq!(value(&path, "SELECT count(*) FROM host_fault WHERE counted"), "10");
    assert_eq!(
        value(&path, "SELECT terms FROM check_result WHERE name = 'host_faults_explained'"),
        "host faults by tracepoint = 2 preloaded pages + 3 pages the host gained + 4 trace window pages + 1 again on a page"
    );
}

#[test]
fn levels_are_told_by_owner_and_by_stage() {
    let directory = directory();
    let mut guest = nested();
    guest.announce(600, 2, Owner::PageTable);
    guest.host_fault(600 << 12);
    let walk = HostFault { stage: Some(Stage::Walk), bytes: 0, ..witness(1 << 12, guest.tsc) };
    guest.inputs.push(Input::HostFault(walk));
    let path = guest.record_run(directory.path());
    let levels = "SELECT source || ' ' || level || ' ' || count(*) FROM host_fault GROUP BY source, level ORDER BY 1";
    assert_eq!(
        column(&path, levels),
        ["tracepoint data 10", "tracepoint page_table 1", "uffd data 3", "uffd page_table 1"]
    );
}

/// Entries of tables that map the first faulted page at [`ADDRESS`], tables in the frames 1, 2, 600 and 601.
fn tables() -> PageTables {
    let entry = |level, table: u64, index: u64, entry: u64| TableEntry {
        step: Step { level, gpa: table << 12 | index << 3, index, entry },
        gva: ADDRESS,
    };
    let index = |level: u32| ADDRESS >> (12 + 9 * (level - 1)) & 0x1ff;
    let page = u64::from(FIRST) << 12 | 0x67 | 1 << 63;
    PageTables {
        cr3: 1 << 12,
        entries: vec![
            entry(4, 1, index(4), 2 << 12 | 7),
            entry(4, 1, 511, 900_000 << 12 | 3),
            entry(3, 2, index(3), 600 << 12 | 7),
            entry(2, 600, index(2), 601 << 12 | 7),
            entry(1, 601, index(1), page),
        ],
        truncated: false,
    }
}

#[test]
fn a_walk_tells_of_each_frame_what_both_sides_know() {
    let directory = directory();
    let mut guest = nested();
    guest.inputs.push(Input::PageTables(tables()));
    let path = guest.record_run(directory.path());
    let run = RunFile::open(&path).expect("a run file");
    let walk = Walk::read(&run, ADDRESS + 0x123).expect("there are tables");
    let entries: Vec<_> = walk.entries.iter().map(|entry| (entry.name, entry.table.pfn, entry.table.backing)).collect();
    assert_eq!(
        entries,
        [
            ("PML4E", 1, Backing::Preloaded),
            ("PDPTE", 2, Backing::Preloaded),
            ("PDE", 600, Backing::Never),
            ("PTE", 601, Backing::Never)
        ]
    );
    assert_eq!(walk.entries[3].flags, "P W U A D NX");
    let page = walk.page.as_ref().expect("it is mapped");
    assert_eq!((page.gpa.as_str(), page.bytes), ("0x0000000000190123", 4096));
    assert_eq!((page.frame.owner.as_deref(), page.frame.backing), (Some("anon"), Backing::Faulted));
    assert_eq!(page.frame.call_site.as_deref(), Some("guest/mm/src/frame/alloc.rs:42"));
    let fault = page.frame.host_fault.as_ref().expect("it was faulted in");
    let around = value(&path, "SELECT min(id) FROM guest_fault");
    assert_eq!((fault.source.as_str(), fault.guest_fault_id.map(|id| id.to_string())), ("uffd", Some(around)));
    assert_eq!(walk.vma.as_deref(), Some("0x00007ffff0000000-0x00007ffff0200000 rw-p"));
    let text = report::walk(&walk);
    for wanted in ["PML4E[255]", "backed: preloaded by the host", "never backed by the host", "anon since event"] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn a_walk_that_ends_says_where() {
    let directory = directory();
    let mut guest = nested();
    guest.inputs.push(Input::PageTables(tables()));
    let path = guest.record_run(directory.path());
    let run = RunFile::open(&path).expect("a run file");
    for (gva, entries, reason) in [
        (ADDRESS + 0x1000, 4, "the PTE is not present"),
        (0x1000, 1, "the PML4E is not present"),
        (u64::MAX, 1, "the PML4E leads to a table outside RAM"),
        (1 << 48, 0, "the address is not canonical: bits 48-63 do not repeat bit 47"),
    ] {
        let walk = Walk::read(&run, gva).expect("there are tables");
        assert_eq!((walk.entries.len(), walk.unmapped.as_deref(), walk.page.is_none()), (entries, Some(reason), true));
    }
    assert!(Walk::read(&run, ADDRESS + 0x1000).is_ok_and(|walk| walk.vma.is_some()), "a VMA covers it");
    let without = nested().record_run(directory.path());
    let error = Walk::read(&RunFile::open(&without).expect("a run file"), ADDRESS).expect_err("there are none");
    assert!(error.to_string().contains("no page tables of the guest: the run's end is missing"), "{error}");
}

#[test]
fn a_recording_without_its_end_says_what_is_not_known() {
    let directory = directory();
    let path = directory.path().join("run");
    let facts: Vec<_> = nested().facts;
    let recorder = Recorder::create(&path, &facts).expect("writable");
    for input in nested().inputs {
        recorder.sender().send(input).expect("taken");
    }
    drop(recorder);
    let run = RunFile::open(&path).expect("a run file");
    let summary = Summary::read(&run).expect("readable");
    assert_eq!((summary.host_faults.total, summary.host_faults.source.as_deref()), (3, Some("uffd")));
    assert_eq!(summary.host_faults.by_owner.get("not_joined"), Some(&3));
    let mut text = Vec::new();
    report::text(&run, &mut text).expect("a report");
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.contains("the run's end is missing, so owners and the guest faults around them are not known"),
        "{text}"
    );
}
