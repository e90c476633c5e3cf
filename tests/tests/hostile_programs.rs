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
fn a_death_says_what_happened() {
    let lab = lab!();
    compile_bare(lab.folder(), "deaths");
    for (way, words) in [
        ("jump_0", &["SEGV_MAPERR", "execution at 0x0", "through a null pointer", "no code to read"][..]),
        ("call_0", &["through a null pointer", "way_call_0+0x", "by the word at RSP"]),
        ("jump_kernel", &["SEGV_MAPERR", "execution at 0xffffffff80100000"]),
        ("jump_noncanonical", &["SI_KERNEL", "not canonical"]),
        ("write_text", &["SEGV_ACCERR", "write to", "r-xp", "movb $1,", "way_write_text+0x"]),
        ("execute_data", &["SEGV_ACCERR", "what lies there is data"]),
        ("execute_stack", &["SEGV_ACCERR", "what lies there is data", "[stack]"]),
        ("stack_overflow", &["SEGV_MAPERR", "the stack has overflowed", "push %rax"]),
        ("divide_by_zero", &["SIGFPE (FPE_INTDIV", "div %ecx"]),
        ("hlt", &["SI_KERNEL", "a privileged instruction", "hlt  [f4]", "way_hlt+0x"]),
        ("mov_to_cr3", &["a privileged instruction", "mov %rax,%cr3"]),
        ("lgdt", &["a privileged instruction", "lgdt"]),
        ("wrmsr", &["a privileged instruction", "wrmsr"]),
        ("in", &["a privileged instruction", "in $0x60,%al"]),
        ("ud2", &["SIGILL (ILL_ILLOPN", "ud2"]),
        ("int3", &["SIGTRAP (SI_KERNEL", "int3"]),
        ("sse_misaligned", &["a misaligned operand", "movaps"]),
        ("unmap_text", &["SEGV_MAPERR", "execution at", "nothing is mapped there"]),
        ("unmap_stack", &["SEGV_MAPERR", "push %rax"]),
        ("file_beyond_end", &["SIGBUS (BUS_ADRERR", "past the file's end", "/bin/deaths"]),
    ] {
        let output = in_the_lab(&lab, &[], "deaths", &["-", way]);
        let said = String::from_utf8_lossy(&output.stderr);
        for word in words.iter().chain(&["registers", "backtrace", "last system calls"]) {
            assert!(said.contains(word), "{way}: no {word:?} in {said}");
        }
    }
}

/// Linux serves it as a system call of a 32-bit program; the lab has no 32-bit programs, and no gate for it.
#[test]
fn int_80_is_no_system_call() {
    let lab = lab!();
    compile_bare(lab.folder(), "deaths");
    let output = in_the_lab(&lab, &[], "deaths", &["-", "int_80"]);
    assert_eq!(exit_status(&output), 139, "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("int $0x80"), "{}", text(&output));
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
    for way in ["touch", "tables", "stack", "populate"] {
        let output = in_the_lab(&lab, &["--memory", "16M", "--record", "none"], "exhaust", &[way]);
        assert_eq!(exit_status(&output), 137, "{way}: {}", text(&output));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("Out of memory: Killed process"),
            "{way}: {}",
            text(&output)
        );
    }
}

#[test]
fn the_limits_of_address_space_and_descriptors_are_linuxs() {
    let lab = lab!();
    for way in ["whole", "closed"] {
        same(&lab, &[], "limits", None, &[way]);
    }
}

#[test]
fn mappings_end_at_max_map_count() {
    let lab = lab!();
    if lab.json("hello", &[])["host_mmu"] == "shadow" {
        eprintln!("skipped: 65,530 mappings: this host emulates ring 0, which takes a quarter of an hour for them");
        return;
    }
    same(&lab, &["--record", "none"], "limits", None, &["many"]);
}

#[test]
fn what_the_guest_does_not_have_is_named() {
    let lab = lab!();
    compile_bare(lab.folder(), "limits");
    let output = in_the_lab(&lab, &[], "limits", &["processes"]);
    assert_eq!(lines(&output), ["fork: -38", "vfork: -38", "clone: -38", "clone3: -38"], "{}", text(&output));
    let report = lab.pagelab(&["report", "test.pagelab"]);
    let said = String::from_utf8_lossy(&report.stdout);
    for call in ["fork × 1", "vfork × 1", "clone × 1", "clone3 × 1"] {
        assert!(said.contains(call), "no {call:?} in {said}");
    }
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
