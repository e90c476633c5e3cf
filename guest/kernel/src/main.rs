//! pagelab's guest kernel: it boots, takes traps, serves system calls, and leaves memory management to `pagelab-mm`.
//!
//! One program, one vCPU, no interrupts: ring 0 runs from a trap to its return. All of the guest's unsafe code is in
//! this crate, and most of it in [`arch`] and [`boot`].
#![no_std]
#![no_main]

mod arch;
mod boot;
mod clock;
mod exec;
mod fault;
mod fs;
mod machine;
mod note;
mod object;
mod panic;
mod proc;
mod process;
mod random;
#[cfg(feature = "selftest")]
mod selftest;
mod signal;
mod state;
mod syscall;
mod take_once;
mod text;
mod trace;
mod trap;
mod user_copy;
mod zone_table;
