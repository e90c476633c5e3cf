//! How runs end: by themselves, by a signal of the guest, by the clock, by Ctrl-C. Each leaves a readable run file.

use std::{
    io::{BufRead, BufReader},
    time::{Duration, Instant},
};

use pagelab_tests::{Lab, RunRows, compile, lab, text};
use rustix::process::{Pid, Signal, kill_process};

/// Checks what a run that was cut short left behind.
fn readable_but_incomplete(lab: &Lab) {
    assert_eq!(RunRows::open(&lab.run_file()).fact("complete"), "0");
    let output = lab.pagelab(&["report", "test.pagelab"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!output.stdout.is_empty());
}

#[test]
fn the_exit_status_is_the_programs() {
    let lab = lab!();
    for status in ["0", "1", "42", "255"] {
        let output = lab.run(&[], "hello", &["--status", status]);
        assert_eq!(output.status.code().map(|code| code.to_string()).as_deref(), Some(status), "{}", text(&output));
    }
    let run = RunRows::open(&lab.run_file());
    assert_eq!(run.fact("complete"), "1");
    assert_eq!(run.fact("exit_status"), "255");
}

#[test]
fn a_dated_file_in_runs_is_the_default() {
    let lab = lab!();
    let output = lab.pagelab(&["run", "--timeout", "120", "hello"]);
    assert!(output.status.success(), "{}", text(&output));
    let files: Vec<_> = std::fs::read_dir(lab.folder().join("runs")).expect("the folder").collect();
    assert_eq!(files.len(), 1);
    let path = files[0].as_ref().expect("an entry").path();
    assert!(path.to_string_lossy().ends_with("-hello.pagelab"), "{path:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("-hello.pagelab"), "{}", text(&output));
    assert_eq!(RunRows::open(&path).fact("complete"), "1");
}

#[test]
fn a_segmentation_fault_is_139_and_names_everything() {
    let lab = lab!();
    let output = lab.run(&[], "segv", &["--how", "write-text"]);
    assert_eq!(output.status.code(), Some(139), "{}", text(&output));
    let everything = text(&output);
    for word in ["SIGSEGV", "SEGV_ACCERR", "segv", "write"] {
        assert!(everything.contains(word), "no {word:?} in {everything}");
    }
    let run = RunRows::open(&lab.run_file());
    let last = run.rows("SELECT kind, gva, rip FROM guest_fault ORDER BY id DESC LIMIT 1").remove(0);
    assert_eq!(last[0], "segv_accerr");
    for address in &last[1..] {
        let digits = address.trim_start_matches("0x").trim_start_matches('0');
        assert!(everything.contains(digits), "no address {address} in {everything}");
    }
    assert_eq!(run.fact("complete"), "1");
}

#[test]
fn a_bare_console_still_says_why_a_program_died() {
    let lab = lab!();
    let output = lab.run(&["--console"], "segv", &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "about to die: null\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("SEGV_MAPERR"), "{}", text(&output));
}

#[test]
fn a_timeout_is_124() {
    let lab = lab!();
    compile(lab.folder(), "spin");
    for (record, args) in [("none", &[][..]), ("guest,uffd", &[]), ("guest,uffd", &["touch"])] {
        let begin = Instant::now();
        let mut all = vec!["run", "-o", "test.pagelab", "--timeout", "1", "--record", record, "./spin", "--"];
        all.extend(args);
        let output = lab.pagelab(&all);
        assert_eq!(output.status.code(), Some(124), "{record} {args:?}: {}", text(&output));
        assert!(begin.elapsed() > Duration::from_secs(1));
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        readable_but_incomplete(&lab);
    }
}

#[test]
fn ctrl_c_is_130() {
    let lab = lab!();
    compile(lab.folder(), "spin");
    let signals = [(Signal::INT, 130, "none"), (Signal::INT, 130, "guest,uffd"), (Signal::TERM, 143, "guest,uffd")];
    for (signal, status, record) in signals {
        let mut child =
            lab.start(&["run", "-o", "test.pagelab", "--console", "--record", record, "./spin", "--", "touch"]);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "spinning\n");
        kill_process(Pid::from_child(&child), signal).expect("the child is there");
        let output = child.wait_with_output().expect("its end");
        assert_eq!(output.status.code(), Some(status), "{record}: {}", text(&output));
        readable_but_incomplete(&lab);
    }
}
