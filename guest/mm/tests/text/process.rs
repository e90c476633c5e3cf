//! status, stat, statm and limits.

use pagelab_mm::{
    abi::snapshot::MmHeader,
    text::{self, Signals, Task},
};

use crate::linux::{common_lines, linux, rendered, values};

#[test]
fn status_is_linux_status() {
    let theirs = linux("/proc/self/status");
    let values = values(&theirs);
    let pages = |name: &str| values[name] / 4;
    let mut comm = [0; 16];
    let name = theirs.lines().next().and_then(|line| line.strip_prefix("Name:\t")).expect("a name");
    comm[..name.len()].copy_from_slice(name.as_bytes());
    let mm = MmHeader {
        pid: values["Pid"] as u32,
        comm,
        peak_vm: pages("VmPeak"),
        total_vm: pages("VmSize"),
        locked_vm: pages("VmLck"),
        hiwater_rss: pages("VmHWM"),
        rss_anon: pages("RssAnon"),
        rss_file: pages("RssFile"),
        rss_shmem: pages("RssShmem"),
        data_vm: pages("VmData"),
        stack_vm: pages("VmStk"),
        exec_vm: pages("VmExe") + pages("VmLib"),
        pgtables_bytes: values["VmPTE"] * 1024,
        swap: pages("VmSwap"),
        text_bytes: values["VmExe"] * 1024 - 100,
        ..MmHeader::default()
    };
    let ours = rendered(|w| text::status(w, &mm, None));
    let theirs = theirs.replace(&format!("Threads:\t{}", values["Threads"]), "Threads:\t1");
    let expected: Vec<String> = common_lines(&theirs, &ours)
        .into_iter()
        .map(|line| if line.starts_with("State:") { "State:\tR (running)".to_owned() } else { line.to_owned() })
        .collect();
    assert_eq!(ours.lines().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 4 + 16 + 1);
}

/// Everything a status can be told by: the memory and the task of the running test.
fn own(values: &std::collections::HashMap<&str, u64>, theirs: &str) -> (MmHeader, Task) {
    let mask = |name: &str| {
        let line = theirs.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
        u64::from_str_radix(line.trim_start_matches(":\t"), 16).expect("hexadecimal digits")
    };
    let signals = Signals {
        pending: mask("SigPnd"),
        shared_pending: mask("ShdPnd"),
        blocked: mask("SigBlk"),
        ignored: mask("SigIgn"),
        caught: mask("SigCgt"),
    };
    let octal = theirs.lines().find_map(|line| line.strip_prefix("Umask:\t")).expect("a mask");
    let task = Task {
        ppid: values["PPid"] as u32,
        pgrp: values["NSpgid"] as u32,
        session: values["NSsid"] as u32,
        umask: u32::from_str_radix(octal, 8).expect("octal digits"),
        fd_size: values["FDSize"] as u32,
        signals,
        ..Task::default()
    };
    (MmHeader { pid: values["Pid"] as u32, ..MmHeader::default() }, task)
}

#[test]
fn a_task_adds_the_lines_of_linux_status_in_its_order() {
    let theirs = linux("/proc/self/status");
    let (mm, task) = own(&values(&theirs), &theirs);
    let ours = rendered(|w| text::status(w, &mm, Some(&task)));
    let names = |text: &str| text.lines().map(|line| line.split(':').next().map(str::to_owned)).collect::<Vec<_>>();
    let theirs_has = names(&theirs);
    // What depends on the configuration of a Linux.
    let optional = ["untag_mask", "Speculation_Store_Bypass", "SpeculationIndirectBranch", "Seccomp_filters"];
    let mut rest = theirs_has.iter();
    for name in names(&ours).iter().flatten() {
        let known = rest.clone().any(|their| their.as_ref() == Some(name));
        assert!(known || optional.contains(&name.as_str()), "not in Linux's status, or in another place: {name}");
        if known {
            rest.by_ref().find(|their| their.as_ref() == Some(name));
        }
    }
    let same = [
        "Umask:",
        "Ngid:",
        "PPid:",
        "TracerPid:",
        "FDSize:",
        "NStgid:",
        "NSpid:",
        "NSpgid:",
        "NSsid:",
        "Kthread:",
        "CoreDumping:",
        "ShdPnd:",
        "SigBlk:",
        "SigIgn:",
        "SigCgt:",
        "CapInh:",
        "CapAmb:",
        "NoNewPrivs:",
    ];
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    for name in same.iter().filter(|name| line(&theirs, name).is_some()) {
        assert_eq!(line(&ours, name), line(&theirs, name));
    }
}

#[test]
fn stat_has_the_fields_of_linux_stat() {
    let theirs = linux("/proc/self/stat");
    let open = theirs.find('(').expect("a name");
    let close = theirs.rfind(')').expect("a name");
    let mut comm = [0; 16];
    comm[..close - open - 1].copy_from_slice(&theirs.as_bytes()[open + 1..close]);
    let fields: Vec<&str> = theirs[close + 2..].split_whitespace().collect();
    // Numbered as in proc_pid_stat(5), where the state is field 3.
    let field = |number: usize| fields[number - 3].parse::<u64>().unwrap_or_else(|_| panic!("field {number}"));
    let mm = MmHeader {
        pid: theirs[..open - 1].parse().expect("a pid"),
        comm,
        min_flt: field(10),
        maj_flt: field(12),
        total_vm: field(23) / 4096,
        rss_anon: field(24) - 1,
        rss_file: 1,
        brk: [field(47), 0],
        ..MmHeader::default()
    };
    let task = Task {
        ppid: field(4) as u32,
        pgrp: field(5) as u32,
        session: field(6) as u32,
        rss_limit: field(25),
        user_ticks: field(14),
        nice: fields[19 - 3].parse().expect("a number"),
        start_ticks: field(22),
        code: [field(26), field(27)],
        data: [field(45), field(46)],
        start_stack: field(28),
        arguments: [field(48), field(49)],
        environment: [field(50), field(51)],
        signals: Signals { blocked: field(32), ignored: field(33), caught: field(34), ..Signals::default() },
        ..Task::default()
    };
    let ours = rendered(|w| text::stat(w, &mm, &task));
    // What this process has and the guest's has not: a state that may be another, a terminal, flags, times in the
    // kernel, children, threads, a CPU of many.
    let mut expected: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
    for (number, value) in [
        (3, "R"),
        (7, "0"),
        (8, "-1"),
        (9, "0"),
        (11, "0"),
        (13, "0"),
        (15, "0"),
        (16, "0"),
        (17, "0"),
        (20, "1"),
        (31, "0"),
        (39, "0"),
        (42, "0"),
        (43, "0"),
        (44, "0"),
    ] {
        value.clone_into(&mut expected[number - 3]);
    }
    let head = &theirs[..=close];
    assert_eq!(ours, format!("{head} {}\n", expected.join(" ")));
}

#[test]
fn statm_and_status_agree() {
    let mm = MmHeader {
        total_vm: 100,
        rss_anon: 20,
        rss_file: 7,
        rss_shmem: 3,
        data_vm: 40,
        stack_vm: 33,
        exec_vm: 9,
        text_bytes: 4097,
        ..MmHeader::default()
    };
    assert_eq!(rendered(|w| text::statm(w, &mm)), "100 30 10 2 0 73 0\n");
    let status = rendered(|w| text::status(w, &mm, None));
    let kilobytes = values(&status);
    assert_eq!((kilobytes["VmSize"], kilobytes["VmRSS"], kilobytes["VmExe"]), (400, 120, 8));
}

#[test]
fn limits_are_linux_limits() {
    let theirs = linux("/proc/self/limits");
    let mut limits = [[0; 2]; 16];
    for (line, limit) in theirs.lines().skip(1).zip(&mut limits) {
        for (value, column) in limit.iter_mut().zip([26, 47]) {
            let word = line[column..].split_whitespace().next().expect("a value");
            *value = if word == "unlimited" { u64::MAX } else { word.parse().expect("a number") };
        }
    }
    assert_eq!(rendered(|w| text::limits(w, &limits)), theirs);
}
