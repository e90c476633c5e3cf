//! What a running VM hands to the recorder.

use std::ops::Range;

use pagelab_abi::{code::FaultKind, event::Bulk, record::Record};

use crate::vm::tables::PageTables;

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
    /// Several of them, in the order in which they were resolved.
    HostFaults(Vec<HostFault>),
    /// KVM told of something else: an exit, an exception given to the guest, an entry into shadow tables ...
    KvmEvent(KvmEvent),
    /// The host took pages away from the guest.
    Eviction(Interval),
    /// Pages the guest wrote during an interval, by KVM's dirty log.
    Dirty(Interval),
    /// The pages of RAM that the host has a page behind.
    Present(RunBound, Vec<Range<u64>>),
    /// The guest's page tables as its end left them.
    PageTables(PageTables),
    /// A kernel that writes no records wrote to its serial port. Untrusted.
    Console {
        /// Host TSC when it came.
        tsc: u64,
        /// 1 for standard output, 2 for standard error.
        stream: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// What runs in the guest, for the names of its instructions.
    Images(Images),
    /// A count, as it stands.
    Sample(Sample),
    /// A page fault of the guest was trapped.
    Trap(Trap),
    /// The lab has something to say that belongs into the run file.
    Message {
        /// What sort of thing, such as `stop`.
        kind: &'static str,
        /// Several lines.
        text: String,
    },
    /// Pages the guest wrote between two write protections.
    Written(Interval),
    /// A row of the `run` view that is known before the end.
    Fact(&'static str, String),
    /// The guest broke a rule of the boundary (head beyond the ring, bad bulk address ...): said in the report.
    ProtocolError(String),
}

/// The executables of a guest, as ELF files; empty where there is none.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// The kernel.
    pub kernel: Vec<u8>,
    /// The program.
    pub program: Vec<u8>,
}

/// When the host's pages were looked at. The numbers are the run file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunBound {
    /// Before the first instruction: what the VMM loaded.
    Start = 1,
    /// After the last one.
    End = 2,
}

impl RunBound {
    /// Both.
    pub(super) const ALL: [RunBound; 2] = [RunBound::Start, RunBound::End];

    /// Its name in the run file.
    pub(super) fn name(self) -> &'static str {
        match self {
            RunBound::Start => "start",
            RunBound::End => "end",
        }
    }
}

/// What the vCPU wanted of the page, as far as the source can know. The numbers are the run file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The source cannot tell.
    Unknown = 0,
    /// Read; from a source that cannot tell these two apart, also execute.
    #[default]
    Read = 1,
    /// Write.
    Write = 2,
    /// Instruction fetch.
    Execute = 3,
}

/// Why the host had to act. The numbers are the run file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostFaultKind {
    /// There was no page.
    #[default]
    Missing = 1,
    /// There was a page in the page cache of the backing file, but no mapping of it.
    Minor = 2,
    /// The page was write-protected, to see its first write.
    WriteProtect = 3,
    /// There was no page any more: the host had taken it away, and now gave it back.
    Refault = 4,
    /// The host kept the page from the guest by its mapping's protection.
    Protected = 5,
    /// KVM had no translation; its own view, whatever the reason was.
    Violation = 6,
}

impl HostFaultKind {
    /// Every kind with its name in the run file.
    pub(super) const NAMES: [(HostFaultKind, &str); 6] = [
        (HostFaultKind::Missing, "missing"),
        (HostFaultKind::Minor, "minor"),
        (HostFaultKind::WriteProtect, "write_protect"),
        (HostFaultKind::Refault, "refault"),
        (HostFaultKind::Protected, "protected"),
        (HostFaultKind::Violation, "violation"),
    ];

    /// Its name in the run file.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// Which translation a host fault interrupted. The numbers are the run file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// That of the address the guest wanted.
    Final = 1,
    /// That of one of the guest's own page tables, on the way there.
    Walk = 2,
}

/// One host-side (second-dimension) fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFault {
    /// The vCPU whose thread faulted; `None` if another thread of the VMM did.
    pub vcpu: Option<u16>,
    /// Host TSC when the source saw it.
    pub tsc_begin: u64,
    /// Host TSC when it was resolved.
    pub tsc_end: u64,
    /// Guest-physical byte address.
    pub gpa: u64,
    /// Read, write or execute, as far as the source knows.
    pub access: Access,
    /// Name of the source, such as `uffd`.
    pub source: &'static str,
    /// Why the host had to act.
    pub kind: HostFaultKind,
    /// Bytes that its resolution made present, or writable again after a write protection; 0 where it did neither or
    /// the source does not know.
    pub bytes: u64,
    /// Guest RIP, where the source knows it.
    pub rip: Option<u64>,
    /// Guest-virtual address, where the source knows it.
    pub gva: Option<u64>,
    /// The hardware's code (EPT exit qualification, #NPF EXITINFO1, #PF error code), where the source knows it.
    pub error_code: Option<u64>,
    /// Which translation was interrupted, where the source knows it.
    pub stage: Option<Stage>,
}

/// Something KVM told beside faults.
#[derive(Clone, Debug, Default)]
pub struct KvmEvent {
    /// The vCPU; `None` if it is not known.
    pub vcpu: Option<u16>,
    /// Host TSC.
    pub tsc: u64,
    /// Host TSC when the vCPU entered the guest again, for an exit; `None` for others, and where that was not seen.
    pub tsc_end: Option<u64>,
    /// The tracepoint's name, such as `kvm_exit`.
    pub name: &'static str,
    /// What it says in a word: the exit reason, the exception.
    pub reason: Option<String>,
    /// Guest RIP.
    pub rip: Option<u64>,
    /// The address it is about.
    pub address: Option<u64>,
    /// Its code: error code; for an exit, exit qualification (VT-x) or EXITINFO1 (SVM).
    pub code: Option<u64>,
    /// For an exit, IDT-vectoring information (VT-x) or EXITINFO2 (SVM).
    pub code2: Option<u64>,
}

/// What a [`Sample`] counts. The numbers are the run file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SampleKind {
    /// One of KVM's own statistics.
    Counter = 1,
    /// Exits of one reason.
    Exit = 2,
    /// Other events of KVM's, by tracepoint and reason.
    Event = 3,
}

impl SampleKind {
    /// Every kind.
    pub(crate) const ALL: [SampleKind; 3] = [SampleKind::Counter, SampleKind::Exit, SampleKind::Event];

    /// Its name in the run file.
    pub(super) fn name(self) -> &'static str {
        match self {
            SampleKind::Counter => "counter",
            SampleKind::Exit => "exit",
            SampleKind::Event => "event",
        }
    }
}

/// A count at one time. One that has not changed is not told again; one that was never told is 0.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Host TSC.
    pub tsc: u64,
    /// What is counted.
    pub kind: SampleKind,
    /// Its name: KVM's name of a statistic, an exit reason, a tracepoint with its reason.
    pub name: String,
    /// The count.
    pub value: u64,
    /// Of exits: ticks from exit to entry, all together.
    pub ticks: Option<u64>,
}

/// A page fault of the guest, as the host saw it when it trapped it.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// The vCPU.
    pub vcpu: u16,
    /// Host TSC.
    pub tsc: u64,
    /// How it was trapped, such as `port`.
    pub method: &'static str,
    /// Faulting guest-virtual address.
    pub gva: u64,
    /// The CPU's error code (SDM vol. 3, 4.7).
    pub error_code: u64,
    /// Instruction that faulted.
    pub rip: u64,
    /// How it was resolved, where the trap knows it.
    pub kind: Option<FaultKind>,
}

/// A count over an interval of time.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// Host TSC at its beginning.
    pub tsc_begin: u64,
    /// Host TSC at its end.
    pub tsc_end: u64,
    /// Pages of 4 KiB.
    pub pages: u64,
}

/// How a userfaultfd source fared: its half of the conservation check. Pages are of 4 KiB whatever the backing's unit.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyTally {
    /// Faults answered, of any kind.
    pub faults: u64,
    /// Pages made present by UFFDIO_COPY or UFFDIO_MOVE.
    pub copied: u64,
    /// Pages made present by UFFDIO_CONTINUE: the page cache had them.
    pub continued: u64,
    /// Faults whose page was there already when they were answered.
    pub already_there: u64,
    /// Present pages that the lab took away (`--evict`).
    pub evicted: u64,
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
