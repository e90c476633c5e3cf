//! The command line itself: help, lists, and what is refused before any VM is made.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};

use pagelab::{
    builtin,
    trace::{Ending, Recorder},
};
use pagelab_tests::{Lab, refused, text};
use rusqlite::Connection;

fn here() -> Lab {
    Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"))
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
    for word in ["--record", "--timeout", "--stdin", "124", "125", "126", "127", "128+N", "Examples:"] {
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
fn programs_that_are_not_there_or_cannot_be_executed_are_refused_before_the_boot() {
    let lab = here();
    refused(&lab, &["run", "no-such-program"], 127, &["no-such-program", "demand-paging", "./NAME"]);
    refused(&lab, &["run", "./missing"], 127, &["./missing: No such file", "check the path"]);
    refused(&lab, &["run", "/"], 126, &["/: it is a directory"]);
    refused(&lab, &["run", "/dev/null"], 126, &["/dev/null: it is not a regular file"]);
    let dynamic = std::env::current_exe().expect("this test");
    refused(&lab, &["run", dynamic.to_str().expect("text")], 126, &["dynamically linked", "ld-linux", "gcc -static"]);
    let program = builtin::program("hello").expect("hello").elf;
    write(&lab, "plain", program, 0o644);
    refused(&lab, &["run", "./plain"], 126, &["./plain: its mode 0644 does not let it be executed", "chmod +x"]);
    refused(&lab, &["run", "./plain/x"], 126, &["./plain/x: Not a directory"]);
    std::os::unix::fs::symlink("loop", lab.folder().join("loop")).expect("a link");
    refused(&lab, &["run", "./loop"], 126, &["./loop: Too many levels of symbolic links"]);
    assert!(!lab.folder().join("runs").exists(), "a run that never was leaves no file");
}

#[test]
fn a_program_that_may_not_be_read_is_said() {
    let lab = here();
    write(&lab, "secret", builtin::program("hello").expect("hello").elf, 0o111);
    let output = as_nobody(&lab, &["run", "./secret"]).output().expect("pagelab starts");
    assert_eq!(output.status.code(), Some(126), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("./secret: Permission denied") && said.contains("chmod +r"), "{said}");
}

#[test]
fn files_that_are_no_programs_for_the_lab_are_refused_before_the_boot() {
    let lab = here();
    let hello = builtin::program("hello").expect("hello").elf;
    let changed = |offset: usize, bytes: &[u8]| {
        let mut elf = hello.to_vec();
        elf[offset..offset + bytes.len()].copy_from_slice(bytes);
        elf
    };
    let (class, machine) = (4, 18);
    let mut i386 = changed(class, &[1]);
    i386[machine] = 3;
    let cases: [(&str, Vec<u8>, &[&str]); 14] = [
        ("empty", Vec::new(), &["it is empty"]),
        ("text", b"hello\n".to_vec(), &["not an ELF executable"]),
        ("script", b"#! /usr/bin/env python3\n".to_vec(), &["a script for /usr/bin/env python3;", "--file"]),
        ("i386", i386, &["32-bit program (i386)", "-m64"]),
        ("x32", changed(class, &[1]), &["32-bit program (x32)", "-m64"]),
        ("aarch64", changed(machine, &[183]), &["a program for aarch64;", "x86-64"]),
        ("big", changed(5, &[2]), &["big-endian"]),
        ("object", changed(16, &[1]), &["an object file", "link it"]),
        ("core", changed(16, &[4]), &["a core file"]),
        ("start", hello[..40].to_vec(), &["its ELF header ends beyond the file", "cut off"]),
        ("headers", hello[..100].to_vec(), &["its table of program headers ends beyond the file", "cut off"]),
        ("half", hello[..hello.len() / 8].to_vec(), &["its segment ", "ends beyond the file", "cut off"]),
        ("count", changed(56, &[255, 255]), &["impossible size or number"]),
        (
            "kernel",
            changed(24, &[0, 0, 0, 0x81, 0xff, 0xff, 0xff, 0xff]),
            &["0xffffffff81000000 is not a user address"],
        ),
    ];
    for (name, bytes, words) in cases {
        write(&lab, name, &bytes, 0o755);
        let path = format!("./{name}");
        let start = format!("pagelab: {path}: it");
        refused(&lab, &["run", &path], 126, &[&[start.as_str()], words].concat());
    }
    assert!(!lab.folder().join("runs").exists(), "a run that never was leaves no file");
}

/// `pagelab ARGS` by one who may not read everything, but may enter the lab's folder.
fn as_nobody(lab: &Lab, args: &[&str]) -> Command {
    const NOBODY: u32 = 65534;
    let mut command = lab.command(args);
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(lab.folder(), fs::Permissions::from_mode(0o755)).expect("its mode");
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn write(lab: &Lab, name: &str, bytes: &[u8], mode: u32) {
    let path = lab.folder().join(name);
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
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

/// A run file without a run, in the lab's folder.
fn empty_run(lab: &Lab) -> PathBuf {
    let path = lab.folder().join("run.pagelab");
    let ending = Ending {
        exit_status: 0,
        complete: true,
        diagnosis: None,
        wall_ns: 1,
        clock_error_ns: 1,
        tsc_hz: 1_000_000_000,
        copies: None,
        facts: Vec::new(),
    };
    let recorder = Recorder::create(&path, &[("sources", "guest".to_owned())]).expect("a run file");
    recorder.finish(ending).expect("it is written");
    path
}

#[test]
fn a_newer_run_file_is_refused_and_says_what_reads_it() {
    let lab = here();
    let path = empty_run(&lab);
    assert!(lab.pagelab(&["report", "run.pagelab"]).status.success());
    let connection = Connection::open(&path).expect("a database");
    connection.pragma_update(None, "user_version", 1000).expect("it can be changed");
    drop(connection);
    refused(&lab, &["report", "run.pagelab"], 1, &["run.pagelab has run-file schema version 1000", "a newer one"]);
    refused(&lab, &["walk", "run.pagelab", "0x1000"], 1, &["schema version 1000"]);
}

#[test]
fn half_a_run_file_is_said_to_be_damaged() {
    let lab = here();
    let whole = fs::read(empty_run(&lab)).expect("the file");
    let mut damaged = 0;
    for length in (0..whole.len()).step_by(whole.len() / 20).chain([1, 15, 16, 99, 100, whole.len() - 1]) {
        fs::write(lab.folder().join("half"), &whole[..length]).expect("a file");
        let output = lab.pagelab(&["report", "half"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{length}: {}", text(&output));
        let known = said.contains("damaged or cut off") || said.contains("not a pagelab run file");
        assert!(known && said.contains("half") && said.lines().count() == 1, "{length}: {said}");
        damaged += usize::from(said.contains("copy it again"));
    }
    assert!(damaged > 0, "none was seen to be damaged");
}

#[test]
fn a_run_file_that_may_not_be_read_or_written_is_said() {
    let lab = here();
    let path = empty_run(&lab);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("its mode");
    let output = as_nobody(&lab, &["report", "run.pagelab"]).output().expect("pagelab starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("run.pagelab") && said.contains("check the path and its permissions"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}
