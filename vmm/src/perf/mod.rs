//! KVM's tracepoints by perf events, for threads of this process or of another.
//!
//! - [`Tracefs`] finds the tracepoints and reads their [`Format`]s;
//! - [`ring`] opens them on one thread, all into one buffer, and counts what did not fit;
//! - [`clock`] maps perf's times to the time-stamp counter;
//! - [`kvm`] decodes KVM's records by their formats;
//! - [`recording`] does all of it for a set of threads, on a thread of its own. No watched thread ever waits for it.

pub mod clock;
mod format;
pub mod kvm;
pub mod recording;
pub mod ring;
#[cfg(test)]
pub(crate) mod testdata;
mod tracefs;

use std::io;

pub use format::{Field, Format, FormatError, Symbols};
pub use tracefs::Tracefs;
pub(crate) use tracefs::detached_mount;

/// What a host lacks for tracepoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is missing.
    pub why: String,
    /// The exact fix.
    pub remedy: &'static str,
}

/// Why tracepoints could not be watched.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// The host lacks something.
    #[error("{}; {}", .0.why, .0.remedy)]
    Lacking(Lack),
    /// A call failed.
    #[error("failed to {what}: {error}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The thread that empties the buffers ended without a word.
    #[error("the thread that reads the tracepoints died; this is a bug of pagelab, please report it")]
    Died,
}

impl From<Lack> for PerfError {
    fn from(lack: Lack) -> PerfError {
        PerfError::Lacking(lack)
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> PerfError {
    move |error| PerfError::Failed { what, error }
}
