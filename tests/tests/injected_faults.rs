//! Faults injected into the lab itself: whatever breaks, the run ends, its file can be read, and the verdict is honest.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use pagelab_tests::{Lab, RunRows, compile, exit_status, lab, text};
use serde_json::Value;

/// Long enough that no fault of the guest takes it by itself.
const HOLD: Duration = Duration::from_secs(1);

/// Starts a program that faults without end, and waits until it runs.
fn start_spinning(lab: &Lab, options: &[&str]) -> Child {
    compile(lab.folder(), "spin");
    let all = [&["run", "-o", "test.pagelab", "--console", "--timeout", "60"], options, &["./spin", "--", "touch"]];
    let mut child = lab.start(&all.concat());
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "spinning\n");
    child
}

/// The thread of a process that has this name.
fn thread_named(child: &Child, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("a live process");
    let found = tasks
        .flatten()
        .find(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    let found = found.unwrap_or_else(|| panic!("pagelab has no thread {name}"));
    Pid::from_raw(found.file_name().to_string_lossy().parse().expect("a thread id"))
}

/// Stops one thread of another process, wherever it is.
fn hold(thread: Pid) {
    ptrace::seize(thread, ptrace::Options::empty()).expect("the thread can be traced");
    ptrace::interrupt(thread).expect("the thread is traced");
    let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).expect("the thread stops");
    assert!(matches!(stopped, WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)), "{stopped:?}");
}

/// Has a stopped thread end without one more instruction of its own: it goes as if it had never been.
fn end_silently(thread: Pid) {
    let mut registers = ptrace::getregs(thread).expect("it is stopped");
    // Stopped in or after a system call, which is two bytes long: it is made again, as exit(0).
    registers.rip -= 2;
    registers.orig_rax = u64::MAX;
    registers.rax = 60;
    registers.rdi = 0;
    ptrace::setregs(thread, registers).expect("it is stopped");
    ptrace::detach(thread, None).expect("it is stopped");
}

/// What anyone can learn of the run afterwards: both reports work; the JSON one comes back.
fn readable(lab: &Lab) -> Value {
    let output = lab.pagelab(&["report", "test.pagelab"]);
    assert!(output.status.success() && !output.stdout.is_empty(), "{}", text(&output));
    let output = lab.pagelab(&["report", "test.pagelab", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

fn standard_error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_handler_that_is_held_up_only_costs_time() {
    let lab = lab!();
    let child = lab.start(&["run", "-o", "test.pagelab", "--json", "demand-paging", "--", "--pages", "4000"]);
    let handler = loop {
        // The handler is there once the guest is about to run.
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("a live process");
        let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        if names.into_iter().any(|name| name.trim_end() == "uffd") {
            break thread_named(&child, "uffd");
        }
        thread::yield_now();
    };
    hold(handler);
    thread::sleep(HOLD);
    ptrace::detach(handler, None).expect("it is stopped");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report = readable(&lab);
    assert_eq!(report["complete"], true);
    assert_eq!(report["conservation"]["ok"], true, "{:#}", report["conservation"]);
    assert!(report["run"]["wall_ns"].as_u64().expect("a number") > HOLD.as_nanos() as u64);
}

#[test]
fn a_handler_that_never_answers_again_does_not_outlast_ctrl_c() {
    let lab = lab!();
    let child = start_spinning(&lab, &["--record", "uffd"]);
    let handler = thread_named(&child, "uffd");
    hold(handler);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("pagelab is there");
    // It dies with pagelab, and its tracer has to take note before pagelab counts as gone.
    waitpid(handler, Some(WaitPidFlag::__WALL)).expect("it was traced");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(standard_error(&output).contains("uffd does not answer"), "{}", text(&output));
    let report = readable(&lab);
    assert_eq!(report["complete"], false);
    let not_checked = report["conservation"]["not_checked"].as_array().expect("a list");
    assert!(not_checked.iter().any(|check| check["name"] == "uffd_pages"), "{not_checked:?}");
}

#[test]
fn a_handler_that_is_gone_ends_the_run_with_its_name() {
    let lab = lab!();
    let child = start_spinning(&lab, &["--record", "uffd"]);
    let handler = thread_named(&child, "uffd");
    hold(handler);
    end_silently(handler);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    assert!(standard_error(&output).contains("the thread of the fault source uffd died"), "{}", text(&output));
    let report = readable(&lab);
    assert_eq!(report["complete"], false);
    assert_eq!(report["exit_status"], 125);
}

#[test]
fn a_killed_lab_leaves_what_it_had_seen() {
    let lab = lab!();
    let mut child = start_spinning(&lab, &[]);
    // The ring is drained five times a second, and written ten times a second.
    thread::sleep(HOLD);
    child.kill().expect("pagelab is there");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(exit_status(&output), 137);
    let report = readable(&lab);
    assert_eq!((&report["complete"], &report["exit_status"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(report["conservation"]["ok"], Value::Null, "an unfinished run was not checked");
    // How many depends on the host's speed.
    assert!(report["guest_faults"]["total"].as_u64().expect("a number") > 0, "{:#}", report["guest_faults"]);
}

/// `pagelab run` into a full place: one message, and a file that can be read.
fn stopped_by_a_full_place(lab: &Lab, output: &Output) {
    assert_eq!(output.status.code(), Some(125), "{}", text(output));
    let said = standard_error(output);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("pagelab:")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("test.pagelab") && lines[0].contains("give another place with -o FILE"), "{said}");
    assert_eq!(RunRows::open(&lab.run_file()).fact("complete"), "0");
    assert_eq!(readable(lab)["complete"], false);
}

#[test]
fn a_full_disk_ends_in_one_message_and_a_readable_file() {
    let lab = lab!();
    let folder = lab.folder().to_str().expect("a plain name").to_owned();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=640k", "tmpfs", &folder]).output();
    if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a_full_disk_ends_in_one_message_and_a_readable_file: cannot mount a tmpfs: {mounted:?}");
        return;
    }
    let output = lab.run(&[], "demand-paging", &["--pages", "4000"]);
    let verdict = std::panic::catch_unwind(|| stopped_by_a_full_place(&lab, &output));
    let unmounted = Command::new("umount").args(["-l", &folder]).status().expect("umount starts");
    assert!(unmounted.success());
    verdict.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn a_file_size_limit_ends_in_one_message_and_a_readable_file() {
    let lab = lab!();
    // 512 blocks, of 512 or 1024 bytes as the shell counts.
    let args = ["run", "-o", "test.pagelab", "--timeout", "60", "demand-paging", "--", "--pages", "4000"];
    let pagelab = lab.command(&args);
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 512; exec \"$0\" \"$@\""])
        .arg(pagelab.get_program())
        .args(pagelab.get_args())
        .current_dir(lab.folder())
        .stdin(Stdio::null())
        .output()
        .expect("a shell starts");
    stopped_by_a_full_place(&lab, &output);
}
