//! Ring-3 programs that do what no program should. None panics the guest kernel, hangs it or reaches its memory; each
//! ends as Linux ends it.

use std::{
    fs::File,
    path::Path,
    process::{Command, Output, Stdio},
};

use object::{Object, ObjectSymbol};
use pagelab_tests::{Lab, compile_bare, exit_status, lab, text};

/// Runs a program on this machine, with `input` as standard input and its output captured.
fn natively(lab: &Lab, program: &str, input: Option<&Path>, args: &[&str]) -> Output {
    let stdin = input.map_or(Stdio::null(), |path| File::open(path).expect("the input").into());
    Command::new(lab.folder().join(program)).args(args).stdin(stdin).output().expect("the program starts")
}

/// Runs a program in the lab, without host sources: what the guest does is all that matters here.
fn in_the_lab(lab: &Lab, options: &[&str], program: &str, args: &[&str]) -> Output {
    let mut all = vec!["--console"];
    if !options.contains(&"--record") {
        all.extend(["--record", "guest"]);
    }
    all.extend_from_slice(options);
    let output = lab.run(&all, &format!("./{program}"), args);
    let everything = text(&output);
    assert!(!everything.contains("panic"), "{program} {args:?}: {everything}");
    assert!(!matches!(output.status.code(), None | Some(124 | 125)), "{program} {args:?}: {everything}");
    output
}

fn lines(output: &Output) -> Vec<&str> {
    str::from_utf8(&output.stdout).expect("text").lines().collect()
}

#[test]
fn every_death_is_linuxs() {
    let lab = lab!();
    compile_bare(lab.folder(), "deaths");
    let list = natively(&lab, "deaths", None, &[]);
    let mut wrong = Vec::new();
    for way in lines(&list) {
        let expected = exit_status(&natively(&lab, "deaths", None, &["-", way]));
        let actual = in_the_lab(&lab, &[], "deaths", &["-", way]);
        assert_ne!(expected, 99, "{way} is no way");
        if exit_status(&actual) != expected {
            wrong.push(format!("{way}: Linux {expected}, {}", text(&actual)));
        }
        let signal = (129..=159).contains(&expected);
        assert_eq!(signal, String::from_utf8_lossy(&actual.stderr).contains("SIG"), "{way}: {}", text(&actual));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_some_cpus_know_does_no_harm() {
    let lab = lab!();
    compile_bare(lab.folder(), "deaths");
    let list = natively(&lab, "deaths", None, &["by-cpu"]);
    for way in lines(&list) {
        let output = in_the_lab(&lab, &[], "deaths", &["-", way]);
        assert!(matches!(exit_status(&output), 77 | 132 | 139), "{way}: {}", text(&output));
    }
}

/// Runs a program in both places and compares all it wrote and how it ended.
fn same(lab: &Lab, options: &[&str], program: &str, input: Option<&Path>, args: &[&str]) {
    compile_bare(lab.folder(), program);
    let expected = natively(lab, program, input, args);
    let actual = in_the_lab(lab, options, program, args);
    for (ours, linux) in lines(&actual).iter().zip(lines(&expected)) {
        assert_eq!(*ours, linux, "{program} {args:?}");
    }
    assert_eq!(actual.stdout.len(), expected.stdout.len(), "{program} {args:?}");
    assert_eq!(exit_status(&actual), exit_status(&expected), "{program} {args:?}: {}", text(&actual));
}

#[test]
fn bad_pointers_and_lengths_get_linuxs_errno() {
    let lab = lab!();
    let input = lab.folder().join("input");
    std::fs::write(&input, "abc".repeat(1000)).expect("a file");
    same(&lab, &["--stdin", "input"], "pointers", Some(&input), &[]);
}

#[test]
fn a_jump_to_where_syscall_goes_gains_nothing() {
    let lab = lab!();
    compile_bare(lab.folder(), "kernel_entry");
    let kernel = object::File::parse(pagelab::builtin::KERNEL).expect("the kernel is an ELF file");
    let entry = kernel.symbols().find(|symbol| symbol.name() == Ok("syscall_entry")).expect("its entry").address();
    let entry = format!("{entry:x}");
    // Return address, flags, and whether the program ends by itself where the host cannot tell this from `syscall`.
    let cases = [
        ("next", "flags", true),
        ("next", "0", true),
        ("next", "fffffffffffffeff", true),
        ("next", "ffffffffffffffff", false),
        ("next", "102", false),
        ("0", "202", false),
        ("7fffffffefff", "202", false),
        ("800000000000", "202", false),
        ("ffffffffffffffff", "202", false),
        (&entry, "202", false),
    ];
    for (rcx, r11, survives) in cases {
        const GETPID: &str = "27";
        let output = in_the_lab(&lab, &[], "kernel_entry", &[&entry, rcx, r11, GETPID]);
        let status = exit_status(&output);
        assert!(matches!(status, 133 | 139) || survives && status == 78, "{rcx} {r11}: {}", text(&output));
    }
}

#[test]
fn registers_are_the_programs_own() {
    let lab = lab!();
    same(&lab, &[], "registers", None, &[]);
}

#[test]
fn a_program_that_takes_all_memory_is_killed() {
    let lab = lab!();
    compile_bare(lab.folder(), "exhaust");
    for way in ["touch", "tables", "stack"] {
        let output = in_the_lab(&lab, &["--memory", "16M", "--record", "none"], "exhaust", &[way]);
        assert_eq!(exit_status(&output), 137, "{way}: {}", text(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("out of memory"), "{way}: {}", text(&output));
    }
}

#[test]
fn without_memory_system_calls_fail_and_do_no_harm() {
    let lab = lab!();
    compile_bare(lab.folder(), "exhaust");
    std::fs::write(lab.folder().join("input"), [b'x'; 1000]).expect("a file");
    let options = ["--memory", "16M", "--record", "none", "--stdin", "input"];
    let output = in_the_lab(&lab, &options, "exhaust", &["full"]);
    assert_eq!(exit_status(&output), 0, "{}", text(&output));
    assert_eq!(lines(&output).len(), 16, "{}", text(&output));
    assert!(lines(&output).iter().all(|line| line.ends_with(": fine")), "{}", text(&output));
}

#[test]
fn reads_and_writes_of_every_size() {
    let lab = lab!();
    let input = lab.folder().join("input");
    let letters: String = (0..70_000u32).map(|n| char::from(b'0' + (n.wrapping_mul(n) / 7 % 75) as u8)).collect();
    std::fs::write(&input, letters).expect("a file");
    let options = ["--record", "none", "--stdin", "input"];
    for way in ["tiny", "big", "vectors", "read"] {
        same(&lab, &options, "console", Some(&input), &[way]);
    }
}

#[test]
fn random_requests_about_memory_are_answered_as_linux_does() {
    let lab = lab!();
    for seed in ["3", "14", "15", "92"] {
        same(&lab, &["--record", "none"], "random", None, &[seed]);
    }
}
