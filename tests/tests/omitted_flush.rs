//! A kernel that never flushes the TLB (its test-only feature `omit-flush`) is caught where the TLB is the hardware's:
//! on NPT and EPT. Shadow paging hides the mistake, because KVM sees the guest's page tables change. The simulator's lazy
//! TLB catches it everywhere: guest/mm/tests/omitted_flush.rs.
//!
//! In the AMD rig, by hand: `scripts/rig-tests.sh amd omitted_flush`.

use pagelab_tests::{RunRows, broken_kernel, compile, lab, text};

/// What `stale` takes away, and how it ends where it is gone at once: SIGSEGV, or 0 with these words.
const WAYS: [(&str, i32, &str); 7] = [
    ("bytes", 0, "stale bytes: 0\n"),
    ("discarded", 0, "after discarding: 0\n"),
    ("read-only", 139, ""),
    ("no-access", 139, ""),
    ("no-execute", 139, ""),
    ("unmapped", 139, ""),
    ("shrunk-heap", 139, ""),
];

#[test]
fn a_kernel_that_omits_tlb_flushes_is_caught_on_nested_paging() {
    let lab = lab!();
    compile(lab.folder(), "stale");
    broken_kernel(lab.folder(), "omit-flush");
    let mut caught = Vec::new();
    for (way, status, said) in WAYS {
        let right = lab.run(&["--console", "--record", "guest"], "./stale", &[way]);
        assert_eq!(right.status.code(), Some(status), "{way}: {}", text(&right));
        assert_eq!(String::from_utf8_lossy(&right.stdout), said, "{way}");

        let options = ["--console", "--record", "guest", "--kernel", "kernel-omit-flush"];
        let broken = lab.run(&options, "./stale", &[way]);
        let case = format!("{way}: {}", text(&broken));
        // The mistake is the program's to suffer: it ends, and so does the run.
        assert!(!matches!(broken.status.code(), None | Some(124 | 125)), "{case}");
        if broken.status.code() != Some(status) || String::from_utf8_lossy(&broken.stdout) != said {
            println!("caught: {case}");
            caught.push(way);
        }
    }
    let mmu = RunRows::open(&lab.run_file()).fact("host_mmu");
    if mmu == "shadow" {
        eprintln!("skipped: what a missing flush does: this host pages by shadow tables, which hide it");
        return;
    }
    assert!(!caught.is_empty(), "no stale translation was seen on {mmu}");
}
