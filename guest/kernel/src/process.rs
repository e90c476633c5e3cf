//! The program: its memory, its name, its end.

use pagelab_abi::{
    code::{Moment, ProcessOp, SnapshotKind},
    event,
    snapshot::{MmHeader, VmallocEntry},
};
use pagelab_mm::{space::AddressSpace, trace::Trace};

use crate::{
    arch::port,
    fs::{Descriptors, Slot, path::Found},
    state::Kernel,
    syscall::{Controls, Identity, Limits, Scheduling},
};

/// The process id that the first program gets.
pub(crate) const FIRST_PID: u32 = 100;

/// The one process.
pub(crate) struct Process {
    /// Process id.
    pub(crate) pid: u32,
    /// Its memory.
    pub(crate) space: AddressSpace,
    /// Path of its program.
    pub(crate) program: &'static [u8],
    /// String id of that path.
    pub(crate) name: u32,
    /// Where its parts were at the start.
    pub(crate) layout: Layout,
    /// `/proc/PID/oom_score_adj`.
    pub(crate) oom_score_adj: i16,
    /// Bytes of its executable segments.
    pub(crate) text_bytes: u64,
    /// The file that it runs.
    pub(crate) executable: Found,
    /// Its descriptors.
    pub(crate) descriptors: Descriptors,
    /// Its working directory (an inode slot).
    pub(crate) directory: Slot,
    /// Permission bits that new files do not get.
    pub(crate) umask: u32,
    /// Where its registered rseq area is; 0 if there is none.
    pub(crate) rseq: u64,
    /// The signature it was registered with.
    pub(crate) rseq_signature: u32,
    /// Where the system call under way came from.
    pub(crate) syscall_rip: u64,
    /// Number of the last system call that failed: the one that is started again after a signal.
    pub(crate) failed_syscall: u32,
    /// Its name, as `prctl` may change it; NUL-terminated.
    pub(crate) comm: [u8; 16],
    /// Users, groups, process group.
    pub(crate) identity: Identity,
    /// Scheduling policy and priorities.
    pub(crate) scheduling: Scheduling,
    /// Limits that are not memory's.
    pub(crate) limits: Limits,
    /// What `prctl` keeps.
    pub(crate) controls: Controls,
    /// What `personality` keeps.
    pub(crate) personality: u32,
}

/// Where the parts of a program are: each the first byte, and the first after it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Layout {
    /// Executable segments.
    pub(crate) code: [u64; 2],
    /// Initialised data.
    pub(crate) data: [u64; 2],
    /// The arguments' strings.
    pub(crate) arguments: [u64; 2],
    /// The environment's strings.
    pub(crate) environment: [u64; 2],
    /// The auxiliary vector.
    pub(crate) auxv: [u64; 2],
}

impl Process {
    /// A process without a program.
    pub(crate) fn new(space: AddressSpace) -> Process {
        Process {
            pid: FIRST_PID,
            space,
            program: &[],
            name: 0,
            layout: Layout::default(),
            oom_score_adj: 0,
            text_bytes: 0,
            executable: Found { dentry: 0, inode: 0 },
            descriptors: Descriptors::new(),
            directory: 0,
            umask: 0o022,
            rseq: 0,
            rseq_signature: 0,
            syscall_rip: 0,
            failed_syscall: 0,
            comm: [0; 16],
            identity: Identity::ROOT,
            scheduling: Scheduling::default(),
            limits: Limits::DEFAULT,
            controls: Controls::DEFAULT,
            personality: 0,
        }
    }

    /// Takes the program's path, and its name from that.
    pub(crate) fn set_program(&mut self, path: &'static [u8]) {
        self.program = path;
        let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or(&[]);
        let length = base.len().min(self.comm.len() - 1);
        self.comm = [0; 16];
        self.comm[..length].copy_from_slice(&base[..length]);
    }

    /// Ends the program with a wait status (`wait(2)`'s encoding), and with it the run.
    pub(crate) fn end(kernel: &mut Kernel, status: u32) -> ! {
        kernel.snapshots(Moment::Exit);
        kernel.say_slab_report();
        let usage = &kernel.process.space.usage;
        let exit = event::Process {
            op: ProcessOp::Exit,
            padding: [0; 3],
            status,
            program: kernel.process.name,
            padding2: 0,
            min_flt: usage.min_flt,
            maj_flt: usage.maj_flt,
            entry: 0,
        };
        kernel.mm.trace.emit(exit, 0);
        port::exit(status)
    }
}

impl Kernel {
    /// The process's memory as a whole.
    pub(crate) fn mm_header(&self) -> MmHeader {
        self.process.space.snapshot_header(self.process.comm, self.process.text_bytes)
    }

    /// Sends the state of memory to the host.
    pub(crate) fn snapshots(&mut self, moment: Moment) {
        self.snapshot.begin(SnapshotKind::Mm, moment);
        let header = self.mm_header();
        let snapshot = &mut self.snapshot;
        snapshot.put(&mut self.mm.trace, &header);
        let mut slot = self.process.space.vmas.first;
        while slot != 0 {
            let entry = self.process.space.snapshot_vma(&self.mm, slot);
            snapshot.put(&mut self.mm.trace, &entry);
            slot = self.mm.vma(slot).next;
        }
        snapshot.end(&mut self.mm.trace);

        self.snapshot.begin(SnapshotKind::Memory, moment);
        let header = self.mem_header();
        self.snapshot.put(&mut self.mm.trace, &header);
        let (snapshot, mm) = (&mut self.snapshot, &mut self.mm);
        for zone in mm.frames.zone_entries(&mm.machine) {
            snapshot.put(&mut mm.trace, &zone);
        }
        snapshot.end(&mut mm.trace);

        self.snapshot.begin(SnapshotKind::Slab, moment);
        for cache in self.mm.slabs.entries() {
            self.snapshot.put(&mut self.mm.trace, &cache);
        }
        self.snapshot.end(&mut self.mm.trace);

        self.snapshot.begin(SnapshotKind::Vmalloc, moment);
        let mut at = 0;
        while let Some(area) = self.mm.next_area(at) {
            // Where events are off, nobody has told the caller's name yet.
            let caller = self.mm.trace.location(area.site).map_or(0, |place| self.mm.trace.call_site(place));
            self.snapshot.put(&mut self.mm.trace, &VmallocEntry { caller, ..area.entry() });
            at = area.end;
        }
        self.snapshot.end(&mut self.mm.trace);

        self.snapshot.begin(SnapshotKind::VmStat, moment);
        self.snapshot.put(&mut self.mm.trace, &self.mm.stats.values);
        self.snapshot.end(&mut self.mm.trace);

        if moment == Moment::Exit {
            self.snapshot.begin(SnapshotKind::MissingSyscalls, moment);
            for entry in self.missing.entries() {
                self.snapshot.put(&mut self.mm.trace, entry);
            }
            self.snapshot.end(&mut self.mm.trace);
        }
    }
}
