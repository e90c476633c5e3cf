//! The guest's `/proc`: a program that reads it finds there what it finds on Linux, and its files agree with each other.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
};

use pagelab_tests::{compile, lab, text};

#[test]
fn a_program_reads_about_itself_what_it_reads_on_linux() {
    let lab = lab!();
    let program = compile(lab.folder(), "proc");
    let args = ["one", "two words", ""];
    let expected = Command::new(&program).args(args).stdin(Stdio::null()).output().expect("the program starts");
    assert!(expected.status.success(), "{}", text(&expected));
    let actual = lab.run(&["--console"], "./proc", &args);
    // A Linux that tracks soft-dirty pages says so of every VMA.
    let expected = String::from_utf8_lossy(&expected.stdout).replace(" sd \n", " \n");
    assert_eq!(String::from_utf8_lossy(&actual.stdout), expected, "{}", text(&actual));
    assert_eq!(actual.status.code(), Some(0));
}

/// The files of the guest's `/proc` by their paths, as one program of 128 MiB reads them one after the other.
fn files(paths: &[&str]) -> HashMap<String, String> {
    let lab = lab!();
    compile(lab.folder(), "cat");
    let output = lab.run(&["--console", "--memory", "128M"], "./cat", paths);
    assert!(output.status.success(), "{}", text(&output));
    let stdout = String::from_utf8(output.stdout).expect("text");
    let parts = stdout.split("== ").skip(1).filter_map(|part| part.split_once('\n'));
    parts.map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// The number behind a name at the start of a line, whatever stands between.
fn value(text: &str, name: &str) -> u64 {
    let line =
        text.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    let digits = line.trim_start_matches([':', ' ', '\t']).split(' ').next().expect("a number");
    digits.parse().unwrap_or_else(|_| panic!("{name}{line}"))
}

#[test]
fn the_files_about_memory_agree() {
    let [meminfo, zoneinfo, buddyinfo, vmstat] = ["/proc/meminfo", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/vmstat"];
    // Twice: the first time brings pages of the program in.
    let files = files(&[meminfo, zoneinfo, buddyinfo, vmstat, meminfo, zoneinfo, buddyinfo, vmstat]);
    let sum = |name: &str| {
        let zones = files[zoneinfo].split("Node 0, zone").skip(1);
        zones.map(|zone| value(zone, name)).sum::<u64>()
    };
    assert_eq!(value(&files[meminfo], "MemTotal"), 4 * sum("managed "));
    assert_eq!(value(&files[meminfo], "CommitLimit"), 4 * (sum("managed ") * 50 / 100));
    let blocks = files[buddyinfo].lines().flat_map(|line| line.split_whitespace().skip(4).enumerate());
    let free: u64 = blocks.map(|(order, count)| count.parse::<u64>().expect("a count") << order).sum();
    // Each text lies in frames of its own while it is read: these may differ by a few.
    let texts = 16;
    for other in [sum("pages free"), value(&files[vmstat], "nr_free_pages"), value(&files[meminfo], "MemFree") / 4] {
        assert!(free.abs_diff(other) <= texts, "{free} and {other} free frames");
    }
    assert_eq!(value(&files[vmstat], "nr_anon_pages"), value(&files[meminfo], "AnonPages") / 4);
    assert!(value(&files[vmstat], "pgfault") > 10);
    assert!(
        value(&files[meminfo], "MemAvailable") <= value(&files[meminfo], "MemFree") + value(&files[meminfo], "Cached")
    );
}

#[test]
fn the_same_seed_reads_the_same() {
    let paths =
        ["/proc/self/stat", "/proc/uptime", "/proc/sys/kernel/random/boot_id", "/proc/self/smaps", "/proc/vmstat"];
    assert_eq!(files(&paths), files(&paths));
}
