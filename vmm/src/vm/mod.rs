//! The virtual machine: memory, boot, one vCPU, its exits, and a diagnosis when it dies.

pub mod backing;
pub mod beat;
pub mod boot;
pub mod clock;
pub mod cpu;
pub mod cpuid;
pub mod diagnosis;
pub mod exit;
pub mod foreign;
mod kick;
pub mod machine;
pub(crate) mod mapping;
pub mod memory;
pub mod policy;
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

pub use backing::Backing;
pub use beat::Beat;
pub use boot::{Image, Program};
pub use machine::{Vm, VmConfig, VmError};
pub use memory::{Ram, TraceWindow};
pub use policy::{MemoryPolicy, Numa, SLAB_DEBUG_LETTERS};
pub use slots::Slots;
