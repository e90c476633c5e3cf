//! Tracepoints of one thread: opened together, recorded into one buffer, what does not fit counted.
#![expect(unsafe_code, reason = "an ioctl of perf has no safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

use perf_event::{Builder, Counter, SampleFlag, Sampler, events::Tracepoint};
use vmm_sys_util::ioctl::ioctl_with_val;

use super::{Format, Lack, PerfError, failed};

/// `_IO('$', 5)`: records of this event go into the buffer of another (Linux: include/uapi/linux/perf_event.h).
const PERF_EVENT_IOC_SET_OUTPUT: u64 = 0x2405;
/// Kinds of records (Linux: include/uapi/linux/perf_event.h, enum perf_event_type).
const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_SAMPLE: u32 = 9;
/// Of the buffer's size, what may lie unread before the reader is woken.
const WAKE_PART: usize = 8;

/// What lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A hit.
    Sample(Sample<'a>),
    /// Hits are missing here: there was no room for them. How many is known at the end, by [`ThreadRing::hits`].
    Gap,
}

/// One hit of a tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The thread that hit it.
    pub thread: u32,
    /// When, by CLOCK_MONOTONIC_RAW.
    pub ns: u64,
    /// The record, as the tracepoint's format describes it.
    pub record: &'a [u8],
}

/// What became of one tracepoint on one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits {
    /// The tracepoint, without its subsystem.
    pub event: String,
    /// How often it was hit, as the kernel counted.
    pub hit: u64,
    /// How many of these were read from the buffer; the rest did not fit.
    pub read: u64,
}

/// The tracepoints of one thread, at work.
pub struct ThreadRing {
    thread: u32,
    /// Has the buffer.
    first: (Event, Sampler),
    others: Vec<(Event, Counter)>,
}

struct Event {
    name: String,
    id: u16,
    read: u64,
}

impl std::fmt::Debug for ThreadRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadRing").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl ThreadRing {
    /// Opens tracepoints on a thread, with a buffer of `bytes` (a power of two of pages; less is rounded up) for all of
    /// them. They count from here on.
    ///
    /// # Errors
    /// No rights, with the remedy; no tracepoints; no such thread.
    pub fn open(thread: u32, events: &[Format], bytes: usize) -> Result<ThreadRing, PerfError> {
        let Some((first, others)) = events.split_first() else {
            return Err(failed("watch a thread")(io::Error::other("there are no tracepoints to watch")));
        };
        let sampler = build(thread, first, bytes)?.sampled(bytes).map_err(map_error)?;
        let mut ring = ThreadRing { thread, first: (event(first), sampler), others: Vec::new() };
        for format in others {
            let counter = build(thread, format, bytes)?;
            set_output(&counter, ring.first.1.as_raw_fd()).map_err(failed("share a perf buffer"))?;
            ring.others.push((event(format), counter));
        }
        for counter in ring.counters() {
            counter.enable().map_err(failed("enable a tracepoint"))?;
        }
        Ok(ring)
    }

    /// The watched thread.
    pub fn thread(&self) -> u32 {
        self.thread
    }

    /// Becomes readable when a good part of the buffer is full, and hangs up when the thread has ended.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the sampler keeps its descriptor open as long as it lives, and the borrow ends before.
        unsafe { BorrowedFd::borrow_raw(self.first.1.as_raw_fd()) }
    }

    /// Hands on what lies in the buffer, oldest first, at most `limit` items; says how many there were.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Item<'_>)) -> usize {
        let mut items = 0;
        while items < limit
            && let Some(record) = self.first.1.next_record()
        {
            items += 1;
            match record.ty() {
                PERF_RECORD_SAMPLE => {}
                PERF_RECORD_LOST => {
                    each(Item::Gap);
                    continue;
                }
                _ => continue,
            }
            let bytes = record.to_contiguous();
            let Some(sample) = sample(&bytes) else { continue };
            let id = u16::from_le_bytes([sample.record[0], sample.record[1]]);
            let mut events = std::iter::once(&mut self.first.0).chain(self.others.iter_mut().map(|(event, _)| event));
            if let Some(event) = events.find(|event| event.id == id) {
                event.read += 1;
            }
            each(Item::Sample(sample));
        }
        items
    }

    /// Counts no more from here on. What lies in the buffer can still be drained.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn disable(&mut self) -> Result<(), PerfError> {
        self.counters().try_for_each(|counter| counter.disable().map_err(failed("disable a tracepoint")))
    }

    /// What became of each tracepoint. Exact once the ring has been disabled and drained.
    ///
    /// # Errors
    /// A counter cannot be read.
    pub fn hits(&mut self) -> Result<Vec<Hits>, PerfError> {
        let first = (&self.first.0, &mut *self.first.1);
        let all = std::iter::once(first).chain(self.others.iter_mut().map(|(event, counter)| (&*event, counter)));
        all.map(|(event, counter)| {
            let hit = counter.read().map_err(failed("read a tracepoint's counter"))?;
            Ok(Hits { event: event.name.clone(), hit, read: event.read })
        })
        .collect()
    }

    fn counters(&mut self) -> impl Iterator<Item = &mut Counter> {
        std::iter::once(&mut *self.first.1).chain(self.others.iter_mut().map(|(_, counter)| counter))
    }
}

fn event(format: &Format) -> Event {
    Event { name: format.name.clone(), id: format.id, read: 0 }
}

fn build(thread: u32, format: &Format, bytes: usize) -> Result<Counter, PerfError> {
    Builder::new(Tracepoint::with_id(format.id.into()))
        .observe_pid(thread.cast_signed())
        .sample(SampleFlag::TID | SampleFlag::TIME | SampleFlag::RAW)
        .sample_period(1)
        .clockid(perf_event::Clock::MONOTONIC_RAW)
        .wakeup_watermark((bytes / WAKE_PART).max(1))
        .include_kernel()
        .build()
        .map_err(open_error)
}

fn open_error(error: io::Error) -> PerfError {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => PerfError::Lacking(Lack {
            why: format!("perf events of tracepoints are refused ({error})"),
            remedy: "run as root, or: sudo setcap cap_perfmon,cap_ipc_lock+ep \"$(command -v pagelab)\", or: sudo sysctl \
                     kernel.perf_event_paranoid=-1",
        }),
        Some(libc::ENOSYS) => PerfError::Lacking(Lack {
            why: "this kernel has no perf events".to_owned(),
            remedy: "boot a kernel built with CONFIG_PERF_EVENTS=y",
        }),
        _ => failed("open a tracepoint")(error),
    }
}

fn map_error(error: io::Error) -> PerfError {
    match error.raw_os_error() {
        Some(libc::EPERM) => PerfError::Lacking(Lack {
            why: "no more memory may be locked for perf buffers".to_owned(),
            remedy: "run as root, or: sudo sysctl kernel.perf_event_mlock_kb=65536",
        }),
        _ => failed("map a perf buffer")(error),
    }
}

fn set_output(counter: &Counter, into: RawFd) -> io::Result<()> {
    // SAFETY: the request takes the number of a perf event's descriptor by value; both are open.
    if unsafe { ioctl_with_val(counter, PERF_EVENT_IOC_SET_OUTPUT, into.cast_unsigned().into()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads a sample as [`build`] asks for it: pid and tid, time, and the record with its length before it.
fn sample(bytes: &[u8]) -> Option<Sample<'_>> {
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let thread = number(4)?;
    let ns = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let record = bytes.get(20..20 + number(16)? as usize).filter(|record| record.len() >= 2)?;
    Some(Sample { thread, ns, record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_short_ones_are_not() {
        let mut bytes = [7u32, 8].map(u32::to_le_bytes).concat();
        bytes.extend(99u64.to_le_bytes());
        bytes.extend(4u32.to_le_bytes());
        bytes.extend([1, 2, 3, 4]);
        let whole = Sample { thread: 8, ns: 99, record: &[1, 2, 3, 4] };
        assert_eq!(sample(&bytes), Some(whole));
        for length in 0..bytes.len() {
            assert_eq!(sample(&bytes[..length]), None, "{length}");
        }
        bytes[16] = 1;
        assert_eq!(sample(&bytes), None, "too short for a number");
    }
}
