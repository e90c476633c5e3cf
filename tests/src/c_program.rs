//! C programs, compiled when a test needs them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles `tests/programs/NAME.c` with `gcc -static -O2` into `folder`.
pub fn compile(folder: &Path, name: &str) -> PathBuf {
    compile_as(folder, name, "-static")
}

/// Compiles `tests/programs/NAME.c` with `gcc -O2`, linked as `link` says, into `folder`.
pub fn compile_as(folder: &Path, name: &str, link: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).with_extension("c");
    let program = folder.join(name);
    let output = Command::new("gcc")
        .args([link, "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .arg("-lm")
        .output()
        .unwrap_or_else(|error| panic!("gcc: {error}; scripts/setup.sh installs it"));
    assert!(output.status.success(), "gcc {}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    program
}
