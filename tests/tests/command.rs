//! The command line itself: help, lists, and what is refused before any VM is made.

use std::fs;

use pagelab_tests::{Lab, lab, text};

fn here() -> Lab {
    Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"))
}

/// Runs `pagelab ARGS`, which must fail with `status` and say `words` on standard error, and nothing on standard output.
fn refused(lab: &Lab, args: &[&str], status: i32, words: &[&str]) {
    let output = lab.pagelab(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {}", text(&output));
    assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{args:?}: no {word:?} in {said}");
    }
}

#[test]
fn help_and_version() {
    let output = here().pagelab(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8_lossy(&output.stdout);
    for word in ["run", "list", "report", "doctor", "Examples:", "Exit status", "PAGELAB_LOG"] {
        assert!(help.contains(word), "no {word:?} in {help}");
    }
    let output = here().pagelab(&["run", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for word in ["--record", "--timeout", "--stdin", "124", "125", "128+N", "Examples:"] {
        assert!(help.contains(word), "no {word:?} in {help}");
    }
    let output = here().pagelab(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("pagelab {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn list_has_every_program() {
    let output = here().pagelab(&["list"]);
    let list = String::from_utf8_lossy(&output.stdout);
    for program in ["demand-paging", "heap-brk", "hello", "segv", "stack-grow"] {
        assert!(list.lines().any(|line| line.starts_with(&format!("{program} "))), "{list}");
    }
    let output = here().pagelab(&["list", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<_> = json.as_array().expect("an array").iter().filter_map(|entry| entry["name"].as_str()).collect();
    assert_eq!(names.len(), list.lines().count());
}

#[test]
fn wrong_command_lines() {
    let lab = here();
    refused(&lab, &["frobnicate"], 2, &["frobnicate"]);
    refused(&lab, &["report"], 2, &["RUN"]);
    refused(&lab, &["run"], 125, &["PROGRAM"]);
    refused(&lab, &["run", "--memory", "1M", "hello"], 125, &["16M"]);
    refused(&lab, &["run", "--timeout", "0", "hello"], 125, &["seconds"]);
    refused(&lab, &["run", "--record", "magic", "hello"], 125, &["magic", "uffd"]);
    refused(&lab, &["run", "--record", "guest,none", "hello"], 125, &["none"]);
    refused(&lab, &["run", "--env", "X", "hello"], 125, &["NAME=VALUE"]);
    refused(&lab, &["run", "--json", "--console", "hello"], 125, &["--console"]);
}

#[test]
fn programs_that_cannot_run_are_refused_before_the_boot() {
    let lab = here();
    refused(&lab, &["run", "no-such-program"], 125, &["no-such-program", "demand-paging"]);
    refused(&lab, &["run", "./missing"], 125, &["./missing", "No such file"]);
    refused(&lab, &["run", "/"], 125, &["not a regular file"]);
    let dynamic = std::env::current_exe().expect("this test");
    refused(&lab, &["run", dynamic.to_str().expect("text")], 125, &["dynamically linked", "gcc -static"]);
    fs::write(lab.folder().join("script"), "#!/bin/sh\n").expect("a file");
    refused(&lab, &["run", "./script"], 125, &["a script"]);
    assert!(!lab.folder().join("runs").exists(), "a run that never was leaves no file");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let lab = here();
    refused(&lab, &["run", "--file", "missing.txt", "hello"], 125, &["missing.txt", "No such file"]);
    refused(&lab, &["run", "--file", "/dev/null:/x", "hello"], 125, &["/dev/null", "not a regular file"]);
    refused(&lab, &["run", "--stdin", "missing.txt", "hello"], 125, &["missing.txt", "No such file"]);
    fs::write(lab.folder().join("data"), "").expect("a file");
    refused(&lab, &["run", "--file", "data:/bin/hello", "hello"], 125, &["/bin/hello", "there already"]);
}

#[test]
fn what_is_no_run_file_is_refused() {
    let lab = here();
    refused(&lab, &["report", "missing"], 1, &["missing"]);
    refused(&lab, &["report", "."], 1, &["not a pagelab run file"]);
    fs::write(lab.folder().join("text"), "not a database, but long enough to look at: ".repeat(100)).expect("a file");
    refused(&lab, &["report", "text"], 1, &["not a pagelab run file"]);
}

#[test]
fn an_unwritable_run_file_is_said() {
    let lab = lab!();
    refused(&lab, &["run", "-o", "no/such/folder/x.pagelab", "hello"], 125, &["no/such/folder/x.pagelab", "-o FILE"]);
    fs::write(lab.folder().join("precious"), "my own text").expect("a file");
    refused(&lab, &["run", "-o", "precious", "hello"], 125, &["precious", "not overwritten"]);
    assert_eq!(fs::read_to_string(lab.folder().join("precious")).expect("still there"), "my own text");
}
