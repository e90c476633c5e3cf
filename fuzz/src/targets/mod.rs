//! What is fuzzed: one file a target.

mod cpio;
mod elf;
mod elf_model;
mod recorder;
mod ring;
mod run_file;
mod stream;
/// The synthetic guest of the recorder's own tests.
#[path = "../../../vmm/tests/trace_support/mod.rs"]
mod synthetic;
mod syscalls;

use tempfile::TempDir;

use crate::Target;

pub use self::{cpio::Cpio, elf::Elf, recorder::Recording, ring::Ring, run_file::RunFiles, syscalls::Syscalls};

/// A folder for run files: in memory where that is possible, for what a disk does is not looked at.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// Makes a target.
pub type Make = fn() -> Box<dyn Target>;

/// Those that need no KVM.
pub const ON_THE_HOST: [(&str, Make); 5] = [
    ("elf", || Box::new(Elf::new())),
    ("cpio", || Box::new(Cpio::new())),
    ("ring", || Box::new(Ring::new())),
    ("recorder", || Box::new(Recording::new())),
    ("run-file", || Box::new(RunFiles::new())),
];

/// The one that runs a guest.
pub const IN_A_GUEST: [(&str, Make); 1] = [("syscalls", || Box::new(Syscalls::new()))];
