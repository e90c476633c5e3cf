//! KVM's tracepoints of a set of threads, recorded on a thread of its own until it is stopped.
//!
//! The watched threads write into buffers in memory and never wait. This side empties them when they fill, or soon. What
//! comes faster than it can be handed on is lost, and counted to the last event.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::Arc,
    thread::{self, JoinHandle},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};

use super::{
    PerfError,
    clock::{ClockMap, Reading},
    failed,
    kvm::{Decoder, KvmTrace},
    ring::{Hits, Item, ThreadRing},
};

/// Longest time that an event lies in a buffer.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Events handed on at a time.
const BATCH: usize = 8192;

/// An event of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvmSample {
    /// The thread: a vCPU's, or one that acts for the VM.
    pub thread: u32,
    /// Host TSC when it happened.
    pub tsc: u64,
    /// What happened.
    pub event: KvmTrace,
}

/// Takes what is recorded, on the recording's thread.
pub trait Sink: Send {
    /// Events, oldest first for each thread. While this waits, buffers may overflow; the watched threads never wait.
    fn take(&mut self, samples: &[KvmSample]);
    /// There is no more.
    fn end(&mut self) {}
    /// The recording failed while it worked, and records no more; [`Recording::stop`] says so too.
    fn failed(&mut self, _what: &'static str, _error: io::Error) {}
}

/// How a recording went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Hits by tracepoint, all threads together: what KVM did.
    pub hits: BTreeMap<String, u64>,
    /// Of these, what was lost because a buffer was full.
    pub lost: BTreeMap<String, u64>,
    /// How far any time may be off, in ticks.
    pub clock_error_ticks: u64,
}

impl Tally {
    /// Events lost, of every kind.
    pub fn lost_in_all(&self) -> u64 {
        self.lost.values().sum()
    }

    fn add(&mut self, all: Vec<Hits>) {
        for Hits { event, hit, read } in all {
            *self.lost.entry(event.clone()).or_default() += hit.saturating_sub(read);
            *self.hits.entry(event).or_default() += hit;
        }
    }
}

/// A recording at work.
#[derive(Debug)]
pub struct Recording {
    stop: Arc<OwnedFd>,
    thread: JoinHandle<Result<Tally, PerfError>>,
}

impl Recording {
    /// The smallest buffer: one page.
    pub const SMALLEST_BUFFER: usize = 4096;
    /// A buffer that holds some 50,000 events of a thread.
    pub const DEFAULT_BUFFER: usize = 4 << 20;

    /// Watches these threads from here on, with a buffer of `bytes` for each, rounded up to a power of two of pages.
    ///
    /// # Errors
    /// No rights, with the remedy; a thread that is not there.
    pub fn start(threads: &[u32], decoder: Decoder, bytes: usize, sink: Box<dyn Sink>) -> Result<Recording, PerfError> {
        let clock = ClockMap::new(Reading::now());
        let rings: Vec<ThreadRing> = threads
            .iter()
            .map(|thread| ThreadRing::open(*thread, decoder.formats(), bytes))
            .collect::<Result<_, PerfError>>()?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| failed("create an eventfd")(error.into()))?;
        let stop = Arc::new(stop);
        let stopped = Arc::clone(&stop);
        let mut reader = Reader { rings, decoder, clock, sink, batch: Vec::with_capacity(BATCH), stopped };
        let thread = thread::Builder::new()
            .name("tracepoints".to_owned())
            .spawn(move || {
                let result = reader.run();
                match &result {
                    Err(PerfError::Failed { what, error }) => reader.sink.failed(what, copy(error)),
                    _ => reader.sink.end(),
                }
                result
            })
            .map_err(failed("start a thread"))?;
        Ok(Recording { stop, thread })
    }

    /// Ends the recording: everything that happened before is handed on, and counted.
    ///
    /// # Errors
    /// The recording failed, now or before.
    pub fn stop(self) -> Result<Tally, PerfError> {
        rustix::io::write(&*self.stop, &1u64.to_ne_bytes()).map_err(|error| failed("wake a thread")(error.into()))?;
        self.thread.join().map_err(|_| PerfError::Died)?
    }
}

/// Errors of the operating system can be copied by their number.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}

/// The recording thread's own.
struct Reader {
    rings: Vec<ThreadRing>,
    decoder: Decoder,
    clock: ClockMap,
    sink: Box<dyn Sink>,
    batch: Vec<(u32, u64, KvmTrace)>,
    stopped: Arc<OwnedFd>,
}

impl Reader {
    fn run(&mut self) -> Result<Tally, PerfError> {
        let mut alive = vec![true; self.rings.len()];
        while !self.wait(&mut alive)? {
            self.drain();
        }
        for ring in &mut self.rings {
            ring.disable()?;
        }
        self.drain();
        let mut tally = Tally { clock_error_ticks: self.clock.error_ticks(), ..Tally::default() };
        for ring in &mut self.rings {
            tally.add(ring.hits()?);
        }
        Ok(tally)
    }

    /// Waits until there is something to do; true once the recording is to stop.
    fn wait(&self, alive: &mut [bool]) -> Result<bool, PerfError> {
        let mut ready = vec![PollFd::new(&*self.stopped, PollFlags::IN)];
        let watched: Vec<usize> = (0..self.rings.len()).filter(|index| alive[*index]).collect();
        ready.extend(watched.iter().map(|index| PollFd::from_borrowed_fd(self.rings[*index].as_fd(), PollFlags::IN)));
        match poll(&mut ready, Some(&INTERVAL)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failed("wait for tracepoints")(error.into())),
        }
        for (index, entry) in watched.into_iter().zip(&ready[1..]) {
            // A thread that has ended hangs up for ever: it needs no waiting for.
            alive[index] = !entry.revents().intersects(PollFlags::HUP | PollFlags::ERR);
        }
        Ok(ready[0].revents().contains(PollFlags::IN))
    }

    /// Hands on what lies in the buffers.
    fn drain(&mut self) {
        loop {
            let mut more = false;
            for ring in &mut self.rings {
                let (thread, mut last) = (ring.thread(), 0);
                let drained = ring.drain(BATCH, |item| match item {
                    Item::Sample(sample) => {
                        last = sample.ns;
                        let event = self.decoder.decode(sample.record);
                        self.batch.extend(event.map(|event| (sample.thread, sample.ns, event)));
                    }
                    Item::Gap => self.batch.push((thread, last, KvmTrace::Gap)),
                });
                more |= drained == BATCH;
            }
            // Read after the events: they lie between this reading and the last.
            self.clock.extend(Reading::now());
            if !self.batch.is_empty() {
                let samples: Vec<KvmSample> = self
                    .batch
                    .drain(..)
                    .map(|(thread, ns, event)| KvmSample { thread, tsc: self.clock.tsc(ns), event })
                    .collect();
                self.sink.take(&samples);
            }
            if !more {
                return;
            }
        }
    }
}
