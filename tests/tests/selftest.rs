//! The tests inside the guest kernel, a group at a time, and how `pagelab test` tells what came of them.

use std::collections::BTreeSet;

use pagelab_tests::{Lab, exit_status, lab, refused, text};
use serde_json::Value;

/// `pagelab test --json` with options.
fn json(lab: &Lab, args: &[&str]) -> Value {
    let all: Vec<&str> = ["test", "--json"].into_iter().chain(args.iter().copied()).collect();
    let output = lab.pagelab(&all);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

/// Runs all tests of a group; those that fail are told with what they said.
fn group(name: &str, options: &[&str]) {
    let lab = lab!();
    let filter = format!("{name}/");
    let args: Vec<&str> = [filter.as_str()].into_iter().chain(options.iter().copied()).collect();
    let result = json(&lab, &args);
    for test in result["tests"].as_array().into_iter().flatten() {
        println!("{} {} ({} ms)", test["name"], test["result"], test["ms"]);
        if test["result"] == "skipped" {
            eprintln!("skipped: {}: {}", test["name"], test["message"]);
        }
    }
    assert_eq!(result["failed"], 0, "{result:#}");
    assert!(result["passed"].as_u64() >= Some(1), "{result:#}");
}

/// One test here for each group there.
macro_rules! groups {
    ($($name:ident),+ $(,)?) => {
        /// The groups that have a test here.
        const GROUPS: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                group(stringify!($name), &[]);
            }
        )+
    };
}

groups!(damage, frames, harness, highmem, mempool, paging, slab, tables, vmalloc, zones);

/// The same with what else can be chosen on the command line.
macro_rules! variants {
    ($($name:ident: $group:literal $options:expr;)+) => {
        $(
            #[test]
            fn $name() {
                group($group, &$options);
            }
        )+
    };
}

variants! {
    frames_by_a_bitmap: "frames" ["--frames", "bitmap"];
    zones_by_a_bitmap: "zones" ["--frames", "bitmap"];
    zones_without_grouping: "zones" ["--no-mobility-grouping"];
    slabs_with_free_lists: "slab" ["--slab", "freelist"];
    slabs_with_all_checks: "slab" ["--slab-debug", "FZPU"];
    damage_with_free_lists: "damage" ["--slab", "freelist"];
    mempools_with_free_lists: "mempool" ["--slab", "freelist"];
    paging_on_two_nodes: "paging" ["--numa", "2x32M"];
    paging_with_highmem: "paging" ["--memory", "40M", "--highmem", "8M"];
}

#[test]
fn every_group_has_a_test_here() {
    let lab = Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"));
    let listed = json(&lab, &["--list"]);
    let names = listed["tests"].as_array().expect("an array").iter().filter_map(Value::as_str);
    let groups: BTreeSet<&str> = names.filter_map(|name| name.split('/').next()).collect();
    assert_eq!(groups, BTreeSet::from_iter(GROUPS.iter().copied()));
}

#[test]
fn failures_are_told_with_their_place_and_the_state_of_memory() {
    let lab = lab!();
    for (test, words) in [
        ("demo/fails", &["harness.rs:", "kernel.mm.frames.free(): ", " is not 0", "Mem-Info:"][..]),
        ("demo/leaks", &["leak: ", "frames of owner kernel", "Mem-Info:"]),
        ("demo/panics", &["the guest kernel panicked", "harness.rs:", "backtrace:", "selftest::harness::panics"]),
    ] {
        let output = lab.pagelab(&["test", test]);
        assert_eq!(exit_status(&output), 1, "{}", text(&output));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("0 passed, 1 failed, 0 skipped"), "{said}");
        for word in words {
            assert!(said.contains(word), "{test}: no {word:?} in {said}");
        }
    }
}

#[test]
fn a_test_that_hangs_fails() {
    let lab = lab!();
    let result = json(&lab, &["demo/hangs", "--timeout", "1"]);
    assert_eq!((&result["failed"], &result["passed"]), (&1.into(), &0.into()), "{result:#}");
    let message = result["tests"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("the guest had not ended after 1s"), "{message}");
}

#[test]
fn a_filter_that_means_nothing_is_an_error() {
    let lab = Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"));
    refused(&lab, &["test", "frames/duoble_free"], 2, &["did you mean frames/double_free", "--list"]);
    refused(&lab, &["test", "--jobs", "0"], 2, &["--jobs"]);
}

#[test]
fn a_kept_test_is_a_run_file() {
    let lab = lab!();
    let output = lab.pagelab(&["test", "frames/single", "--keep", "kept"]);
    assert_eq!(exit_status(&output), 0, "{}", text(&output));
    let report = lab.pagelab(&["report", "kept/frames-single.pagelab", "--json"]);
    let report: Value =
        serde_json::from_slice(&report.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&report)));
    assert_eq!(report["exit_status"], 0, "{report:#}");
}
