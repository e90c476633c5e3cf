//! A few cases of each target that needs no KVM: the fuzzer itself works, and what it once found stays mended.

use pagelab_fuzz::{
    driver::{Options, Until, fuzz},
    targets::ON_THE_HOST,
};

#[track_caller]
fn finds_nothing(name: &str, cases: u64) {
    let (_, make) = ON_THE_HOST.iter().find(|(known, _)| *known == name).expect("a target");
    let options = Options { until: Until::Cases(cases), seed: 1, first: 0, findings: None, watch: false };
    let outcome = fuzz(&mut *make(), &options);
    let found: Vec<_> = outcome.findings.iter().map(|finding| (finding.case, &finding.what)).collect();
    assert!(found.is_empty() && outcome.cases == cases, "{found:#?}");
}

#[test]
fn elf() {
    finds_nothing("elf", 2000);
}

#[test]
fn cpio() {
    finds_nothing("cpio", 5000);
}

#[test]
fn ring() {
    finds_nothing("ring", 2000);
}

#[test]
fn recorder() {
    finds_nothing("recorder", 40);
}

#[test]
fn run_file() {
    finds_nothing("run-file", 60);
}
