//! Sources of host faults beside userfaultfd, and what a run does to host memory on purpose: each alone and together.

use pagelab_tests::{RunRows, lab};

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
