//! A program that the guest itself finds unfit: the host's words and a shell's status, and no panic.

mod vm_support;

use pagelab::{
    builtin,
    initramfs::Initramfs,
    run::{HostMemory, RunConfig, Start, run},
    vm::Image,
};
use rusqlite::Connection;
use vm_support::need_kvm;

/// Has the guest run `/bin/x`, and says the exit status and what the guest had to say.
fn exec(files: &Initramfs<'_>) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let initramfs = files.pack().expect("an archive");
    let outcome = run(RunConfig {
        start: Start::now(),
        kernel: Image::Elf(builtin::KERNEL),
        initramfs: &initramfs,
        program: "/bin/x".to_owned(),
        args: vec!["/bin/x".to_owned()],
        env: Vec::new(),
        memory: 16 << 20,
        host_memory: HostMemory::default(),
        seed: 1,
        timeout: Some(std::time::Duration::from_secs(60)),
        sources: "guest".parse().expect("valid sources"),
        source_options: Default::default(),
        prefault: false,
        trap: None,
        policy: Default::default(),
        run_file: directory.path().join("run.pagelab"),
        console: None,
        stop: None,
        facts: Vec::new(),
    })
    .expect("the lab works");
    assert!(outcome.ending.complete, "{:?}", outcome.ending);
    let conn = Connection::open(&outcome.run_file).expect("the run file opens");
    let said = conn.query_row("SELECT group_concat(text, '') FROM message WHERE kind = 'diagnosis'", [], |row| {
        row.get::<_, Option<String>>(0)
    });
    (outcome.ending.exit_status, said.expect("the query is right").unwrap_or_default())
}

#[test]
fn a_good_program_runs_and_says_nothing() {
    need_kvm();
    let mut files = Initramfs::default();
    files.add("/bin/x", builtin::program("hello").expect("it is there").elf, 0o100).expect("a good path");
    assert_eq!(exec(&files), (0, String::new()));
}

#[test]
fn the_guest_refuses_with_the_hosts_words() {
    need_kvm();
    let hello = builtin::program("hello").expect("it is there").elf;
    let changed = |offset: usize, byte: u8| {
        let mut elf = hello.to_vec();
        elf[offset] = byte;
        elf
    };
    let cases: [(Vec<u8>, u32, &str); 7] = [
        (hello.to_vec(), 0o644, "its mode does not let it be executed"),
        (Vec::new(), 0o755, "it is empty;"),
        (b"#!/bin/sh\n".to_vec(), 0o755, "it is a script for /bin/sh;"),
        (hello[..100].to_vec(), 0o755, "its table of program headers ends beyond the file"),
        (changed(4, 1), 0o755, "it is a 32-bit program (x32);"),
        (changed(18, 183), 0o755, "it is a program for aarch64;"),
        (changed(56, 255), 0o755, "its program headers have an impossible size or number"),
    ];
    for (bytes, mode, words) in cases {
        let mut files = Initramfs::default();
        files.add("/bin/x", bytes.clone(), mode).expect("a good path");
        let (status, said) = exec(&files);
        assert_eq!(status, 126, "{said}");
        assert!(said.starts_with("/bin/x: ") && said.contains(words), "no {words:?} in {said}");
        if mode == 0o755 {
            let host = pagelab::program::check("/bin/x", &bytes).expect_err("the host refuses it too");
            assert_eq!(said.trim_end(), host.to_string());
        }
    }
}

#[test]
fn what_is_not_there_is_127_and_a_directory_126() {
    need_kvm();
    let (status, said) = exec(&Initramfs::default());
    assert_eq!(status, 127, "{said}");
    assert!(said.contains("/bin/x") && said.contains("--file"), "{said}");
    let mut files = Initramfs::default();
    files.add("/bin/x/y", &b""[..], 0o755).expect("a good path");
    let (status, said) = exec(&files);
    assert_eq!(status, 126, "{said}");
    assert!(said.contains("it is a directory"), "{said}");
}

#[test]
fn bss_that_no_memory_holds_is_no_panic() {
    need_kvm();
    let mut elf = builtin::program("hello").expect("it is there").elf.to_vec();
    // The last program header with a right to write gets 2^40 bytes of memory.
    let headers = 64..64 + 56 * usize::from(elf[56]);
    let writable = headers.step_by(56).rfind(|&at| elf[at] == 1 && elf[at + 4] & 2 != 0);
    let at = writable.expect("hello has data");
    elf[at + 40..at + 48].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let mut files = Initramfs::default();
    files.add("/bin/x", elf, 0o755).expect("a good path");
    let (status, said) = exec(&files);
    assert!(status == 0 && said.is_empty() || status == 126 && said.contains("--memory"), "{status}: {said}");
}
