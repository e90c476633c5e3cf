//! A few runs of the system-call fuzzer, each in a guest of its own.

use pagelab_fuzz::{
    driver::{Options, Until, fuzz},
    targets::Syscalls,
};

#[test]
fn system_calls_with_wild_arguments_do_no_harm() {
    pagelab::vm::machine::open_kvm().expect("this test needs KVM");
    let options = Options { until: Until::Cases(6), seed: 1, first: 0, findings: None, watch: false };
    let outcome = fuzz(&mut Syscalls::new(), &options);
    let found: Vec<_> = outcome.findings.iter().map(|finding| (finding.case, &finding.what)).collect();
    assert!(found.is_empty(), "{found:#?}");
}
