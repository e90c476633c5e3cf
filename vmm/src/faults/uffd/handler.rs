//! The thread that reads userfaultfd's messages and answers them.
//!
//! It never touches guest RAM and makes no KVM call: either would wait for itself.

use std::{
    hint, io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use linux_raw_sys::general::{
    UFFD_EVENT_PAGEFAULT, UFFD_PAGEFAULT_FLAG_MINOR, UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_WRITE,
};
use pagelab_abi::layout::PAGE_SIZE;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{NAME, call::Uffd, failed, fill::Filler};
use crate::{
    faults::{Watch, latency},
    trace::{Access, CopyTally, HostFault, HostFaultKind, Input},
    vm::{clock::rdtsc, memory::Extent},
};

/// Messages read at a time.
const BATCH: usize = 32;
/// Faults told to the recorder at a time, while they come one after the other: waking its thread for each would cost more
/// than answering them.
const TOLD_AT_ONCE: usize = 64;
/// How long the thread looks out for the next fault before it sleeps, where the vCPU has another CPU to run on: waking it
/// costs more than most gaps are long.
const LOOK_OUT: Duration = Duration::from_micros(30);

/// How long a fault stays untold if no other follows it.
const TELL_AFTER: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Why the thread sleeps no more.
enum Woken {
    /// A fault waits, or may wait.
    ByFault,
    /// Nothing has happened for [`TELL_AFTER`].
    ByTime,
    /// It is to end, and no fault waits.
    ToEnd,
}

/// A page-fault message (Linux: struct uffd_msg), 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Message {
    event: u8,
    reserved: [u8; 7],
    flags: u64,
    address: u64,
    thread_id: u32,
    padding: u32,
}

const _: () = assert!(size_of::<Message>() == size_of::<linux_raw_sys::general::uffd_msg>());

/// What the thread has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) copies: CopyTally,
    /// Faults by their kind: missing, minor, write_protect, refault.
    pub(super) kinds: [(HostFaultKind, u64); 4],
}

/// The thread's own.
pub(super) struct Handler {
    pub(super) uffd: Arc<Uffd>,
    /// Readable once the thread is to end.
    pub(super) stop: OwnedFd,
    pub(super) extents: Vec<Extent>,
    pub(super) watch: Watch,
    pub(super) filler: Filler,
    /// Pages of 4 KiB written since the last write protection; `None` where there is none.
    pub(super) written: Option<Arc<AtomicU64>>,
    pub(super) kinds: [(HostFaultKind, u64); 4],
    /// Faults the recorder does not know of yet.
    pub(super) untold: Vec<HostFault>,
}

/// The kinds this source knows, none of them seen yet.
pub(super) const KINDS: [(HostFaultKind, u64); 4] = [
    (HostFaultKind::Missing, 0),
    (HostFaultKind::Minor, 0),
    (HostFaultKind::WriteProtect, 0),
    (HostFaultKind::Refault, 0),
];

impl Handler {
    /// Answers faults until it is told to end.
    pub(super) fn run(mut self) -> Counts {
        if let Err(error) = self.serve() {
            // Full only if an earlier failure waits there already.
            let _ = self.watch.failure.try_send(failed("serve a fault")(error));
        }
        self.tell();
        Counts { copies: self.filler.tally, kinds: self.kinds }
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut messages = [Message::new_zeroed(); BATCH];
        let uffd = Arc::clone(&self.uffd);
        let look_out =
            if thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1) { LOOK_OUT } else { Duration::ZERO };
        let mut last = Instant::now();
        loop {
            let count = match rustix::io::read(uffd.fd(), messages.as_mut_bytes()) {
                Ok(bytes) => bytes / size_of::<Message>(),
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            if count > 0 {
                let (seen, begin) = (rdtsc(), Instant::now());
                for message in &messages[..count] {
                    if u32::from(message.event) == UFFD_EVENT_PAGEFAULT {
                        self.answer(message, seen, begin)?;
                    }
                }
                self.filler.prepare()?;
                last = Instant::now();
            } else if last.elapsed() < look_out {
                hint::spin_loop();
            } else {
                match self.sleep()? {
                    Woken::ByFault => {}
                    Woken::ByTime => self.tell(),
                    Woken::ToEnd => return Ok(()),
                }
            }
        }
    }

    /// Sleeps until there is something to do.
    fn sleep(&self) -> io::Result<Woken> {
        let mut ready =
            [PollFd::new(self.uffd.fd(), PollFlags::IN), PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN)];
        match poll(&mut ready, (!self.untold.is_empty()).then_some(&TELL_AFTER)) {
            Ok(0) => return Ok(Woken::ByTime),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let end = ready[1].revents().contains(PollFlags::IN) && !ready[0].revents().contains(PollFlags::IN);
        Ok(if end { Woken::ToEnd } else { Woken::ByFault })
    }

    fn answer(&mut self, message: &Message, tsc_begin: u64, begin: Instant) -> io::Result<()> {
        // Asked before the page is there: afterwards the vCPU runs on and may have left the guest.
        let vcpu = self
            .watch
            .vcpus
            .iter()
            .position(|vcpu| vcpu.thread_id() == message.thread_id && vcpu.in_guest())
            .map(|index| index as u16);
        if let Some(delay) = self.watch.host_latency {
            latency::wait(begin, delay);
        }
        let unit_size = self.watch.ram.backing().unit();
        let unit = message.address & !(unit_size - 1);
        let has = |flag: u32| message.flags & u64::from(flag) != 0;
        let write = has(UFFD_PAGEFAULT_FLAG_WRITE);
        if let (true, Some(written)) = (write, &self.written) {
            // Before the vCPU goes on: it may be stopped next to hear this count.
            written.fetch_add(unit_size / PAGE_SIZE, Ordering::AcqRel);
        }
        // Where writes are watched, a page that comes in for a read must fault again at its first write.
        let protect = self.written.is_some() && !write;
        let answer = if has(UFFD_PAGEFAULT_FLAG_WP) {
            self.filler.write_protected(unit)?
        } else if has(UFFD_PAGEFAULT_FLAG_MINOR) {
            self.filler.minor(unit, protect)?
        } else {
            self.filler.missing(unit, protect)?
        };
        let Some(answer) = answer else { return Ok(()) };
        let tsc_end = rdtsc();
        for (_, count) in self.kinds.iter_mut().filter(|(kind, _)| *kind == answer.kind) {
            *count += 1;
        }
        let Some(extent) = self.extents.iter().find(|extent| message.address.wrapping_sub(extent.host) < extent.size)
        else {
            return Ok(());
        };
        let fault = HostFault {
            vcpu,
            tsc_begin,
            tsc_end,
            gpa: extent.gpa + (message.address - extent.host),
            access: if write { Access::Write } else { Access::Read },
            source: NAME,
            kind: answer.kind,
            bytes: answer.bytes,
            ..HostFault::default()
        };
        self.untold.push(fault);
        if self.untold.len() == TOLD_AT_ONCE {
            self.tell();
        }
        Ok(())
    }

    /// Hands the faults on to the recorder.
    fn tell(&mut self) {
        if !self.untold.is_empty() {
            let faults = std::mem::replace(&mut self.untold, Vec::with_capacity(TOLD_AT_ONCE));
            // Nobody takes them only when the recording has failed; the vCPU's loop says so, and pages must come regardless.
            let _ = self.watch.sink.send(Input::HostFaults(faults));
        }
    }
}
