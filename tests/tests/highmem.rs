//! Programs whose memory the direct map leaves out: they see no difference, and their frames are in zone HighMem.

use std::{
    fs,
    process::{Command, Stdio},
};

use pagelab_tests::{Lab, RunRows, compile, exit_status, lab, native, text};

/// 64 MiB of which the last 24 are HighMem.
const MACHINE: [&str; 5] = ["--console", "--memory", "64M", "--highmem", "24M"];
/// The first frame of HighMem.
const FIRST: u64 = (40 << 20) >> 12;

fn run(lab: &Lab, program: &str, args: &[&str]) -> String {
    let output = lab.run(&MACHINE, program, args);
    assert!(output.status.success(), "{program}: {}", text(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_program_in_highmem_prints_what_it_prints_on_linux() {
    let lab = lab!();
    for (program, args) in [
        ("demand-paging", ["--pages", "64", "--read-percent", "30"].as_slice()),
        ("heap-brk", &["--pages", "7"]),
        ("stack-grow", &["--pages", "20"]),
    ] {
        let expected = native(lab.folder(), program, args);
        assert_eq!(run(&lab, program, args), String::from_utf8_lossy(&expected.stdout), "{program}");
    }
    let program = compile(lab.folder(), "everyday");
    let expected = Command::new(&program).args(["a", "b"]).stdin(Stdio::null()).output().expect("the program starts");
    let actual = lab.run(&MACHINE, "./everyday", &["a", "b"]);
    assert_eq!(exit_status(&actual), exit_status(&expected), "{}", text(&actual));
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout));
}

#[test]
fn file_calls_on_highmem_answer_as_linux_does() {
    let lab = lab!();
    let program = compile(lab.folder(), "tree");
    for directory in ["native", "empty"] {
        fs::create_dir(lab.folder().join(directory)).expect("a directory");
    }
    let expected = Command::new(&program).arg("native").current_dir(lab.folder()).output().expect("the program starts");
    assert!(expected.status.success() && !expected.stdout.is_empty(), "{}", text(&expected));
    let options: Vec<&str> = MACHINE.into_iter().chain(["--dir", "empty:/tmp/here"]).collect();
    let actual = lab.run(&options, "./tree", &["/tmp/here"]);
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout), "{}", text(&actual));
}

#[test]
fn user_memory_is_in_highmem_and_page_tables_are_not() {
    let lab = lab!();
    let output = lab.run(&["--json", "--memory", "64M", "--highmem", "24M"], "demand-paging", &["--pages", "50"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["conservation"]["ok"], true, "{:#}", json["conservation"]);
    let rows = RunRows::open(&lab.run_file());
    let frames = |owner: &str| -> Vec<u64> {
        let sql = format!("SELECT pfn FROM frame_event WHERE op = 'alloc' AND owner = '{owner}'");
        rows.rows(&sql).iter().map(|row| row[0].parse().expect("a frame number")).collect()
    };
    let anon = frames("anon");
    assert!(anon.len() >= 50 && anon.iter().all(|&pfn| pfn >= FIRST), "{anon:?}");
    for owner in ["page_table", "slab", "buffer"] {
        assert!(frames(owner).iter().all(|&pfn| pfn < FIRST), "{owner}");
    }
    assert!(!frames("page_table").is_empty());
}
