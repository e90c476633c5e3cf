//! The CPU: entry code, descriptor tables, ports, registers.

pub(crate) mod access;
pub(crate) mod cpu;
pub(crate) mod descriptors;
pub(crate) mod entry;
pub(crate) mod port;
