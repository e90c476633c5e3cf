//! Pages taken away from a running guest: it keeps its contents, faults again, and every count adds up.

use std::process::Command;

use pagelab_tests::{Lab, RunRows, compile, exit_status, lab, text};

/// The program's own output in a run, and how often it ended the run.
fn everyday(lab: &Lab, options: &[&str]) -> Option<(String, RunRows)> {
    let program = compile(lab.folder(), "everyday");
    let output = lab.run(options, program.to_str().expect("a plain path"), &["a", "b"]);
    let told = String::from_utf8_lossy(&output.stderr);
    if exit_status(&output) == 125 && told.contains("huge pages") {
        eprintln!("skipped: {options:?}: {told}");
        return None;
    }
    assert_eq!(exit_status(&output), 42, "{options:?}: {}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let failed = run.rows("SELECT name, expected, actual FROM check_result WHERE NOT ok");
    assert!(failed.is_empty(), "{options:?}: {failed:?}");
    let said = run.column("SELECT text FROM console WHERE stream = 1 ORDER BY id").concat();
    Some((said, run))
}

#[test]
fn a_program_computes_the_same_while_its_pages_go() {
    let lab = lab!();
    let program = compile(lab.folder(), "everyday");
    let native = Command::new(program).args(["a", "b"]).output().expect("it runs on the host");
    let native = String::from_utf8(native.stdout).expect("text");
    for (backing, kind) in [("anon", "refault"), ("memfd", "minor"), ("thp", "refault"), ("hugetlb-2m", "minor")] {
        for pages in ["all", "50"] {
            // As often as it takes for this host to be caught in the middle of the program, and no more often: a slow one
            // would never come to its end.
            let caught = ["800ms", "200ms", "50ms", "10ms", "2ms"].iter().any(|every| {
                let evict = format!("every={every},pages={pages}");
                let options = ["--record", "uffd", "--backing", backing, "--evict", &evict];
                let Some((said, run)) = everyday(&lab, &options) else { return true };
                assert_eq!(said, native, "{backing} {evict}");
                assert_eq!(run.fact("evict"), evict);
                let gone = run.column("SELECT coalesce(sum(pages), 0) FROM eviction");
                assert_eq!(gone[0], run.fact("uffd_evicted"), "{backing} {evict}");
                run.fact(&format!("uffd.{kind}")).parse::<u64>().expect("a number") > 0
            });
            assert!(caught, "{backing} {pages}: nothing ever came back");
        }
    }
}

#[test]
fn a_file_keeps_its_pages_without_any_source() {
    let lab = lab!();
    let (said, run) = everyday(&lab, &["--record", "none", "--backing", "memfd", "--evict", "every=50ms"])
        .expect("every host has a memfd");
    assert!(said.contains("sorted: first"), "{said}");
    assert_ne!(run.column("SELECT sum(pages) > 0 FROM eviction"), ["0"]);
}

#[test]
fn the_guests_events_do_not_depend_on_what_the_host_does_with_its_memory() {
    let lab = lab!();
    let events = |options: &[&str]| {
        let output = lab.run(options, "heap-brk", &[]);
        assert_eq!(exit_status(&output), 0, "{}", text(&output));
        let output = lab.pagelab(&["report", "test.pagelab", "--events"]);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let plain = events(&[]);
    for options in [
        &["--evict", "every=50ms"][..],
        &["--evict", "every=50ms,pages=20", "--backing", "memfd"],
        &["--host-latency", "100us"],
        &["--protect", "every=50ms"],
        &["--backing", "memfd"],
    ] {
        assert_eq!(events(options), plain, "{options:?}");
    }
}
