//! A few runs of the system-call fuzzer, each in a guest of its own.

use pagelab_fuzz::{
    driver::{self, Options, Until, fuzz},
    targets::Syscalls,
};

#[test]
fn system_calls_with_wild_arguments_do_no_harm() {
    pagelab::vm::machine::open_kvm().expect("this test needs KVM");
    let options = Options { until: Until::Cases(6), seed: 1, first: 0, findings: None, watch: false };
    let outcome = fuzz(&mut Syscalls::new(), &options);
    let found: Vec<_> = outcome.findings.iter().map(|finding| (finding.case, &finding.what)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_was_found_stays_mended() {
    pagelab::vm::machine::open_kvm().expect("this test needs KVM");
    // Seed of the program, MiB of memory, whether events are recorded.
    let inputs: [(u64, u8, u8); 3] = [
        // mlock of a length that wraps around looked for pages without end.
        (0x1dc8_f8da_b6d2_da3b, 64, 1),
        // Two call sites that share a place in the kernel's table were announced again and again.
        (0x3dee_4424_e211_4967, 64, 1),
        (0x1dc6_a610_a442_6c48, 16, 1),
    ];
    for (seed, memory, recorded) in inputs {
        let input = [&seed.to_le_bytes()[..], &[memory, recorded]].concat();
        let found = driver::check(&mut Syscalls::new(), &input);
        assert_eq!(found, Ok(()), "seed {seed:#x}");
    }
}
