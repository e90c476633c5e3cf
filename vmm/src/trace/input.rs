//! What a running VM hands to the recorder.

use pagelab_abi::{event::Bulk, record::Record};

/// One observation. The recorder takes them from a channel, off the fault path.
#[derive(Debug)]
pub enum Input {
    /// Records copied out of a ring, in order. Untrusted.
    Records(Vec<Record>),
    /// Bytes that a bulk record named, copied when its port was rung; sent right after the `Records` that hold it.
    /// Untrusted.
    Bulk {
        /// The record's header and payload.
        record: Record,
        /// The payload of `record`.
        bulk: Bulk,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A host-side fault was resolved.
    HostFault(HostFault),
    /// A row of the `run` view that is known before the end.
    Fact(&'static str, String),
    /// The guest broke a rule of the boundary (head beyond the ring, bad bulk address ...): said in the report.
    ProtocolError(String),
}

/// What the vCPU wanted of the page, as far as the source can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read or execute.
    Read,
    /// Write.
    Write,
}

/// One host-side (second-dimension) fault.
#[derive(Clone, Copy, Debug)]
pub struct HostFault {
    /// The vCPU whose thread faulted; `None` if another thread of the VMM did.
    pub vcpu: Option<u16>,
    /// Host TSC when the source saw it.
    pub tsc_begin: u64,
    /// Host TSC when it was resolved.
    pub tsc_end: u64,
    /// Guest-physical byte address.
    pub gpa: u64,
    /// Read or write.
    pub access: Access,
    /// Name of the source, such as `uffd`.
    pub source: &'static str,
}

/// How a userfaultfd source fared: its half of the conservation check.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyTally {
    /// Pages resolved by UFFDIO_COPY.
    pub copied: u64,
    /// Copies that found the page there already.
    pub already_there: u64,
    /// RAM pages present when the range was registered (written by the VMM): preloaded.
    pub present_at_start: u64,
    /// RAM pages present at the end.
    pub present_at_end: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Exit status for the command line: the program's, 128+N for a signal, 124 for a timeout, 125 for the lab.
    pub exit_status: i32,
    /// Whether the guest came to its own end (the program exited or was killed by a signal the guest gave it).
    pub complete: bool,
    /// What the host has to say of an abnormal end: registers, instruction bytes, backtrace. Several lines.
    pub diagnosis: Option<String>,
    /// Wall time of the guest, nanoseconds.
    pub wall_ns: u64,
    /// Half the width of the clock calibration's interval, nanoseconds.
    pub clock_error_ns: u64,
    /// TSC ticks a second.
    pub tsc_hz: u64,
    /// The userfaultfd source's tally, if it was on.
    pub copies: Option<CopyTally>,
    /// More rows for the `run` view.
    pub facts: Vec<(String, String)>,
}
