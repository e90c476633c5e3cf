//! Builds the guest (the kernel and the built-in programs) for x86_64-unknown-none and embeds it: see `src/builtin.rs`.
//!
//! The guest is built by a cargo of its own: another target, another profile, and none of the flags that the host's
//! build was given.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const TARGET: &str = "x86_64-unknown-none";
const PROFILE: &str = "guest";
/// File name of the kernel.
const KERNEL: &str = "pagelab-kernel";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            for line in problem.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().ok_or("the crate has no workspace around it")?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    for input in
        ["guest/abi", "guest/mm", "guest/kernel", "guest/user", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"]
    {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    check_target()?;

    // The kernel twice, from the same folder: what both have in common is built once. The second build's file takes the
    // first one's place, so that is put aside.
    let kernel_source = root.join("guest/kernel");
    let built = cargo_build(&kernel_source, &out.join("kernel"), &["selftest"])?.join(KERNEL);
    let selftest = out.join("selftest-kernel");
    copy_if_changed(&built, &selftest)?;
    let kernel = cargo_build(&kernel_source, &out.join("kernel"), &[])?.join(KERNEL);
    let user = root.join("guest/user");
    let binaries = cargo_build(&user, &out.join("user"), &[])?;

    let mut text = String::new();
    for (name, what, file) in [
        ("KERNEL", "The guest kernel", &kernel),
        ("SELFTEST_KERNEL", "The guest kernel with the in-guest tests in it", &selftest),
    ] {
        text += &format!(
            "/// {what}, an ELF file with its symbols.\npub static {name}: &[u8] = include_bytes!({file:?});\n\n"
        );
    }
    text += "static PROGRAMS: &[Builtin] = &[\n";
    for (name, description) in programs(&user.join("src/bin"))? {
        let elf = binaries.join(&name);
        writeln!(text, "    Builtin {{ name: {name:?}, description: {description:?}, elf: include_bytes!({elf:?}) }},")
            .map_err(|error| error.to_string())?;
    }
    text += "];\n";
    let file = out.join("builtin.rs");
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("environment variable {name}: {error}"))
}

/// Fails with the one command that helps when the toolchain has no `core` for the guest's target.
fn check_target() -> Result<(), String> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    let directory = String::from_utf8_lossy(&output.stdout);
    let there = fs::read_dir(directory.trim()).is_ok_and(|mut entries| entries.next().is_some());
    if output.status.success() && there {
        return Ok(());
    }
    Err(format!("the guest needs Rust's bare-metal target, which is not installed. Run: rustup target add {TARGET}"))
}

/// Copies a file unless the copy has its contents already, so that nothing is built anew for it.
fn copy_if_changed(from: &Path, to: &Path) -> Result<(), String> {
    let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).map_err(|error| format!("{}: {error}", to.display()))
}

/// Builds the crate in `directory` with these features and returns where its binaries are.
fn cargo_build(directory: &Path, target_directory: &Path, features: &[&str]) -> Result<PathBuf, String> {
    let mut cargo = Command::new(variable("CARGO")?);
    // In the crate's directory, so that its own .cargo/config.toml holds.
    cargo.current_dir(directory).args(["build", "--bins", "--profile", PROFILE, "--target", TARGET]);
    cargo.args(["--features", &features.join(",")]);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_the_outer_build) {
            cargo.env_remove(name);
        }
    }
    cargo.env("CARGO_TARGET_DIR", target_directory);
    let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the guest could not be built ({status}): run `cargo build` in {}", directory.display()));
    }
    Ok(target_directory.join(TARGET).join(PROFILE))
}

/// Whether an environment variable tells how the host's side is built. What says where cargo and rustup live and how
/// they reach the network stays.
fn is_of_the_outer_build(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_SOURCE_", "CARGO_TERM_"];
    const REMOVED: [&str; 7] = ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC", "RUSTDOC", "TARGET", "PROFILE", "OUT_DIR"];
    let of_cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    let wrapper = name.starts_with("RUSTC_");
    of_cargo || wrapper || REMOVED.contains(&name)
}

/// Names and descriptions of the programs: the files in `directory`, and the first line of each one's documentation.
fn programs(directory: &Path) -> Result<Vec<(String, String)>, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut programs = Vec::new();
    for entry in fs::read_dir(directory).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        let (Some(name), Some("rs")) = (
            path.file_stem().and_then(|name| name.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let description = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//! "))
            .ok_or_else(|| format!("{}: does not begin with a line of documentation", path.display()))?;
        programs.push((name.to_owned(), description.to_owned()));
    }
    programs.sort();
    Ok(programs)
}
