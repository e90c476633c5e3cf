//! What is recorded: demand paging counted page by page in both dimensions, the same run twice, the JSON report.

use std::collections::{BTreeSet, HashMap};

use pagelab_tests::{Lab, RunRows, exit_status, lab, page, text};

/// The value of a `name: value` line.
fn value(output: &str, name: &str) -> Option<u64> {
    output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
}

#[test]
fn every_written_page_is_one_anon_write_and_one_host_fault() {
    const PAGES: usize = 200;
    let lab = lab!();
    let json = lab.json("demand-paging", &["--pages", &PAGES.to_string(), "--pattern", "random"]);
    assert_eq!(json["exit_status"], 0, "{json:#}");
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    assert_eq!(json["events_lost"], 0);

    let run = RunRows::open(&lab.run_file());
    let mut by_vma: HashMap<String, Vec<Vec<String>>> = HashMap::new();
    for row in run.rows("SELECT vma_start, gva, pfn, id FROM guest_fault WHERE kind = 'anon_write'") {
        by_vma.entry(row[0].clone()).or_default().push(row);
    }
    let faults = by_vma.values().max_by_key(|faults| faults.len()).expect("faults");
    assert_eq!(faults.len(), PAGES);
    assert_eq!(faults.iter().map(|row| page(&row[1])).collect::<BTreeSet<_>>().len(), PAGES, "distinct pages");
    let frames: BTreeSet<u64> = faults.iter().map(|row| row[2].parse().expect("a frame number")).collect();
    assert_eq!(frames.len(), PAGES, "distinct frames");

    // The touches are in no order, so the pages are not in the order of the faults.
    let order: Vec<u64> = faults.iter().map(|row| page(&row[1])).collect();
    assert!(!order.is_sorted());

    let of_anon = run.rows("SELECT gpa, guest_fault_id FROM host_fault WHERE owner = 'anon'");
    let host: HashMap<u64, &str> = of_anon.iter().map(|row| (page(&row[0]), &*row[1])).collect();
    for row in faults {
        let frame = row[2].parse().expect("a frame number");
        assert_eq!(
            host.get(&frame),
            Some(&&*row[3]),
            "the host fault of frame {frame} belongs to guest fault {}",
            row[3]
        );
    }

    let told = json["console"].as_str().expect("the program's output");
    assert_eq!(value(told, "ru_minflt"), Some(PAGES as u64));
}

#[test]
fn pages_that_are_read_are_zero_pages() {
    let lab = lab!();
    let json = lab.json("demand-paging", &["--pages", "100", "--read-percent", "40"]);
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    let told = json["console"].as_str().expect("the program's output");
    assert_eq!((value(told, "read"), value(told, "ru_minflt")), (Some(40), Some(100)));
    let run = RunRows::open(&lab.run_file());
    let reads =
        run.rows("SELECT vma_start, count(*) FROM guest_fault WHERE kind = 'anon_read' GROUP BY 1 ORDER BY 2 DESC");
    assert_eq!(reads[0][1], "40");
    let writes =
        format!("SELECT count(*) FROM guest_fault WHERE kind = 'anon_write' AND vma_start = '{}'", reads[0][0]);
    assert_eq!(run.column(&writes), ["60"]);
}

#[test]
fn the_programs_own_counters_agree_with_the_trace() {
    let lab = lab!();
    lab.json("heap-brk", &[]);
    let run = RunRows::open(&lab.run_file());
    let counted = run.rows("SELECT min_flt, maj_flt FROM process").remove(0);
    let events =
        run.rows("SELECT sum(NOT major), sum(major) FROM guest_fault WHERE kind NOT IN ('spurious', 'kernel')");
    assert_eq!(events, std::slice::from_ref(&counted));
    // 64 + 32 pages read or written anew, and 32 written after they were read.
    assert!(counted[0].parse::<u32>().expect("a count") >= 128, "{counted:?}");
}

#[test]
fn the_json_report_has_what_it_promises() {
    let lab = lab!();
    let json = lab.json("hello", &["--status", "3"]);
    for pointer in [
        "/host_mmu",
        "/guest_faults/total",
        "/guest_faults/by_kind/anon_write",
        "/host_faults/total",
        "/host_faults/by_owner/anon",
        "/latency_ns/guest/p50",
        "/latency_ns/guest/p90",
        "/latency_ns/guest/p99",
        "/latency_ns/guest/max",
        "/latency_ns/host/p50",
        "/memory/MemTotal",
        "/memory/MemFree",
        "/conservation/checks/0/name",
        "/conservation/checks/0/expected",
        "/conservation/checks/0/actual",
        "/conservation/checks/0/ok",
    ] {
        assert!(json.pointer(pointer).is_some_and(|value| !value.is_null()), "no {pointer} in {json:#}");
    }
    assert!(["ept", "npt", "shadow"].contains(&json["host_mmu"].as_str().expect("text")));
    assert_eq!(json["exit_status"], 3);
    assert_eq!(json["console"], "hello, world\n");
    let again = lab.pagelab(&["report", "test.pagelab", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&again.stdout).expect("JSON"), json);
}

/// The comparable events of a run.
fn events(lab: &Lab, options: &[&str], program: &str, args: &[&str]) -> String {
    let output = lab.run(options, program, args);
    assert_eq!(exit_status(&output), 0, "{}", text(&output));
    let output = lab.pagelab(&["report", "test.pagelab", "--events"]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let args = ["--pages", "64", "--pattern", "random", "--read-percent", "20"];
    let lab = lab!();
    let first = events(&lab, &["--seed", "5"], "demand-paging", &args);
    assert!(first.lines().count() > 64, "{first}");
    assert_eq!(first, events(&lab, &["--seed", "5"], "demand-paging", &args));
}

#[test]
fn the_guests_events_do_not_depend_on_the_host_faults_being_watched() {
    let lab = lab!();
    let watched = events(&lab, &["--record", "guest,uffd"], "heap-brk", &[]);
    assert_eq!(watched, events(&lab, &["--record", "guest"], "heap-brk", &[]));
}

#[test]
fn nothing_is_recorded_of_a_run_with_record_none() {
    let lab = lab!();
    let output = lab.run(&["--record", "none"], "hello", &[]);
    assert!(output.status.success(), "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    for table in ["guest_fault", "host_fault", "frame_event", "syscall"] {
        assert_eq!(run.column(&format!("SELECT count(*) FROM {table}")), ["0"], "{table}");
    }
    assert_eq!(run.column("SELECT text FROM console").concat(), "hello, world\n");
    assert_eq!(run.fact("sources"), "none");
}
