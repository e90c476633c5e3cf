//! Reserved string ids: names that records and snapshots use for memory that no file is behind.
//!
//! The guest announces them like any other string, before their first use.

/// The heap that `brk` moves.
pub const HEAP: u32 = 1;
/// The stack the program was started on.
pub const STACK: u32 = 2;
/// Shared anonymous memory.
pub const SHARED_ANONYMOUS: u32 = 3;

/// Every reserved id with its text, as `/proc/PID/maps` writes it.
pub const RESERVED: &[(u32, &str)] = &[(HEAP, "[heap]"), (STACK, "[stack]"), (SHARED_ANONYMOUS, "/dev/zero (deleted)")];

/// Names of caches of kernel objects: this and the cache's number.
pub const FIRST_CACHE: u32 = 16;
/// Caches that have a name.
pub const CACHES: u32 = 240;
