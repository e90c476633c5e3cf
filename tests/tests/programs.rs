//! Programs in the lab against the same programs run natively: same output, same exit status.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use pagelab_tests::{Lab, compile, compile_as, exit_status, lab, native, text};

/// Runs a built-in program in both places and compares everything a caller can see.
fn same(lab: &Lab, program: &str, args: &[&str]) {
    let expected = native(lab.folder(), program, args);
    let actual = lab.run(&["--console"], program, args);
    let case = format!("{program} {args:?}: {}", text(&actual));
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout), "{case}");
    assert_eq!(exit_status(&actual), exit_status(&expected), "{case}");
    if expected.status.code().is_some() {
        assert_eq!(String::from_utf8_lossy(&actual.stderr), String::from_utf8_lossy(&expected.stderr), "{case}");
    }
}

#[test]
fn hello() {
    let lab = lab!();
    same(&lab, "hello", &[]);
    same(&lab, "hello", &["--status", "7", "--name", "two words"]);
    same(&lab, "hello", &["--status", "300"]);
    same(&lab, "hello", &["--help"]);
}

#[test]
fn demand_paging() {
    let lab = lab!();
    same(&lab, "demand-paging", &["--pages", "64"]);
    same(&lab, "demand-paging", &["--pages", "100", "--read-percent", "30", "--pattern", "random", "--seed", "9"]);
    same(&lab, "demand-paging", &["--pages", "60", "--pattern", "stride:7", "--read-percent=100"]);
    same(&lab, "demand-paging", &["--pages", "40", "--passes", "3", "--read-percent", "50"]);
    same(&lab, "demand-paging", &["--pages", "0"]);
    same(&lab, "demand-paging", &["--passes", "0"]);
}

#[test]
fn stack_grow() {
    let lab = lab!();
    same(&lab, "stack-grow", &["--pages", "8"]);
    same(&lab, "stack-grow", &["--pages", "200"]);
}

#[test]
fn a_stack_beyond_its_limit_ends_in_sigsegv() {
    let lab = lab!();
    same(&lab, "stack-grow", &["--pages", "3000"]);
}

#[test]
fn heap_brk() {
    let lab = lab!();
    same(&lab, "heap-brk", &[]);
    same(&lab, "heap-brk", &["--pages", "7"]);
}

#[test]
fn every_way_to_die() {
    let lab = lab!();
    let ways =
        ["null", "null-call", "unmapped", "guard", "write-text", "write-rodata", "read-only", "noexec", "kernel"];
    for way in ways {
        same(&lab, "segv", &["--how", way]);
    }
}

/// A program of everyday C, linked as `link` says, does the same natively and in the lab.
fn everyday(link: &str) {
    let lab = lab!();
    let program = compile_as(lab.folder(), "everyday", link);
    let args = ["one", "two words", ""];
    let expected = Command::new(&program).args(args).stdin(Stdio::null()).output().expect("the program starts");
    let actual = lab.run(&["--console"], "./everyday", &args);
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout), "{}", text(&actual));
    assert_eq!(String::from_utf8_lossy(&actual.stderr), String::from_utf8_lossy(&expected.stderr));
    assert_eq!(expected.status.code(), Some(42));
    assert_eq!(actual.status.code(), Some(42));
}

#[test]
fn a_static_c_program() {
    everyday("-static");
}

#[test]
fn a_position_independent_static_c_program() {
    everyday("-static-pie");
}

/// Runs a compiled C program in both places and compares output and exit status.
fn same_c(lab: &Lab, program: &Path, args: &[&str]) {
    let expected = Command::new(program).args(args).stdin(Stdio::null()).output().expect("the program starts");
    let actual = lab.run(&["--console"], program.to_str().expect("text"), args);
    let case = format!("{} {args:?}: {}", program.display(), text(&actual));
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout), "{case}");
    assert_eq!(exit_status(&actual), exit_status(&expected), "{case}");
}

#[test]
fn what_is_taken_away_is_gone_at_once() {
    let lab = lab!();
    let program = compile(lab.folder(), "stale");
    for how in ["bytes", "discarded", "read-only", "no-access", "no-execute", "unmapped", "shrunk-heap"] {
        same_c(&lab, &program, &[how]);
    }
}

#[test]
fn calls_and_faults_keep_what_is_the_programs() {
    let lab = lab!();
    let program = compile(lab.folder(), "registers");
    same_c(&lab, &program, &[]);
    same_c(&lab, &program, &["misaligned"]);
}

#[test]
fn a_program_ends_by_a_signal_it_sends_itself() {
    let lab = lab!();
    let program = compile(lab.folder(), "raise");
    for args in [&[][..], &["15"], &["9"], &["34"]] {
        let expected = Command::new(&program).args(args).output().expect("the program starts");
        let actual = lab.run(&["--console"], "./raise", args);
        let stdout = String::from_utf8_lossy(&actual.stdout);
        assert_eq!(stdout, String::from_utf8_lossy(&expected.stdout), "{args:?}: {}", text(&actual));
        assert_eq!(exit_status(&actual), exit_status(&expected), "{args:?}");
        assert!(text(&actual).contains("sent by the program itself"), "{}", text(&actual));
    }
}

#[test]
fn a_file_is_read_and_mapped_as_linux_does() {
    let lab = lab!();
    let program = compile(lab.folder(), "files");
    let data = lab.folder().join("data");
    let bytes: Vec<u8> = (0..10_000u32).map(|number| ((number * number) >> 3) as u8).collect();
    fs::write(&data, bytes).expect("the file can be written");
    let expected = Command::new(&program).arg(&data).output().expect("the program starts");
    let actual = lab.run(&["--console", "--file", "data:/some/where/data"], "./files", &["/some/where/data"]);
    assert!(expected.status.success(), "{}", text(&expected));
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout), "{}", text(&actual));
    assert_eq!(actual.status.code(), Some(0));
}

#[test]
fn environment_and_standard_input() {
    let lab = lab!();
    compile(lab.folder(), "echo");
    let input = "line 1\nline 2, without an end".repeat(1000);
    std::fs::write(lab.folder().join("input"), &input).expect("a file");
    let output = lab.run(&["--console", "--stdin", "input", "--env", "X=1", "--env", "HOME=/x"], "./echo", &[]);
    let expected = format!("PATH=/bin\nHOME=/x\nTERM=dumb\nLANG=C\nX=1\n--\n{input}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", text(&output));
}
