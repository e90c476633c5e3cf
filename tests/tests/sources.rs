//! Sources of host faults beside userfaultfd, and what a run does to host memory on purpose: each alone and together.

use pagelab_tests::{Lab, RunRows, lab, text};

/// The JSON report of a run with options.
fn report(lab: &Lab, options: &[&str], program: &str, args: &[&str]) -> serde_json::Value {
    let output = lab.run(&[options, &["--json"]].concat(), program, args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

/// A row of the `run` view that is a number.
fn number(run: &RunRows, key: &str) -> Option<u64> {
    run.fact(key).parse().ok()
}

#[test]
fn kvm_counts_from_before_the_first_instruction() {
    let lab = lab!();
    let json = lab.json("demand-paging", &["--pages", "100"]);
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    let run = RunRows::open(&lab.run_file());
    assert_eq!(run.fact("sources"), "guest,uffd,stats", "stats is on by default");
    let names = run.column("SELECT substr(key, 5) FROM run WHERE key LIKE 'kvm.%'");
    assert!(names.iter().any(|name| name == "pf_taken"), "{names:?}");
    for name in &names {
        let (before, after) = (number(&run, &format!("kvm_before.{name}")), number(&run, &format!("kvm.{name}")));
        assert!(before.is_some() && after.is_some(), "{name}");
    }
    for name in ["exits", "pf_taken", "pf_fixed"] {
        assert_eq!(number(&run, &format!("kvm_before.{name}")), Some(0), "{name}");
        assert!(number(&run, &format!("kvm.{name}")) >= Some(100), "{name}");
    }
}

#[test]
fn pages_written_are_counted_by_interval_and_in_all() {
    const PAGES: u64 = 300;
    let lab = lab!();
    let record = ["--record", "uffd,dirty", "--dirty-interval", "5ms"];
    let json = report(&lab, &record, "demand-paging", &["--pages", &PAGES.to_string()]);
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    let dirty = &json["dirty"];
    let [min, median, max, distinct] =
        ["min", "median", "max", "distinct"].map(|name| dirty[name].as_u64().expect("a number"));
    assert!(min <= median && median <= max && max <= distinct, "{dirty:#}");
    assert_eq!(dirty["interval_ns"], 5_000_000);

    let run = RunRows::open(&lab.run_file());
    let sum: u64 = run.column("SELECT sum(pages) FROM dirty_interval")[0].parse().expect("a sum");
    assert_eq!(run.column("SELECT count(*) FROM dirty_interval")[0], dirty["intervals"].to_string());
    assert!(run.column("SELECT count(*) FROM dirty_interval a JOIN dirty_interval b ON b.id = a.id + 1 WHERE a.tsc_end <> b.tsc_begin") == ["0"], "no gaps");
    // Each written page was missing before and filled by userfaultfd, or preloaded: nothing else is there to be written.
    let copied = number(&run, "uffd_copied").expect("a count");
    let preloaded = number(&run, "uffd_present_at_start").expect("a count");
    assert!(
        (PAGES..=copied + preloaded).contains(&distinct) && distinct <= sum,
        "{distinct} pages, {sum} in intervals"
    );
    let written = run.column("SELECT count(DISTINCT pfn) FROM guest_fault WHERE kind IN ('anon_write', 'cow')");
    assert!(distinct >= written[0].parse().expect("a count"), "{distinct} pages, {written:?} of them by faults");
}

#[test]
fn the_dirty_log_changes_nothing_the_guest_sees() {
    let lab = lab!();
    let told = |record| {
        assert!(lab.run(&["--record", record], "heap-brk", &[]).status.success());
        lab.pagelab(&["report", "test.pagelab", "--events"]).stdout
    };
    assert_eq!(told("guest"), told("guest,dirty"));
}

#[test]
fn nothing_is_missing_after_prefault() {
    let lab = lab!();
    let sources = ["guest", "guest,uffd,stats", "guest,memory-fault"];
    for record in sources.into_iter().filter(|record| !record.ends_with("fault") || has(&lab, "memory-fault")) {
        let options = ["--prefault", "--record", record];
        let json = report(&lab, &options, "demand-paging", &["--pages", "200"]);
        assert_eq!(json["exit_status"], 0);
        assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
        assert_eq!(json["host_faults"]["total"], 0, "{record}");
        let run = RunRows::open(&lab.run_file());
        assert!(["host", "host+kvm"].contains(&&*run.fact("prefault")), "{}", run.fact("prefault"));
        if record.contains("uffd") {
            let pages = number(&run, "guest_memory_bytes").expect("a size") / 4096;
            assert_eq!(number(&run, "uffd_present_at_start"), Some(pages), "all of RAM is preloaded");
        }
        if run.fact("prefault") == "host+kvm" {
            // What is left are faults for other reasons than a missing translation; there were 200 and more.
            let taken = number(&run, "kvm.pf_taken").expect("a count");
            assert!(taken < 50, "{taken} faults reached KVM");
        }
    }
}

/// Whether this host has a source; says by name that a test is skipped where it has not.
fn has(lab: &Lab, source: &str) -> bool {
    let doctor = lab.pagelab(&["doctor", "--json"]);
    let doctor: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let checks = doctor["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == source).unwrap_or_else(|| panic!("no {source}"));
    if check["status"] != "ok" {
        eprintln!("skipped: the source {source} is missing: {}", check["found"]);
    }
    check["status"] == "ok"
}

#[test]
fn faults_on_the_vcpus_own_thread_are_those_of_userfaultfd() {
    let lab = lab!();
    if !has(&lab, "memory-fault") || !has(&lab, "uffd") {
        return;
    }
    let of = |record| {
        let json = report(&lab, &["--record", record], "demand-paging", &["--pages", "1000", "--pattern", "random"]);
        assert_eq!(json["exit_status"], 0);
        assert_eq!(json["conservation"]["ok"], true, "{record}: {:#}", json["conservation"]);
        let events = lab.pagelab(&["report", "test.pagelab", "--events"]).stdout;
        let run = RunRows::open(&lab.run_file());
        let mut pages = run.column("SELECT substr(gpa, 1, 15) FROM host_fault");
        pages.sort();
        (events, pages, json["host_faults"]["by_owner"].clone())
    };
    let (uffd, exits) = (of("uffd,stats"), of("memory-fault,stats,dirty"));
    assert!(uffd.0 == exits.0, "the guest's events differ");
    assert_eq!(uffd.1, exits.1, "the pages");
    assert_eq!(uffd.2, exits.2, "their owners");
}

#[test]
fn two_sources_that_resolve_faults_are_refused() {
    let lab = Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"));
    let output = lab.run(&["--record", "uffd,memory-fault"], "hello", &[]);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("uffd and memory-fault both resolve the host's faults: give one of them"), "{told}");
    assert!(!lab.run_file().exists());
}

#[test]
fn times_without_a_unit_are_refused() {
    let lab = Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"));
    let output = lab.run(&["--record", "dirty", "--dirty-interval", "100"], "hello", &[]);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("such as 100ms or 2s"), "{}", text(&output));
}
