//! What the guest kernel's operations cost must not grow unnoticed: costs are held against `docs/costs.json`.

use std::fs;

use pagelab_tests::{Lab, exit_status, lab, text};
use serde_json::{Value, json};

/// The baseline, as `scripts/costs.sh` has made it.
const BASELINE: &str = include_str!("../../docs/costs.json");

/// `pagelab bench` with a baseline. `None`, with a word about it, where this host cannot count.
fn bench(lab: &Lab, baseline: &Value, args: &[&str]) -> Option<(i32, Value, String)> {
    fs::write(lab.folder().join("costs.json"), baseline.to_string()).expect("the folder can be written");
    let all: Vec<&str> =
        ["bench", "--baseline", "costs.json", "--json"].into_iter().chain(args.iter().copied()).collect();
    let output = lab.pagelab(&all);
    let found: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    if let Some(why) = found["skipped"].as_str() {
        eprintln!("skipped: {why}");
        return None;
    }
    Some((exit_status(&output), found, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn baseline() -> Value {
    serde_json::from_str(BASELINE).expect("docs/costs.json is JSON")
}

#[test]
fn no_operation_costs_a_tenth_more_than_it_did() {
    let lab = lab!();
    let Some((status, found, said)) = bench(&lab, &baseline(), &[]) else { return };
    let rows = found["benchmarks"].as_array().expect("an array");
    let changed: Vec<&Value> = rows.iter().filter(|row| row["trend"] != "same").collect();
    assert_eq!(status, 0, "{changed:#?}\n{said}");
}

#[test]
fn a_cost_that_grew_is_named() {
    let lab = lab!();
    // What it costs now is far more than what this says it did.
    let baseline = json!({ "instructions": { "bench/frame_order_0": 1.0 } });
    let Some((status, found, said)) = bench(&lab, &baseline, &["frame_order_0"]) else { return };
    assert_eq!(status, 1, "{found:#}");
    assert_eq!(
        (&found["benchmarks"][0]["name"], &found["benchmarks"][0]["trend"]),
        (&json!("bench/frame_order_0"), &json!("grew"))
    );
    assert!(said.contains("scripts/costs.sh"), "{said}");
}

#[test]
fn costs_are_the_same_every_time() {
    let lab = lab!();
    let once = bench(&lab, &baseline(), &["frame"]);
    let again = bench(&lab, &baseline(), &["frame"]);
    assert_eq!(once.map(|(_, found, _)| found), again.map(|(_, found, _)| found));
}
