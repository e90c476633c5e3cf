//! The shortest look at each part, for a host too slow for all the tests: boot, faults in both dimensions, each source.

use pagelab_tests::{exit_status, lab, text};

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
