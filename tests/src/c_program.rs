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
    gcc(folder, name, name, &[link, "-O2"], &["-lm"])
}

/// Compiles `tests/programs/hostile/NAME.c`, which uses no C library: what it does is all that happens.
pub fn compile_bare(folder: &Path, name: &str) -> PathBuf {
    let flags = ["-static", "-O1", "-nostdlib", "-ffreestanding", "-fno-stack-protector"];
    let quiet = ["-Wno-array-bounds", "-Wno-unused-function"];
    gcc(folder, &format!("hostile/{name}"), name, &[&flags[..], &quiet].concat(), &["-Wl,-z,noseparate-code"])
}

/// Compiles `tests/programs/kernels/NAME` (with its suffix) into a kernel at 1 MiB, in `folder`.
pub fn compile_kernel(folder: &Path, name: &str) -> PathBuf {
    let flags = ["-static", "-O1", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie"];
    // No other register is saved or set up, and an emulated ring 0 has no other instructions.
    let registers = ["-mno-red-zone", "-mgeneral-regs-only", "-fcf-protection=none"];
    let link = ["-Wl,-z,noseparate-code", "-Wl,-Ttext-segment=0x100000", "-Wl,--build-id=none", "-Wl,-z,noexecstack"];
    gcc(folder, &format!("kernels/{name}"), name, &[&flags[..], &registers, &link].concat(), &[])
}

fn gcc(folder: &Path, source: &str, name: &str, flags: &[&str], libraries: &[&str]) -> PathBuf {
    let mut source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(source);
    if source.extension().is_none() {
        source.set_extension("c");
    }
    let program = folder.join(name);
    let output = Command::new("gcc")
        .args(flags)
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .args(libraries)
        .output()
        .unwrap_or_else(|error| panic!("gcc: {error}; scripts/setup.sh installs it"));
    assert!(output.status.success(), "gcc {}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    program
}
