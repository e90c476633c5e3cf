//! What `--overcommit` makes of a program that asks for more than there is.

use pagelab_tests::{compile, lab, text};

/// A gigabyte of 64 MiB: refused by the heuristic unless the program says that it reserves nothing, never refused, refused
/// always (Linux's Documentation/mm/overcommit-accounting.rst).
#[test]
fn more_than_there_is_goes_by_the_mode() {
    let lab = lab!();
    compile(lab.folder(), "overcommit");
    for (mode, expected) in [("0", "0 ENOMEM ok\n"), ("1", "1 ok ok\n"), ("2", "2 ENOMEM ENOMEM\n")] {
        let output = lab.run(&["--console", "--overcommit", mode], "./overcommit", &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", text(&output));
    }
}
