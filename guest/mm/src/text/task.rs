//! What the texts about a process tell beside its memory.

/// Signals as bit masks: bit `n - 1` is signal `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Waiting to be delivered to the thread.
    pub pending: u64,
    /// Waiting to be delivered to the process.
    pub shared_pending: u64,
    /// Blocked.
    pub blocked: u64,
    /// Ignored.
    pub ignored: u64,
    /// Caught by a handler.
    pub caught: u64,
}

/// A process with one thread: what its kernel knows of it that a snapshot of its memory does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Parent.
    pub ppid: u32,
    /// Process group.
    pub pgrp: u32,
    /// Session.
    pub session: u32,
    /// User ids: real, effective, saved, of the file system.
    pub uids: [u32; 4],
    /// Group ids, in the same order.
    pub gids: [u32; 4],
    /// Nice value, -20 to 19.
    pub nice: i32,
    /// File mode creation mask.
    pub umask: u32,
    /// Descriptors the table has room for.
    pub fd_size: u32,
    /// Signals.
    pub signals: Signals,
    /// RLIMIT_SIGPENDING, the second number of SigQ.
    pub sigpending_limit: u64,
    /// RLIMIT_RSS in bytes.
    pub rss_limit: u64,
    /// Time in ring 3, in ticks of 1/100 s.
    pub user_ticks: u64,
    /// When it started, in ticks after boot.
    pub start_ticks: u64,
    /// First and last byte of the text.
    pub code: [u64; 2],
    /// First byte of the initialised data, and the first after it.
    pub data: [u64; 2],
    /// Where the stack pointer was at the start.
    pub start_stack: u64,
    /// First byte of the arguments, and the first after them.
    pub arguments: [u64; 2],
    /// First byte of the environment, and the first after it.
    pub environment: [u64; 2],
}
