//! Kernels that are not part of pagelab's file (`--kernel`).

use std::fs;

use pagelab::builtin::KERNEL;
use pagelab_tests::{Lab, RunRows, compile_kernel, lab, text};

/// First address of the pages that the test kernels touch.
const TOUCHED: &str = "0x0000000000400000";

/// Boots a kernel that is not pagelab's.
fn boot(lab: &Lab, kernel: &str, command_line: &str, options: &[&str]) -> std::process::Output {
    compile_kernel(lab.folder(), kernel);
    let all = ["run", "-o", "test.pagelab", "--kernel", kernel, "--append", command_line];
    lab.pagelab(&[&all[..], options].concat())
}

/// Boots `elf` with `hello` and checks that it is refused before the start, with these words.
fn refused(lab: &Lab, elf: &[u8], words: &[&str]) {
    fs::write(lab.folder().join("kernel.elf"), elf).expect("a file");
    let output = lab.run(&["--kernel", "kernel.elf"], "hello", &[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    for word in words.iter().chain(&["kernel.elf"]) {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert!(!lab.run_file().exists(), "{said}");
}

#[test]
fn a_kernel_of_our_abi_takes_the_place_of_the_built_in_one() {
    let lab = lab!();
    fs::write(lab.folder().join("kernel.elf"), KERNEL).expect("a file");
    let output = lab.run(&["--kernel", "kernel.elf"], "hello", &["--status", "7"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    assert_eq!(run.fact("kernel"), "kernel.elf");
    assert_eq!(run.fact("complete"), "1");
    assert!(run.column("SELECT ok FROM check_result").iter().all(|ok| ok == "1"));
}

#[test]
fn another_version_of_the_abi_is_refused_before_the_start() {
    let lab = lab!();
    let mut elf = KERNEL.to_vec();
    let name = elf.windows(8).position(|bytes| bytes == pagelab_abi::note::NAME).expect("the note");
    elf[name + 8] = 0x63;
    refused(&lab, &elf, &["version 99", "same source"]);
}

#[test]
fn files_that_are_no_kernels_are_refused_by_name() {
    let lab = lab!();
    refused(&lab, b"", &["not an ELF file"]);
    refused(&lab, b"#!/bin/sh\necho\n", &["not an ELF file"]);
    refused(&lab, &KERNEL[..KERNEL.len() / 8], &["truncated"]);
    let mut elf = KERNEL.to_vec();
    elf[4] = 1;
    refused(&lab, &elf, &["32-bit"]);
    let output = lab.run(&["--kernel", "/no/such/kernel"], "hello", &[]);
    assert!(text(&output).contains("/no/such/kernel: No such file"), "{}", text(&output));
}

#[test]
fn a_foreign_kernels_host_faults_are_recorded_and_nothing_is_claimed_of_its_own() {
    let lab = lab!();
    let output = boot(&lab, "bare.c", "touch 100", &["--timeout", "60", "--record", "uffd"]);
    assert_eq!(output.status.code(), Some(21 << 1 | 1), "{}", text(&output));
    let run = RunRows::open(&lab.run_file());
    assert_eq!(
        run.column("SELECT DISTINCT source || ' ' || access || ' ' || owner FROM host_fault"),
        ["uffd write unknown"]
    );
    let touched = run.column(&format!("SELECT gpa FROM host_fault WHERE gpa >= '{TOUCHED}' ORDER BY id"));
    let expected: Vec<String> = (0..100).map(|page| format!("0x{:016x}", 0x40_0000 + page * 4096)).collect();
    assert_eq!(touched, expected);
    assert_eq!(run.column("SELECT text FROM console"), ["asked for: touch 100\n"]);
    assert_eq!((run.fact("sources"), run.fact("boot_protocol")), ("uffd".to_owned(), "64-bit".to_owned()));
    assert_eq!((run.fact("complete"), run.fact("guest_end")), ("1".to_owned(), "exit port".to_owned()));
    let checked = run.column("SELECT name FROM check_result WHERE ok ORDER BY name");
    assert_eq!(checked, ["host_fault_rows", "protocol_errors", "uffd_bytes", "uffd_pages"]);
    assert_eq!(run.column("SELECT name FROM check_result WHERE NOT ok"), [""; 0]);
    let skipped = run.column("SELECT name FROM check_skipped");
    assert!(
        ["records", "pgfault", "host_fault_owners"].iter().all(|name| skipped.iter().any(|skipped| skipped == name))
    );
    let report = String::from_utf8(lab.pagelab(&["report", "test.pagelab"]).stdout).expect("text");
    assert!(report.contains("Guest page faults: not recorded") && !report.contains("clocks agree"), "{report}");
}

#[test]
fn a_pvh_kernel_gets_command_line_memory_map_and_modules() {
    let lab = lab!();
    fs::write(lab.folder().join("module"), [33]).expect("a file");
    let output = boot(&lab, "pvh.S", "through EBX", &["--console", "--timeout", "60", "--module", "module"]);
    assert_eq!(output.status.code(), Some(33 << 1 | 1), "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through EBX\n");
    let run = RunRows::open(&lab.run_file());
    assert_eq!(run.fact("boot_protocol"), "pvh");
    assert_eq!(run.column(&format!("SELECT count(*) FROM host_fault WHERE gpa >= '{TOUCHED}'")), ["8"]);
}

#[test]
fn every_way_to_end_is_told_apart() {
    let lab = lab!();
    for (kernel, command_line, status, end) in [
        ("bare.c", "exit 0", 1, "exit port"),
        ("bare.c", "exit 127", 255, "exit port"),
        ("bare.c", "halt", 0, "halt"),
        ("pvh.S", "sleeps under an interrupt controller", 0, "halt"),
        ("bare.c", "reset", 0, "reset"),
        // Bytes of a string instruction all go to one port, a word to two.
        ("bare.c", "wide", 3, "exit port"),
    ] {
        let output = boot(&lab, kernel, command_line, &["--timeout", "60"]);
        assert_eq!(output.status.code(), Some(status), "{command_line}: {}", text(&output));
        let run = RunRows::open(&lab.run_file());
        assert_eq!((run.fact("complete").as_str(), run.fact("guest_end").as_str()), ("1", end), "{command_line}");
    }
    let output = boot(&lab, "bare.c", "null", &[]);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    assert!(text(&output).contains("triple-faulted"), "{}", text(&output));
    // SVM keeps no state through a triple fault, so KVM shows a vCPU after its reset.
    if RunRows::open(&lab.run_file()).fact("host_mmu") != "npt" {
        assert!(text(&output).contains("_start"), "no symbol of the kernel: {}", text(&output));
    }
}

#[test]
fn a_kernel_that_never_ends_is_stopped() {
    let lab = lab!();
    for command_line in ["spin", "flood"] {
        let output = boot(&lab, "bare.c", command_line, &["--timeout", "1", "--json"]);
        assert_eq!(output.status.code(), Some(124), "{command_line}: {}", text(&output));
        let run = RunRows::open(&lab.run_file());
        assert_eq!(run.fact("complete"), "0");
        assert_eq!(
            run.column("SELECT text FROM console ORDER BY id LIMIT 1"),
            [format!("asked for: {command_line}\n")]
        );
    }
    let run = RunRows::open(&lab.run_file());
    let [serial, unclaimed] = ["device.serial_bytes", "device.unclaimed_port_bytes"]
        .map(|key| run.fact(key).parse::<u64>().expect("a number"));
    assert!(serial > 100 && unclaimed > 100, "{serial} {unclaimed}");
}

#[test]
fn foreign_kernels_that_cannot_be_loaded_are_refused_by_name() {
    let lab = lab!();
    let good = fs::read(compile_kernel(lab.folder(), "bare.c")).expect("a kernel");
    // The only PT_LOAD is the first program header, at 64: its physical address at +24, its size in memory at +40.
    let changed = |offset: usize, value: u64| {
        let mut elf = good.clone();
        elf[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        elf
    };
    let refused = |elf: &[u8], words: &[&str]| {
        fs::write(lab.folder().join("bad.elf"), elf).expect("a file");
        let output = lab.pagelab(&["run", "-o", "test.pagelab", "--kernel", "bad.elf", "--memory", "16M"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(125), "{said}");
        for word in words.iter().chain(&["bad.elf"]) {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
        assert!(!lab.run_file().exists(), "{said}");
    };
    refused(&good[..good.len() / 4], &["ELF"]);
    refused(&changed(64 + 24, 1 << 40), &["give more with --memory"]);
    refused(&changed(64 + 24, u64::MAX - 4096), &["--memory"]);
    refused(&changed(64 + 24, 0x1000), &["link it to 0x100000"]);
    refused(&changed(64 + 40, 1 << 24), &["give more with --memory"]);
    refused(&changed(64 + 40, u64::MAX), &["beyond all addresses"]);
    refused(&changed(24, 1 << 45), &["its entry 0x200000000000"]);
    let large = "x".repeat(70_000);
    let output = boot(&lab, "bare.c", &large, &[]);
    assert!(text(&output).contains("longer than 65535 bytes"), "{}", output.status);
    fs::write(lab.folder().join("large"), vec![0; 17 << 20]).expect("a file");
    let output = boot(&lab, "bare.c", "", &["--memory", "16M", "--module", "large"]);
    assert!(text(&output).contains("give at least --memory"), "{}", text(&output));
}

#[test]
fn options_of_the_other_kind_of_kernel_are_refused() {
    let lab = lab!();
    let output = boot(&lab, "bare.c", "halt", &["hello"]);
    assert!(text(&output).contains("leave out PROGRAM"), "{}", text(&output));
    let output = lab.run(&["--append", "x"], "hello", &[]);
    assert!(text(&output).contains("--kernel"), "{}", text(&output));
    fs::write(lab.folder().join("kernel.elf"), KERNEL).expect("a file");
    let output = lab.run(&["--kernel", "kernel.elf", "--append", "x"], "hello", &[]);
    assert!(text(&output).contains("not pagelab's"), "{}", text(&output));
    let output = lab.pagelab(&["run", "--kernel", "kernel.elf"]);
    assert!(text(&output).contains("name one"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(125));
}
