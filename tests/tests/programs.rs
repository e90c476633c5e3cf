//! Programs in the lab against the same programs run natively: same output, same exit status.

use std::process::{Command, Stdio};

use pagelab_tests::{Lab, compile, exit_status, lab, native, text};

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
    same(&lab, "demand-paging", &["--pages", "0"]);
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

#[test]
fn a_static_c_program() {
    let lab = lab!();
    let program = compile(lab.folder(), "everyday");
    let args = ["one", "two words", ""];
    let expected = Command::new(&program).args(args).stdin(Stdio::null()).output().expect("the program starts");
    let actual = lab.run(&["--console"], "./everyday", &args);
    assert_eq!(String::from_utf8_lossy(&actual.stdout), String::from_utf8_lossy(&expected.stdout), "{}", text(&actual));
    assert_eq!(String::from_utf8_lossy(&actual.stderr), String::from_utf8_lossy(&expected.stderr));
    assert_eq!(expected.status.code(), Some(42));
    assert_eq!(actual.status.code(), Some(42));
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
