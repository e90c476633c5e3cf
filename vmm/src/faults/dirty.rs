//! Pages the guest writes, counted interval by interval from KVM's dirty log (Linux: Documentation/virt/kvm/api.rst, 4.8
//! KVM_GET_DIRTY_LOG).
//!
//! Reading the log also clears it and has KVM watch the pages anew, so a page counts once in each interval it is written
//! in. Writes of the CPU count, its own to page tables among them, and those of KVM's emulator; writes of this process do
//! not. KVM watches pages of 4 KiB: translations of huge pages are split while the source works.

use std::{io, sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use kvm_bindings::KVM_MEM_LOG_DIRTY_PAGES;

use super::{ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch, worker::Worker};
use crate::{
    trace::{Input, Interval},
    vm::{Slots, clock::rdtsc, machine::open_kvm},
};

const NAME: &str = "dirty";

/// The source.
#[derive(Debug)]
pub(super) struct Dirty;

impl FaultSource for Dirty {
    fn name(&self) -> &'static str {
        NAME
    }

    fn resolves(&self) -> bool {
        false
    }

    fn by_default(&self) -> bool {
        false
    }

    /// The dirty log is as old as KVM's memory slots: every KVM that opens has it.
    fn probe(&self) -> Probe {
        match open_kvm() {
            Ok(_) => Probe::Available,
            Err(error) => {
                Probe::Missing(Missing { why: error.to_string(), remedy: "pagelab doctor says how to get KVM" })
            }
        }
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        // RAM comes first among the slots; the trace window behind it is not the guest's memory.
        let slots = 0..watch.ram.extents().len();
        for slot in slots.clone() {
            watch
                .slots
                .set_flags(slot, KVM_MEM_LOG_DIRTY_PAGES)
                .map_err(|error| failed("log writes to guest memory")(from(error)))?;
        }
        let interval = watch.options.dirty_interval;
        let (stop, stopped) = bounded(0);
        let log = Log {
            seen: watch.slots.extents()[slots].iter().map(|extent| vec![0; words(extent.size)]).collect(),
            slots: Arc::clone(&watch.slots),
            begin: rdtsc(),
            intervals: 0,
        };
        let told = watch.clone();
        let worker =
            Worker::spawn(NAME, &watch, move || log.run(&told, &stopped)).map_err(failed("start its thread"))?;
        Ok(Box::new(Active { stop, worker, interval }))
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> FaultError {
    move |error| FaultError::Failed { name: NAME, what, error }
}

fn from(error: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

/// Words of a bitmap with one bit for each page of `bytes`.
fn words(bytes: u64) -> usize {
    (bytes / pagelab_abi::layout::PAGE_SIZE).div_ceil(64) as usize
}

/// The source at work.
struct Active {
    stop: Sender<()>,
    worker: Worker<io::Result<Log>>,
    interval: Duration,
}

impl ActiveSource for Active {
    fn name(&self) -> &'static str {
        NAME
    }

    fn thread(&self) -> Option<u32> {
        Some(self.worker.id())
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        drop(self.stop);
        let log = self.worker.join()?.map_err(failed("read the log"))?;
        let facts = [
            ("distinct_pages", log.distinct()),
            ("intervals", log.intervals),
            ("interval_ns", u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX)),
        ];
        let facts = facts.map(|(name, value)| (format!("{NAME}.{name}"), value.to_string())).into();
        Ok(Tally { copies: None, facts })
    }
}

/// The thread's own.
struct Log {
    slots: Arc<Slots>,
    /// Every page that was ever written, a bitmap for each slot of RAM.
    seen: Vec<Vec<u64>>,
    begin: u64,
    intervals: u64,
}

impl Log {
    /// Reads the log at the end of each interval, and a last time when asked to stop.
    fn run(mut self, watch: &Watch, stopped: &Receiver<()>) -> io::Result<Log> {
        loop {
            let go_on = matches!(stopped.recv_timeout(watch.options.dirty_interval), Err(RecvTimeoutError::Timeout));
            if let Err(error) = self.read(watch) {
                let told = io::Error::from(error.kind());
                // Full only if an earlier failure waits there already.
                let _ = watch.failure.try_send(failed("read the log")(error));
                return Err(told);
            }
            if !go_on {
                return Ok(self);
            }
        }
    }

    fn read(&mut self, watch: &Watch) -> io::Result<()> {
        let mut pages = 0;
        for (slot, seen) in self.seen.iter_mut().enumerate() {
            let bytes = self.slots.extents()[slot].size as usize;
            let written = self.slots.vm().get_dirty_log(slot as u32, bytes).map_err(from)?;
            pages += merge(seen, &written);
        }
        let end = rdtsc();
        self.intervals += 1;
        // Nobody takes it only when the recording has failed, which the vCPU's loop says.
        let _ = watch.sink.send(Input::Dirty(Interval { tsc_begin: self.begin, tsc_end: end, pages }));
        self.begin = end;
        Ok(())
    }

    fn distinct(&self) -> u64 {
        self.seen.iter().flatten().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// Adds the pages of an interval to all; how many they are.
fn merge(all: &mut [u64], written: &[u64]) -> u64 {
    let mut pages = 0;
    for (all, written) in all.iter_mut().zip(written) {
        pages += u64::from(written.count_ones());
        *all |= written;
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_counts_once_in_each_interval_and_once_in_all() {
        let mut all = vec![0; words(129 * 4096)];
        assert_eq!(all.len(), 3);
        assert_eq!(merge(&mut all, &[0b101, 0, 1]), 3);
        assert_eq!(merge(&mut all, &[0b110, 0, 0]), 2);
        assert_eq!(all, [0b111, 0, 1]);
    }
}
