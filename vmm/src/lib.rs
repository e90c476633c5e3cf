//! pagelab's host side: a VMM that boots the guest kernel under KVM, records every page fault in both dimensions, and
//! answers questions from the recorded run.

pub mod analysis;
pub mod attach;
pub mod builtin;
pub mod cli;
pub mod crash;
pub mod doctor;
pub mod faults;
pub mod initramfs;
pub mod kernel_file;
pub mod perf;
pub mod program;
pub mod report;
pub mod run;
pub mod selftest;
pub mod trace;
pub mod trap;
pub mod vm;
