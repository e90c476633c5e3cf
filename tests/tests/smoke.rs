//! The shortest look at each part, for a host too slow for all the tests: boot, faults in both dimensions, each source.

use pagelab_tests::{RunRows, exit_status, lab, text};

#[test]
fn a_program_runs_and_its_status_comes_back() {
    let lab = lab!();
    let output = lab.run(&["--console", "--record", "none"], "hello", &["--status", "7"]);
    assert_eq!(exit_status(&output), 7, "{}", text(&output));
}

#[test]
fn faults_of_both_dimensions_are_recorded_and_agree() {
    let lab = lab!();
    let json = lab.json("demand-paging", &["--pages", "100"]);
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    assert!(json["guest_faults"]["by_kind"]["anon_write"].as_u64() >= Some(100), "{:#}", json["guest_faults"]);
    assert!(json["host_faults"]["by_owner"]["anon"].as_u64() >= Some(100), "{:#}", json["host_faults"]);
}

#[test]
fn kvms_tracepoints_tell_the_same_faults() {
    let lab = lab!();
    let options = ["--record", "guest,uffd,tracepoint", "--json"];
    let output = lab.run(&options, "demand-paging", &["--pages", "100"]);
    let said = text(&output);
    if said.contains("tracepoint cannot be used here") {
        eprintln!("skipped: {}", said.lines().find(|line| line.contains("cannot be used")).unwrap_or_default());
        return;
    }
    assert_eq!(exit_status(&output), 0, "{said}");
    let run = RunRows::open(&lab.run_file());
    let faults: u64 =
        run.column("SELECT count(*) FROM host_fault WHERE source = 'tracepoint'")[0].parse().expect("a number");
    assert!(faults >= 100, "{faults} rows of the tracepoint: {said}");
    let failed = run.column("SELECT name FROM check_result WHERE ok = 0");
    assert!(failed.is_empty(), "{failed:?}: {said}");
}
