//! `pagelab attach`: what KVM tells of a VM that somebody else runs. Here that is pagelab itself.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Output},
};

use pagelab_tests::{Lab, RunRows, compile, lab, text};
use rustix::process::{Pid, Signal, kill_process};

/// A guest that takes fresh memory all the time, until it is killed.
struct Victim(Child);

impl Victim {
    fn start(lab: &Lab, options: &[&str]) -> Victim {
        compile(lab.folder(), "spin");
        let all = [&["run", "-o", "victim.pagelab", "--console"], options, &["./spin", "--", "touch"]].concat();
        let mut child = lab.start(&all);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "spinning\n");
        Victim(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Ends it by Ctrl-C; it must still be well.
    fn end(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).expect("it is there");
        assert_eq!(self.0.wait().expect("its end").code(), Some(130));
    }
}

/// Names the tracepoints' absence, where this host lacks them for this user.
fn has_tracepoints(run: &RunRows) -> bool {
    let why = run.fact("missing.tracepoint");
    if !why.is_empty() {
        eprintln!("skipped: what tracepoints tell: {why}");
    }
    why.is_empty()
}

#[test]
fn a_running_vm_is_recorded_and_not_disturbed() {
    let lab = lab!();
    // Its pages go now and then, so that there are host faults as long as it runs.
    let victim = Victim::start(&lab, &["--timeout", "120", "--backing", "memfd", "--evict", "every=50ms,pages=all"]);
    let options = ["--seconds", "2", "--interval", "100ms", "-o", "attach.pagelab", "--json"];
    let output = lab.pagelab(&[&["attach", &victim.pid()], &options[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let attached = &json["attached"];
    assert_eq!(attached["pid"].to_string(), victim.pid());
    assert_eq!((attached["vms"].as_i64(), attached["vcpus"].as_i64()), (Some(1), Some(1)));
    assert_eq!(attached["end"], "its time was over");
    let seconds = attached["seconds"].as_f64().expect("a number");
    assert!((2.0..20.0).contains(&seconds), "{seconds}");

    let run = RunRows::open(&lab.folder().join("attach.pagelab"));
    assert_eq!((run.fact("complete"), run.fact("program")), ("1".to_owned(), "pagelab-under-t".to_owned()));
    // Every guest exits, and this one's statistics are shared by its VMM, whatever this user may.
    let exits: Vec<u64> = run
        .column("SELECT value FROM stat_sample WHERE kind = 'counter' AND name = 'exits' ORDER BY id")
        .iter()
        .map(|value| value.parse().expect("a number"))
        .collect();
    assert!(exits.len() > 5 && exits.is_sorted() && exits[0] < exits[exits.len() - 1], "{exits:?}");
    let over_time = attached["over_time"].as_array().expect("an array");
    assert!((5..=12).contains(&over_time.len()), "{over_time:?}");
    assert!(over_time.iter().all(|part| part["exits_per_second"].as_f64().is_some_and(|rate| rate > 0.0)));
    if run.fact("host_mmu") == "shadow" {
        let emulated =
            attached["statistics"].as_array().expect("an array").iter().find(|s| s["name"] == "insn_emulation");
        assert!(emulated.is_some_and(|s| s["change"].as_i64() > Some(1000)), "{attached}");
    }

    if has_tracepoints(&run) {
        traced(&run, attached);
    }
    let report = String::from_utf8(lab.pagelab(&["report", "attach.pagelab"]).stdout).expect("text");
    assert!(report.starts_with(&format!("pagelab attach {} (pagelab-under-t)\n", victim.pid())), "{report}");
    for section in ["KVM statistics: that changed", "Over time", "Host faults", "Guest page faults: not recorded"] {
        assert!(report.contains(section), "no {section:?} in {report}");
    }
    victim.end();
}

/// What tracepoints must have told, by what this host can tell.
fn traced(run: &RunRows, attached: &serde_json::Value) {
    let faults: u64 =
        run.column("SELECT count(*) FROM host_fault WHERE source = 'tracepoint'")[0].parse().expect("a number");
    assert!(faults > 0);
    assert_eq!(run.column("SELECT count(*) FROM host_fault WHERE vcpu <> 0 OR owner <> 'unknown'"), ["0"]);
    let exits = attached["exits"].as_array().expect("an array");
    let reason = match run.fact("host_mmu").as_str() {
        "npt" => "npf",
        "ept" => "EPT_VIOLATION",
        _ => {
            // KVM over PVM emits no exits, and it must be said that they are missing, not that there are none.
            assert_eq!(exits.is_empty(), !run.fact("missing.kvm_exit").is_empty(), "{attached}");
            return;
        }
    };
    let of_faults = exits.iter().find(|exit| exit["reason"] == reason).expect(reason);
    // The watch begins and ends in the middle of things: a few faults may lack their exit.
    let count = of_faults["count"].as_u64().expect("a number");
    assert!(count * 100 >= faults * 99, "{faults} faults, {of_faults}");
    assert!(of_faults["outside_ns"].as_u64() > Some(0), "{of_faults}");
    assert_eq!(run.column("SELECT count(*) FROM host_fault WHERE rip IS NULL OR error_code IS NULL"), ["0"]);
}

#[test]
fn the_end_of_the_process_and_ctrl_c_are_good_ends() {
    let lab = lab!();
    let end = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{}", text(output));
        let run = RunRows::open(&lab.folder().join("attach.pagelab"));
        assert_eq!(run.fact("complete"), "1");
        run.fact("attached.end")
    };
    let mut victim = Victim::start(&lab, &["--timeout", "10"]);
    let output = lab.pagelab(&["attach", &victim.pid(), "-o", "attach.pagelab"]);
    assert_eq!(end(&output), "the process ended");
    assert_eq!(victim.0.wait().expect("its end").code(), Some(124));

    let run_file = lab.folder().join("attach.pagelab");
    std::fs::remove_file(&run_file).expect("it was written");
    let victim = Victim::start(&lab, &["--timeout", "120"]);
    let watcher = lab.start(&["attach", &victim.pid(), "--interval", "50ms", "-o", "attach.pagelab"]);
    // It takes signals before it makes the file.
    while !run_file.exists() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&watcher), Signal::INT).expect("it is there");
    assert_eq!(end(&watcher.wait_with_output().expect("its end")), "signal 2");
    victim.end();
}

#[test]
fn what_cannot_be_attached_to_is_said() {
    let lab = Lab::without_kvm(env!("CARGO_BIN_EXE_pagelab-under-test"));
    let own = std::process::id().to_string();
    for (pid, status, words) in [
        (own.as_str(), 1, &["has no VM", own.as_str(), "qemu|firecracker|pagelab"][..]),
        ("4194305", 1, &["no process 4194305"]),
        ("0", 1, &["no process 0"]),
        ("qemu", 2, &["qemu", "PID"]),
    ] {
        let output = lab.pagelab(&["attach", pid]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(output.stdout.is_empty(), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert_eq!(std::fs::read_dir(lab.folder()).expect("a folder").count(), 0, "no run file is begun");
}
