//! The one state of the kernel, and the text and snapshots it sends.
#![expect(unsafe_code, reason = "the state is a static that traps reach")]

use core::{
    cell::UnsafeCell,
    fmt,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, Ordering},
};

use pagelab_abi::{
    boot::{BootFlags, BootInfo, CpuidLeaf},
    code::{BulkKind, Moment},
    snapshot::MmHeader,
};
use pagelab_mm::{context::Context, mem_info::MemInfo, oom::Report};

use crate::{
    clock::LogicalClock,
    fs::Fs,
    machine::KernelMachine,
    process::Process,
    random::Random,
    signal::Signals,
    syscall::{Buffers, MissingSyscalls},
    text::Text,
    trace::{SnapshotBuffer, Tracer},
    zone_table::ZoneTable,
};

/// Memory management on the real machine.
pub(crate) type Mm = Context<KernelMachine, Tracer>;

/// Everything the kernel knows.
pub(crate) struct Kernel {
    /// What the host said at boot.
    pub(crate) boot: &'static BootInfo,
    /// Memory management.
    pub(crate) mm: Mm,
    /// The tree of files.
    pub(crate) fs: Fs,
    /// The one process.
    pub(crate) process: &'static mut Process,
    /// Its signals.
    pub(crate) signals: Signals,
    /// What programs see as time.
    pub(crate) clock: LogicalClock,
    /// What programs see as random.
    pub(crate) random: Random,
    /// System calls answered with ENOSYS.
    pub(crate) missing: MissingSyscalls,
    /// Buffers of the vectored transfer under way.
    pub(crate) buffers: Buffers,
    pub(crate) snapshot: SnapshotBuffer,
    /// The zones, for texts.
    pub(crate) zones: ZoneTable,
    text: Text<REPORT>,
}

/// Bytes of a text for the host: a report of memory has up to 400 for each zone.
const REPORT: usize = 8192;

impl Kernel {
    /// A kernel whose process has no program yet.
    pub(crate) fn new(boot: &'static BootInfo, mm: Mm, fs: Fs, process: &'static mut Process) -> Kernel {
        Kernel {
            boot,
            mm,
            fs,
            process,
            signals: Signals::new(),
            clock: LogicalClock::default(),
            random: Random::new(boot.seed),
            missing: MissingSyscalls::new(),
            buffers: Buffers::new(),
            snapshot: SnapshotBuffer::new(),
            zones: ZoneTable::new(),
            text: Text::new(),
        }
    }

    /// Whether ring 3 runs natively and ring 0 in KVM's emulator.
    #[inline]
    pub(crate) fn ring_0_is_emulated(&self) -> bool {
        BootFlags::from_bits_retain(self.boot.flags).contains(BootFlags::RING_0_EMULATED)
    }

    /// The CPU model for ring 3.
    pub(crate) fn cpu_model(&self) -> &'static [CpuidLeaf] {
        &self.boot.cpuid[..self.boot.cpuid_count as usize]
    }

    /// Tells the host of a request for frames that failed, with the state of memory; of the program that is killed for it,
    /// where there is one.
    pub(crate) fn say_out_of_memory(&mut self, task: Option<&MmHeader>) {
        let memory = &self.mm.frames.mem_header();
        let zones = self.zones.of(&self.mm);
        let report = match task {
            Some(task) => {
                self.text.format(format_args!("{}", Report { refused: self.mm.refused, task, memory, zones }))
            }
            None => self.text.format(format_args!("{}", MemInfo { memory, zones })),
        };
        self.mm.trace.bulk(BulkKind::Diagnosis, 0, Moment::Request, false, report);
    }

    /// Tells the host the last mistake with an object of a cache, if there is one that was not told.
    #[cold]
    pub(crate) fn say_slab_report(&mut self) {
        if let Some(error) = self.mm.slabs.take_report() {
            let text = self.text.format(format_args!("{}", error.text(&self.mm.trace)));
            self.mm.trace.bulk(BulkKind::Diagnosis, 0, Moment::Request, false, text);
        }
    }

    /// Sends a text to the host; what does not fit in the buffer is cut.
    pub(crate) fn say(&mut self, kind: BulkKind, text: fmt::Arguments<'_>) {
        self.mm.trace.bulk(kind, 0, Moment::Request, false, self.text.format(text));
    }
}

struct Global(UnsafeCell<MaybeUninit<Kernel>>);

// SAFETY: there is one CPU and no interrupt: `get` hands the state to one trap at a time.
unsafe impl Sync for Global {}

static KERNEL: Global = Global(UnsafeCell::new(MaybeUninit::uninit()));
static READY: AtomicBool = AtomicBool::new(false);

/// Installs the state. Called once, at boot.
pub(crate) fn set(kernel: Kernel) -> &'static mut Kernel {
    assert!(!READY.swap(true, Ordering::Relaxed), "the kernel's state is set twice");
    // SAFETY: nobody has had a reference yet.
    unsafe { (*KERNEL.0.get()).write(kernel) }
}

/// The state, for the trap that has just begun.
///
/// # Safety
/// No other reference to the state is live. A trap from ring 3 is such a moment, since ring 0 never returns to ring 3
/// with one.
pub(crate) unsafe fn get() -> Option<&'static mut Kernel> {
    // SAFETY: initialised when READY is set; the caller vouches for exclusiveness.
    READY.load(Ordering::Relaxed).then(|| unsafe { (*KERNEL.0.get()).assume_init_mut() })
}
