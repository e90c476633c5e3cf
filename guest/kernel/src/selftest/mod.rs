//! The in-guest tests: what only the real machine shows of the allocators and of paging, and what each operation costs.
//!
//! Only the kernel that is built with feature `selftest` has them. `pagelab test` boots it once for each test, so a test
//! finds a kernel that has just booted and may leave it in ruins.
//!
//! ```text
//!  pagelab test                          this kernel
//!  ------------                          -----------
//!  section .selftests of the ELF file    entry.rs     test!: name, machine and function, in one place
//!  boots the machine that a test needs   boot         as ever, up to the first program
//!  program = selftest:NAME, argv = N     mod.rs       runs entry N, then looks for leaks and broken invariants
//!  console text, exit status             check.rs     ensure!, ensure_eq!: what failed, with file and line
//!                                        probe.rs     accesses that may fault, and come back to tell
//!                                        ledger.rs    what was in use before and after
//! ```
//!
//! # Rules
//!
//! - A test is `fn(&mut Kernel) -> Outcome`, registered by `test!` beside it; there is no other list.
//! - It gives back what it took. What is still in use after it is a leak, and a failure; so is a broken invariant of the
//!   frame allocator ([`ledger`]).
//! - It takes seconds: ring 0 is emulated on some hosts, at 0.3 million instructions a second.
//! - It depends on nothing but its machine: same machine, same steps. No times, no random numbers of the host's.
//! - A benchmark (`Machine::BENCHMARK`) does its operation [`iterations`] times and nothing else that depends on that number.
//!
//! Where to look: [`frames`] blocks of frames; [`zones`] who gets them where, and exhaustion; [`slab`] caches and kmalloc,
//! [`damage`] what is done to them on purpose; [`mempool`] their promise; [`paging`] faults of a program's memory; [`tables`] the kernel's own page
//! tables; [`vmalloc`] and [`highmem`] its own virtual memory; [`harness`] tests of all this, and tests that fail to show how that looks;
//! [`bench`] costs.
#![expect(clippy::result_large_err, reason = "there is no heap for a failure's text, and a test fails once")]

mod bench;
mod check;
mod damage;
mod entry;
mod frames;
mod harness;
mod highmem;
mod hog;
mod ledger;
mod mempool;
mod paging;
pub(crate) mod probe;
mod report;
mod slab;
mod tables;
mod vmalloc;
mod zones;

use core::str;

use pagelab_abi::selftest::{FAILED, PASSED, PROGRAM_PREFIX, SKIPPED};

use self::{
    check::{Failure, Outcome},
    entry::Entry,
    ledger::Ledger,
};
use crate::{arch::port, state::Kernel};

/// Runs the test that the boot info names and ends the run; returns if it names a program.
pub(crate) fn run_if_wanted(kernel: &mut Kernel) {
    if kernel.boot.program.starts_with(PROGRAM_PREFIX.as_bytes()) {
        run(kernel);
    }
}

fn run(kernel: &mut Kernel) -> ! {
    let index = argument(kernel, 1).expect("the host names a test by its index");
    let entry = entry::all().get(index as usize).expect("the host knows how many tests there are");
    let status = match run_entry(kernel, entry) {
        Ok(()) => PASSED,
        Err(failure) if failure.is_skip() => {
            report::say(kernel, format_args!("{failure}"));
            SKIPPED
        }
        Err(failure) => {
            report::say(kernel, format_args!("{failure}"));
            report::memory(kernel);
            FAILED
        }
    };
    port::exit(u32::from(status) << 8)
}

/// The test itself, and what must hold after each.
fn run_entry(kernel: &mut Kernel, entry: &'static Entry) -> Outcome {
    let before = Ledger::take(kernel);
    (entry.body)(kernel)?;
    if entry.is_benchmark() {
        // What is counted is the operation: the walk over all frames would only add to it.
        return Ok(());
    }
    before.compare(kernel, !entry.is_large())
}

/// How often a benchmark does its operation.
fn iterations(kernel: &Kernel) -> Result<u64, Failure> {
    argument(kernel, 2).ok_or_else(|| Failure::new(format_args!("the host did not say how many iterations")))
}

/// An argument of the boot info, a number in decimal.
fn argument(kernel: &Kernel, index: usize) -> Option<u64> {
    let boot = kernel.boot;
    let block = kernel.mm.machine.bytes(boot.command_start, boot.command_size as usize);
    let text = block.split(|&byte| byte == 0).take(boot.argc as usize).nth(index)?;
    str::from_utf8(text).ok()?.parse().ok()
}
