//! The tests that need KVM, once more in the nested rigs: true NPT and true EPT. They need no KVM here, but minutes:
//! `scripts/test.sh` runs them, and so does `cargo nextest run --run-ignored all`.

use std::{path::Path, process::Command};

use pagelab_tests::text;

/// Runs `scripts/rig-tests.sh` and shows its counts.
fn rig(name: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/rig-tests.sh");
    let output = Command::new(&script).arg(name).output().unwrap_or_else(|error| panic!("{script:?}: {error}"));
    assert!(output.status.success(), "{}", text(&output));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "takes minutes: scripts/test.sh runs it"]
fn amd() {
    rig("amd");
}

#[test]
#[ignore = "takes minutes: scripts/test.sh runs it"]
fn intel() {
    rig("intel");
}
