//! The virtual machine: memory, boot, one vCPU, its exits, and a diagnosis when it dies.

pub mod boot;
pub mod clock;
pub mod cpu;
pub mod cpuid;
pub mod diagnosis;
pub mod exit;
pub mod foreign;
mod kick;
pub mod machine;
pub mod memory;
pub mod prefault;
pub mod ring;
pub mod shield;
pub mod slots;
pub mod stats;
pub mod symbols;
pub mod tables;
pub mod vcpu;
pub mod vcpu_hook;
pub mod walk;

pub use boot::{Image, Program};
pub use machine::{Vm, VmConfig, VmError};
pub use memory::{Backing, Ram, TraceWindow};
pub use slots::Slots;
