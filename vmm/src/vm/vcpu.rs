//! The run loop of one vCPU, on a thread of its own: ports are served, everything else ends the run.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use kvm_ioctls::VcpuFd;
use pagelab_abi::{
    code::BulkKind,
    event::Bulk,
    port,
    record::{Record, RecordKind},
};

use super::{
    clock::{self, Calibration},
    exit::{self, Exit},
    kick,
    memory::Ram,
    ring::RingReader,
    vcpu_hook::{Handled, VcpuHook},
};
use crate::trace::Input;

/// Bulk bytes the host takes in one run; what comes after is refused and said.
pub const BULK_LIMIT: u64 = 1 << 30;
/// Broken rules that are told one by one; the rest is counted.
const TOLD_ERRORS: u64 = 64;
/// Records kept for a diagnosis.
const KEPT_RECORDS: usize = 12;

/// Called with the bytes a program wrote, as they come: 1 for standard output, 2 for standard error.
pub type ConsoleHook = Box<dyn FnMut(u8, &[u8]) + Send>;

/// How a vCPU's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest's own end, with the program's wait status.
    Exit(u32),
    /// The kernel panicked.
    Panic,
    /// The guest kernel has another ABI version: its own.
    AbiMismatch(u32),
    /// HLT without an exit: nothing could ever wake this guest.
    Halted,
    /// The VMM asked for it.
    Stopped,
    /// The user's own stop condition was met.
    StopAt {
        /// Which trapped fault it was, from 1.
        fault: u64,
        /// The condition.
        condition: String,
    },
    /// Nobody takes the recording any more.
    RecorderGone,
    /// An exit that no guest survives.
    Died(Exit),
    /// KVM_RUN failed.
    RunFailed(i32),
    /// The trace window could not be read.
    WindowFailed(String),
}

/// What the vCPU thread leaves behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// The clock check, if the guest got that far.
    pub calibration: Option<Calibration>,
    /// The kernel's last panic text.
    pub panic_text: Option<String>,
    /// The last records of the ring, oldest first.
    pub last_records: Vec<Record>,
    /// Rules the guest broke.
    pub protocol_errors: u64,
    /// The vCPU, for its registers.
    pub vcpu: VcpuFd,
}

/// What other threads may know of a running vCPU.
#[derive(Debug, Default)]
pub struct VcpuStatus {
    stop: AtomicBool,
    thread_id: AtomicU32,
    in_guest: AtomicBool,
}

impl VcpuStatus {
    /// Linux thread id of the vCPU thread; 0 before it runs.
    pub fn thread_id(&self) -> u32 {
        self.thread_id.load(Ordering::Acquire)
    }

    /// Whether the thread is inside KVM_RUN: its faults are the guest's.
    pub fn in_guest(&self) -> bool {
        self.in_guest.load(Ordering::Acquire)
    }
}

/// What a vCPU needs to run.
pub struct VcpuTask {
    /// The vCPU in its start state.
    pub vcpu: VcpuFd,
    /// RAM, for bulk transfers.
    pub ram: Ram,
    /// The ring.
    pub ring: RingReader,
    /// Where observations go.
    pub sink: Sender<Input>,
    /// The live console.
    pub console: Option<ConsoleHook>,
}

/// A vCPU whose thread exists and waits for its start. Dropped, it never runs.
#[derive(Debug)]
pub struct WaitingVcpu {
    start: Sender<Vec<Box<dyn VcpuHook>>>,
    running: RunningVcpu,
}

impl WaitingVcpu {
    /// Has the guest run. The hooks see its exits in their order.
    pub fn start(self, hooks: Vec<Box<dyn VcpuHook>>) -> RunningVcpu {
        // A thread that is gone already is found when its end is waited for.
        let _ = self.start.send(hooks);
        self.running
    }
}

/// A vCPU that runs.
#[derive(Debug)]
pub struct RunningVcpu {
    thread: JoinHandle<()>,
    status: Arc<VcpuStatus>,
    /// Gives [`Finished`] once; disconnected if the thread died.
    pub finished: Receiver<Finished>,
}

impl RunningVcpu {
    /// Asks the vCPU to stop and kicks it out of KVM_RUN. A vCPU blocked in a userfaultfd fault does not see it: its
    /// source must be stopped first.
    pub fn stop(&self) {
        self.status.stop.store(true, Ordering::Release);
        kick::kick(&self.thread);
    }

    /// Has the ring drained soon, as far as the guest has filled it, and lets the guest go on.
    pub fn nudge(&self) {
        kick::kick(&self.thread);
    }

    /// What other threads may know of it.
    pub fn status(&self) -> Arc<VcpuStatus> {
        Arc::clone(&self.status)
    }
}

/// Makes the vCPU's thread. When this returns, `status` has its thread id.
pub fn spawn(task: VcpuTask, status: Arc<VcpuStatus>) -> io::Result<WaitingVcpu> {
    kick::install()?;
    let (sender, finished) = bounded(1);
    let (start, started) = bounded(1);
    let (ready, is_ready) = bounded::<()>(0);
    let shared = Arc::clone(&status);
    let thread = thread::Builder::new().name("vcpu0".to_owned()).spawn(move || {
        shared.thread_id.store(rustix::thread::gettid().as_raw_nonzero().get() as u32, Ordering::Release);
        drop(ready);
        let Ok(hooks) = started.recv() else { return };
        let finished = Loop::new(task, shared, hooks).run();
        // Nobody waits any more only when the whole run has been given up.
        let _ = sender.send(finished);
    })?;
    // Nothing is ever sent: the thread lets go of its end once it is known.
    let _ = is_ready.recv();
    Ok(WaitingVcpu { start, running: RunningVcpu { thread, status, finished } })
}

/// The loop's state.
struct Loop {
    task: VcpuTask,
    status: Arc<VcpuStatus>,
    hooks: Vec<Box<dyn VcpuHook>>,
    calibration: Option<Calibration>,
    panic_text: Option<String>,
    last_records: VecDeque<Record>,
    /// The host's TSC before the first KVM_RUN.
    first_entry: Option<u64>,
    /// The newest record, until a ring of the bulk port takes it: a kick may drain it just before the guest rings.
    newest: Option<Record>,
    protocol_errors: u64,
    bulk_bytes: u64,
}

/// The loop goes on, or ends.
type Step = Result<(), End>;

impl Loop {
    fn new(task: VcpuTask, status: Arc<VcpuStatus>, hooks: Vec<Box<dyn VcpuHook>>) -> Loop {
        Loop {
            task,
            status,
            hooks,
            calibration: None,
            panic_text: None,
            last_records: VecDeque::with_capacity(KEPT_RECORDS),
            newest: None,
            first_entry: None,
            protocol_errors: 0,
            bulk_bytes: 0,
        }
    }

    fn run(mut self) -> Finished {
        let end = self.run_until_end();
        // What the guest published before its end still counts; a second failure adds nothing.
        let _ = self.drain();
        if self.protocol_errors > TOLD_ERRORS {
            let text = format!("{} more broken rules were not told one by one", self.protocol_errors - TOLD_ERRORS);
            let _ = self.task.sink.send(Input::ProtocolError(text));
        }
        Finished {
            end,
            calibration: self.calibration,
            panic_text: self.panic_text,
            last_records: self.last_records.into(),
            protocol_errors: self.protocol_errors,
            vcpu: self.task.vcpu,
        }
    }

    fn run_until_end(&mut self) -> End {
        let _kickable = kick::Kickable::new(&mut self.task.vcpu);
        loop {
            if self.status.stop.load(Ordering::Acquire) {
                return End::Stopped;
            }
            // The guest reads its clock in its first entry, though a kick may put off its telling to a later one.
            let first_entry = *self.first_entry.get_or_insert_with(clock::rdtsc);
            self.status.in_guest.store(true, Ordering::Release);
            let exit = exit::run(&mut self.task.vcpu);
            self.status.in_guest.store(false, Ordering::Release);
            let after = clock::rdtsc();
            let step = match exit {
                Ok(exit) => self.serve(exit, first_entry..after),
                Err(error) => Err(End::RunFailed(error.errno())),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Acts on an exit; `times` are the host's readings from before the first KVM_RUN and from after this one.
    fn serve(&mut self, exit: Exit, times: Range<u64>) -> Step {
        for hook in &mut self.hooks {
            match hook.exit(&exit, &mut self.task.vcpu) {
                Handled::No => {}
                Handled::Yes => return Ok(()),
                Handled::Refused(text) => return self.protocol_error(text),
                Handled::End(end) => return Err(end),
            }
        }
        match exit {
            Exit::PortOut { port, value } => match port {
                port::CLOCK => self.clock_check(times),
                port::DOORBELL => self.drain(),
                port::BULK => self.bulk(),
                port::EXIT => Err(End::Exit(value)),
                port::PANIC => Err(End::Panic),
                port::ABI_MISMATCH => Err(End::AbiMismatch(value)),
                _ => self.protocol_error(format!("wrote {value:#x} to port {port:#x}, which nothing answers")),
            },
            Exit::PortIn { port } => self.protocol_error(format!("read port {port:#x}, which nothing answers")),
            Exit::Mmio { gpa, write } => {
                let verb = if write { "wrote" } else { "read" };
                self.protocol_error(format!("{verb} guest-physical {gpa:#x}, where nothing is"))
            }
            Exit::Interrupted => {
                // A kick has done its work. What comes from now on, a stop perhaps, ends the next KVM_RUN.
                self.task.vcpu.set_kvm_immediate_exit(0);
                self.drain()
            }
            Exit::Halt => Err(End::Halted),
            other => Err(End::Died(other)),
        }
    }

    fn clock_check(&mut self, times: Range<u64>) -> Step {
        if self.calibration.is_some() {
            return self.protocol_error("rang the clock port again".to_owned());
        }
        let registers = self.task.vcpu.get_regs().map_err(|error| End::RunFailed(error.errno()))?;
        let calibration = clock::calibrate(times.start, registers.r8, times.end);
        log::debug!("first guest instruction seen; clock error {} ticks", calibration.error_ticks);
        self.calibration = Some(calibration);
        Ok(())
    }

    /// Takes what is in the ring and hands it on.
    fn drain(&mut self) -> Step {
        let mut drained = self.task.ring.drain().map_err(|error| End::WindowFailed(error.to_string()))?;
        if let Some(violation) = drained.violation {
            self.protocol_error(violation)?;
        }
        let correction = self.calibration.map_or(0, |calibration| calibration.guest_to_host);
        if correction != 0 {
            for record in &mut drained.records {
                record.tsc = record.tsc.wrapping_add_signed(correction);
            }
        }
        let kept = drained.records.len().saturating_sub(KEPT_RECORDS);
        for record in &drained.records[kept..] {
            if self.last_records.len() == KEPT_RECORDS {
                self.last_records.pop_front();
            }
            self.last_records.push_back(*record);
        }
        if !drained.records.is_empty() {
            self.newest = drained.records.last().copied();
            self.send(Input::Records(drained.records))?;
        }
        Ok(())
    }

    fn bulk(&mut self) -> Step {
        self.drain()?;
        let Some(record) = self.newest.take().filter(|record| record.kind == RecordKind::Bulk) else {
            return self.protocol_error("rang the bulk port without a bulk record at the ring's end".to_owned());
        };
        let bulk: Bulk = record.payload_as();
        if bulk.length > Bulk::MAX_LENGTH {
            return self.protocol_error(format!("a bulk record names {} bytes, too many", bulk.length));
        }
        self.bulk_bytes += u64::from(bulk.length);
        if self.bulk_bytes > BULK_LIMIT {
            return self.protocol_error(format!("more than {BULK_LIMIT} bulk bytes in one run"));
        }
        let Some(bytes) = self.task.ram.read(bulk.gpa, bulk.length as usize) else {
            return self.protocol_error(format!(
                "a bulk record names {} bytes at guest-physical {:#x}, not RAM",
                bulk.length, bulk.gpa
            ));
        };
        match bulk.kind {
            BulkKind::Console => {
                if let Some(hook) = &mut self.task.console {
                    hook(bulk.name, &bytes);
                }
            }
            BulkKind::Panic => self.panic_text = Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => {}
        }
        self.send(Input::Bulk { record, bulk, bytes })
    }

    fn protocol_error(&mut self, text: String) -> Step {
        self.protocol_errors += 1;
        log::debug!("the guest {text}");
        if self.protocol_errors > TOLD_ERRORS { Ok(()) } else { self.send(Input::ProtocolError(text)) }
    }

    fn send(&self, input: Input) -> Step {
        self.task.sink.send(input).map_err(|_| End::RecorderGone)
    }
}
