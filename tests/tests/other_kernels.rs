//! Kernels that are not part of pagelab's file (`--kernel`).

use std::fs;

use pagelab::builtin::KERNEL;
use pagelab_tests::{Lab, RunRows, lab, text};

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
