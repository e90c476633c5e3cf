//! A built-in program, run natively: Linux is the oracle.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use pagelab::builtin;

/// Runs the built-in program `name` on this machine.
pub fn native(folder: &Path, name: &str, args: &[&str]) -> Output {
    let program = builtin::program(name).unwrap_or_else(|| panic!("no built-in program {name}"));
    let path = folder.join(name);
    fs::write(&path, program.elf).expect("the program can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("and made executable");
    Command::new(&path).args(args).stdin(Stdio::null()).output().expect("the program starts")
}
