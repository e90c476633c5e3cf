//! What guest memory is made of: each backing's faults have its size, and every count adds up.

use pagelab_tests::{Lab, RunRows, exit_status, lab, text};

/// Runs demand-paging on a backing with more options; `None`, with a word, if this host has none of it.
fn run(lab: &Lab, backing: &str, options: &[&str]) -> Option<RunRows> {
    let options = [&["--backing", backing], options].concat();
    let output = lab.run(&options, "demand-paging", &["--pages", "700", "--pattern", "random"]);
    let told = String::from_utf8_lossy(&output.stderr);
    if exit_status(&output) == 125 && (told.contains("huge pages") || told.contains("cannot be used here")) {
        eprintln!("skipped: {backing}: {told}");
        return None;
    }
    assert_eq!(exit_status(&output), 0, "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let failed = run.rows("SELECT name, expected, actual FROM check_result WHERE NOT ok");
    assert!(failed.is_empty(), "{backing} {options:?}: {failed:?}");
    assert_eq!(run.fact("backing"), backing);
    Some(run)
}

#[test]
fn each_fault_brings_in_one_unit_of_its_backing() {
    let lab = lab!();
    for (backing, bytes) in [("anon", "4096"), ("memfd", "4096"), ("thp", "2097152"), ("hugetlb-2m", "2097152")] {
        let Some(run) = run(&lab, backing, &["--record", "uffd"]) else { continue };
        assert_eq!(run.rows("SELECT DISTINCT kind, bytes FROM host_fault"), [["missing", bytes]], "{backing}");
        let faults = run.column("SELECT count(*) FROM host_fault");
        assert_eq!(run.fact("uffd.missing"), faults[0], "{backing}");
        assert_eq!(run.column("SELECT sum(bytes) / 4096 FROM host_fault"), [run.fact("uffd_copied")], "{backing}");
    }
}

#[test]
fn first_writes_after_a_protection_are_faults_and_add_up_by_interval() {
    let lab = lab!();
    for backing in ["anon", "memfd", "thp", "hugetlb-2m"] {
        let Some(run) = run(&lab, backing, &["--record", "uffd", "--protect", "every=5ms"]) else { continue };
        let faults: u64 = run.fact("uffd.write_protect").parse().expect("a number");
        // What was loaded is written at the boot: its protection at the start sees that.
        assert!(faults > 0, "{backing}");
        let written = run.rows("SELECT sum(pages) FROM written_interval");
        let resolved = run.rows("SELECT sum(bytes) / 4096 FROM host_fault WHERE access = 'write'");
        assert_eq!(written, resolved, "{backing}");
        let kinds = run.column("SELECT count(*) FROM host_fault WHERE kind = 'write_protect' AND access <> 'write'");
        assert_eq!(kinds, ["0"], "{backing}");
    }
}

#[test]
fn far_memory_answers_no_sooner_than_it_is_told() {
    let lab = lab!();
    let Some(run) = run(&lab, "anon", &["--record", "uffd", "--host-latency", "300us"]) else { return };
    assert_eq!(run.fact("host_latency_ns"), "300000");
    let too_soon = "SELECT count(*) FROM host_fault WHERE tsc_end - tsc_begin < \
                    300000 * (SELECT value FROM run WHERE key = 'tsc_hz') / 1000000000.0 * 0.99";
    assert_eq!(run.column(too_soon), ["0"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_remedy() {
    let lab = lab!();
    for (options, told) in [
        (&["--backing", "thp", "--memory", "16388K"][..], "not a multiple of 2 MiB"),
        (&["--backing", "hugetlb-2m", "--memory", "16388K"], "not a multiple of 2 MiB"),
        (&["--backing", "hugetlb-2m", "--memory", "1G"], "/proc/sys/vm/nr_hugepages"),
        (&["--evict", "every=10ms", "--record", "guest"], "add --record uffd, or use --backing memfd"),
        (&["--protect", "every=10ms", "--record", "guest"], "add --record uffd"),
        (&["--host-latency", "10us", "--record", "none"], "add --record uffd"),
    ] {
        let output = lab.run(options, "hello", &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(exit_status(&output), 125, "{}", text(&output));
        assert!(error.contains(told), "{options:?}: {error}");
    }
    for option in
        [&["--backing", "ram"][..], &["--evict", "100ms"], &["--protect", "every=0s"], &["--host-latency", "5"]]
    {
        assert_eq!(exit_status(&lab.run(option, "hello", &[])), 125, "{option:?}");
    }
}
