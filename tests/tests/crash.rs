//! What is said of a program that crashed: instruction, source line, backtrace, and what it did last.

use pagelab_tests::{Lab, RunRows, compile_as, exit_status, lab, text};
use serde_json::Value;

/// How the program can be linked: at a fixed place, and at one that the kernel chooses.
const LINKS: [&str; 2] = ["-static", "-static-pie"];

/// The number of the line of `crash.c` with a mark.
fn line(mark: &str) -> u64 {
    let source = include_str!("../programs/crash.c");
    let at = source.lines().position(|line| line.ends_with(&format!("// mark: {mark}")));
    1 + at.unwrap_or_else(|| panic!("no mark {mark}")) as u64
}

/// The diagnosis of `crash WAY`, which must end with `status`.
fn crash(lab: &Lab, link: &str, way: &str, status: i32) -> Value {
    compile_as(lab.folder(), "crash", link);
    let output = lab.run(&["--json"], "./crash", &[way]);
    assert_eq!(exit_status(&output), status, "{link} {way}: {}", text(&output));
    let mut json: Value = serde_json::from_slice(&output.stdout).expect("a JSON report");
    json["diagnosis"].take()
}

/// Function and line of each row of the backtrace.
fn backtrace(diagnosis: &Value) -> Vec<(String, u64)> {
    let frames = diagnosis["backtrace"].as_array().expect("a backtrace");
    let row = |frame: &Value| {
        let name = frame["function"].as_str().or(frame["symbol"].as_str()).unwrap_or("?");
        (name.split('+').next().unwrap_or_default().to_owned(), frame["line"].as_u64().unwrap_or(0))
    };
    frames.iter().map(row).collect()
}

/// Where a function is in a backtrace.
fn position(frames: &[(String, u64)], function: &str, line: u64) -> usize {
    let found = frames.iter().position(|frame| *frame == (function.to_owned(), line));
    found.unwrap_or_else(|| panic!("no {function}:{line} in {frames:?}"))
}

#[test]
fn a_null_pointer_is_found_through_inlined_functions() {
    let lab = lab!();
    for link in LINKS {
        let diagnosis = crash(&lab, link, "null", 139);
        assert_eq!(diagnosis["signal_name"], "SIGSEGV");
        assert_eq!(diagnosis["code_name"], "SEGV_MAPERR");
        assert_eq!(diagnosis["address"], "0x0000000000000000");
        assert_eq!(diagnosis["access"], "write");
        assert!(diagnosis["mapping"].is_null());
        let instruction = diagnosis["instruction"]["text"].as_str().expect("an instruction");
        assert!(instruction.starts_with("mov"), "{instruction}");
        let symbol = diagnosis["instruction"]["symbol"].as_str().expect("a symbol");
        assert!(symbol.starts_with("append+0x"), "{symbol}");
        let frames = backtrace(&diagnosis);
        assert_eq!(frames[0], ("store".to_owned(), line("store")));
        assert_eq!(frames[1], ("append".to_owned(), line("append")));
        let main = position(&frames, "main", line("main"));
        assert_eq!(frames.last().map(|(name, _)| name.as_str()), Some("_start"), "{frames:?}");
        assert!(main < frames.len() - 1);
        let last = diagnosis["last_faults"].as_array().and_then(|faults| faults.last()).expect("the fault itself");
        assert_eq!(last["kind"], "segv_maperr");
        let calls = diagnosis["last_syscalls"].as_array().expect("calls");
        assert!(calls.last().is_some_and(|call| call["name"] == "write" && call["args"][0] == "1"), "{calls:?}");
    }
}

#[test]
fn a_call_of_nothing_leads_to_its_caller() {
    let lab = lab!();
    for link in LINKS {
        let diagnosis = crash(&lab, link, "call", 139);
        assert_eq!((&diagnosis["access"], &diagnosis["instruction"]["bytes"]), (&"execute".into(), &"".into()));
        assert_eq!(diagnosis["backtrace"][1]["found"], "caller");
        assert!(position(&backtrace(&diagnosis), "invoke", line("invoke")) >= 1);
    }
}

#[test]
fn a_signal_that_a_program_sends_itself_has_a_backtrace_too() {
    let lab = lab!();
    for link in LINKS {
        let diagnosis = crash(&lab, link, "abort", 134);
        assert_eq!((&diagnosis["signal_name"], &diagnosis["cause"]), (&"SIGABRT".into(), &"sent".into()));
        assert_eq!(diagnosis["instruction"]["text"], "syscall");
        let frames = backtrace(&diagnosis);
        let give_up = position(&frames, "give_up", line("give_up"));
        assert!(frames[..give_up].iter().any(|(name, _)| name.contains("abort")), "{frames:?}");
    }
}

#[test]
fn a_backtrace_goes_through_a_signals_handler() {
    let lab = lab!();
    for link in LINKS {
        let diagnosis = crash(&lab, link, "handler", 139);
        let found = |frame: &Value| frame["found"] == "signal_return";
        assert!(diagnosis["backtrace"].as_array().is_some_and(|frames| frames.iter().any(found)), "{diagnosis}");
        let frames = backtrace(&diagnosis);
        let handler = position(&frames, "handle", line("handle"));
        let main = position(&frames, "main", line("raise"));
        assert!(frames[handler..main].iter().any(|(name, _)| name.contains("raise")), "{frames:?}");
    }
}

#[test]
fn an_endless_recursion_is_said_to_be_one() {
    let lab = lab!();
    compile_as(lab.folder(), "crash", "-static");
    let output = lab.run(&["--record", "none", "--console"], "./crash", &["dive"]);
    assert_eq!(exit_status(&output), 139, "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for words in ["SEGV_MAPERR", "the stack has overflowed", "dive+0x", "the same again", "not recorded"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let run = RunRows::open(&lab.run_file());
    let frames = run.column("SELECT symbol FROM crash_frame ORDER BY number");
    assert!(frames.len() > 16 && frames.iter().all(|symbol| symbol.starts_with("dive+0x")), "{frames:?}");
}

#[test]
fn a_report_says_it_again_without_the_program() {
    let lab = lab!();
    crash(&lab, "-static", "null", 139);
    std::fs::remove_file(lab.folder().join("crash")).expect("it was there");
    let output = lab.pagelab(&["report", "test.pagelab"]);
    let said = String::from_utf8_lossy(&output.stdout);
    for words in ["SIGSEGV (SEGV_MAPERR", "a null pointer", "store (inlined) at", "registers", "last system calls"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let run = RunRows::open(&lab.run_file());
    assert_eq!(run.column("SELECT count(*) FROM crash_register"), ["20"]);
    let bytes = run.column("SELECT length(code_bytes) / 2 FROM crash").pop().expect("a crash");
    assert!((1..=15).contains(&bytes.parse().unwrap_or(0)), "the instruction alone: {bytes}");
}

#[test]
fn what_ended_by_itself_has_no_diagnosis() {
    let lab = lab!();
    assert!(lab.json("hello", &[])["diagnosis"].is_null());
    assert!(RunRows::open(&lab.run_file()).column("SELECT id FROM crash").is_empty());
}
