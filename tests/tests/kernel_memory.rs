//! The kernel's own virtual memory, as programs and the run file see it; and programs whose memory the direct map leaves
//! out: they see no difference, and their frames are in zone HighMem.

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

/// A program that keeps `/proc/zoneinfo` open, whose text is in a vmalloc area, and prints vmallocinfo and meminfo.
fn held_text(lab: &Lab, options: &[&str]) -> (String, RunRows) {
    compile(lab.folder(), "held_text");
    let options: Vec<&str> = ["--console"].iter().chain(options).copied().collect();
    let output = lab.run(&options, "./held_text", &[]);
    assert!(output.status.success(), "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    let failed = run.rows("SELECT name, expected, actual FROM check_result WHERE NOT ok");
    assert!(failed.is_empty(), "{failed:?}");
    (String::from_utf8(output.stdout).expect("text"), run)
}

/// The `pages=` of a line of vmallocinfo.
fn pages(line: &str) -> u64 {
    let number = line.split(" pages=").nth(1).and_then(|rest| rest.split(' ').next());
    number.unwrap_or_else(|| panic!("no pages in {line}")).parse().expect("a number")
}

#[test]
fn an_area_is_told_to_the_program_and_to_the_host() {
    let lab = lab!();
    let (said, run) = held_text(&lab, &[]);
    let line = said.lines().find(|line| line.contains(" vmalloc")).unwrap_or_else(|| panic!("no area: {said}"));
    assert!(line.starts_with("0xffffc90000000000-0xffffc9000000"), "{line}");
    assert!(line.contains("proc/read.rs:"), "{line}");
    let used = said.lines().find(|line| line.starts_with("VmallocUsed:")).expect("a line of meminfo");
    assert_eq!(used.split_whitespace().nth(1), Some(&*(pages(line) * 4).to_string()), "{line}\n{used}");

    // The program ends with the file open: the area is still there.
    let at_exit = run.rows("SELECT text FROM snapshot WHERE name = 'vmallocinfo' AND moment = 'exit'");
    assert_eq!(at_exit, [[format!("{line}\n")]]);
    let events = run.rows("SELECT op, frames, address FROM vmalloc_event");
    assert_eq!(events, [["map".to_owned(), pages(line).to_string(), line[..18].to_owned()]]);
    let taken = run.rows("SELECT count(*) FROM frame_event WHERE op = 'alloc' AND owner = 'vmalloc'");
    assert_eq!(taken, [[pages(line).to_string()]]);
}

#[test]
fn a_lazy_area_takes_a_kernel_fault_for_each_page() {
    let lab = lab!();
    let (said, run) = held_text(&lab, &["--lazy-vmalloc"]);
    let line = said.lines().find(|line| line.ends_with(" vmalloc lazy")).unwrap_or_else(|| panic!("no area: {said}"));
    let faults = run.rows("SELECT kind, vma_start, pfn FROM guest_fault WHERE kind = 'kernel'");
    assert_eq!(faults.len() as u64, pages(line), "{faults:?}");
    let events = run.rows("SELECT op FROM vmalloc_event");
    let ops: Vec<&str> = events.iter().map(|row| &*row[0]).collect();
    assert_eq!((ops[0], ops.iter().filter(|op| **op == "fault").count() as u64), ("map", pages(line)));
    let eager = held_text(&lab, &[]).1.rows("SELECT count(*) FROM guest_fault WHERE kind = 'kernel'");
    assert_eq!(eager, [["0"]]);
}
