//! Guest kernels with a mistake put in, built when a test needs them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::c_program::COMPILED;

/// What the kernel's own `.cargo/config.toml` builds for.
const TARGET: &str = "x86_64-unknown-none";
/// Every mistake, by the kernel's feature.
const FEATURES: [&str; 1] = ["omit-flush"];

/// The kernel with one of its test-only features, as a file in `folder`.
pub fn broken_kernel(folder: &Path, feature: &str) -> PathBuf {
    let kernel = folder.join(file_name(feature));
    match env::var_os(COMPILED) {
        Some(compiled) => copy(&Path::new(&compiled).join(file_name(feature)), &kernel),
        None => build(feature, &kernel),
    }
    kernel
}

/// Builds every kernel that a test asks for, into a folder for `PAGELAB_TEST_PROGRAMS`.
pub fn build_broken_kernels(folder: &Path) {
    for feature in FEATURES {
        build(feature, &folder.join(file_name(feature)));
    }
}

fn file_name(feature: &str) -> String {
    format!("kernel-{feature}")
}

/// Builds `guest/kernel` with a feature, into a target folder of its own beside this program's.
fn build(feature: &str, to: &Path) {
    let own = env::current_exe().expect("a program knows its file");
    let target = own.ancestors().nth(3).expect("target/PROFILE/FOLDER/FILE").join(file_name(feature));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        // What the outer build was told is not meant for the kernel.
        let outer = |name: &str| name.contains("RUSTFLAGS") || name.starts_with("CARGO_") && name != "CARGO_HOME";
        if name.to_str().is_some_and(outer) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/kernel"))
        .args(["build", "--bins", "--profile", "guest", "--features", feature, "--target-dir"])
        .arg(&target)
        .output()
        .unwrap_or_else(|error| panic!("cargo: {error}"));
    assert!(output.status.success(), "guest/kernel: {}", String::from_utf8_lossy(&output.stderr));
    copy(&target.join(TARGET).join("guest/pagelab-kernel"), to);
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}
