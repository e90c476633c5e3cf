//! Linux is the examiner: each program of `tests/oracle` natively and in the lab, and random operations.

use pagelab_tests::{
    Lab, compile_oracle, lab,
    oracle::{CASES, Case, MERGES_AND_MOVES, Outcome, Side, linux, sequence::Search},
};

fn side() -> Side {
    Side::Lab { pagelab: env!("CARGO_BIN_EXE_pagelab-under-test").into(), options: Vec::new(), timeout: 120 }
}

fn equal(lab: &Lab, case: &Case) {
    match case.compare(lab.folder(), &Side::Native, &side()) {
        Outcome::Equal(lines) => assert!(lines > 1, "{}: {lines} lines", case.name),
        Outcome::Different(text) => panic!("{}: {text}", case.name),
        // The rig's summary counts it by this line.
        Outcome::Skipped(reason) => println!("skipped: {reason}"),
    }
}

/// A test for each case, and one that no case has been left out.
macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let case = CASES.iter().find(|case| case.name == stringify!($name));
                equal(&lab!(), case.expect("a row of the table"));
            }
        )*

        #[test]
        fn every_case_has_a_test() {
            let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

cases! {
    maps_merge
    mprotect_holes
    mremap
    noreplace
    growsdown
    fault_signals
    file_tail
    private_file
    zero_page
    mincore
    pagemap
    smaps
    status
    whole_maps
    minor_faults
    brk
    errnos
    mlock
    msync
    madvise
    memfd
    overcommit
    limits
    stack_growth
    signal_stack
    signal_masks
}

#[test]
fn random_operations() {
    let lab = lab!();
    let (version, reason) = MERGES_AND_MOVES;
    if linux() < version {
        println!("skipped: needs Linux {}.{}: {reason}", version.0, version.1);
        return;
    }
    let search = Search::new(compile_oracle(lab.folder(), "sequence"), Side::Native, side());
    let (progress, found) = search.seed(1, 600).expect("both sides come to the end");
    if let Some(found) = found {
        panic!("after {} operations, shrunk to:\n{}", found.length, found.text);
    }
    assert_eq!(progress.operations, 600);
}
