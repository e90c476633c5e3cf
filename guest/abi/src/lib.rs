//! What crosses the boundary between pagelab's host and its guest kernel, defined once.
//!
//! The host writes a [`boot::BootInfo`], loads the kernel and starts it. The guest writes fixed-size
//! [`record::Record`]s into the ring of the trace window ([`ring`]) and rings the ports in [`port`].
//! Everything the guest writes is untrusted input to the host: codes are *open* (a value nobody knows stays a
//! value), sizes are asserted here, and no type holds a pointer.
//!
//! Change anything in this crate's layout and [`ABI_VERSION`] must grow; the guest refuses to boot on a mismatch.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod open_code;

pub mod boot;
pub mod code;
pub mod crash;
pub mod event;
pub mod initramfs;
pub mod layout;
pub mod name;
pub mod note;
pub mod port;
pub mod record;
pub mod ring;
pub mod selftest;
pub mod snapshot;
pub mod syscall;
pub mod trap;
pub mod vm_flags;
pub mod vmstat;

/// Version of everything in this crate. The guest compares it with [`boot::BootInfo::version`] before it does
/// anything else.
pub const ABI_VERSION: u32 = 4;
