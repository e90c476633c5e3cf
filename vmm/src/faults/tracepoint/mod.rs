//! Host faults and exits as KVM itself tells them, by its tracepoints on the vCPU's thread.
//!
//! - Under EPT and NPT each `kvm_page_fault` is a host fault, with the instruction and the hardware's code; it ends when
//!   the vCPU enters the guest again.
//! - Under shadow paging there is no second dimension: `kvm_page_fault`, where the host tells it at all, is the guest's
//!   own #PF. There a host fault is what gives ring 3 a frame, `kvm_mmu_spte_requested`. KVM over PVM tells neither
//!   `kvm_page_fault` nor exits nor entries: instruction, code and access of its host faults are unknown.
//!
//! A witness, not a resolver: it never stops the vCPU. What does not fit into its buffer is lost, and counted.

mod assemble;

use std::io;

pub use assemble::Assembler;

use super::{ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch, code::Vendor};
use crate::{
    perf::{
        Lack, PerfError, Tracefs,
        kvm::Decoder,
        recording::{self, KvmSample, Recording, Sink},
        ring::ThreadRing,
    },
    vm::machine::host_mmu,
};

const NAME: &str = "tracepoint";

/// The source.
#[derive(Debug)]
pub struct Tracepoint;

impl FaultSource for Tracepoint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn resolves(&self) -> bool {
        false
    }

    fn by_default(&self) -> bool {
        false
    }

    fn probe(&self) -> Probe {
        // As a run would: opening them is the only sure sign of the rights. They tell nothing of this thread.
        let this = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let opened =
            decoder().and_then(|decoder| ThreadRing::open(this, &decoder.formats()[..1], Recording::SMALLEST_BUFFER));
        match opened {
            Ok(_) => Probe::Available,
            Err(PerfError::Lacking(lack)) => Probe::Missing(missing(lack)),
            Err(error) => {
                Probe::Missing(Missing { why: error.to_string(), remedy: "see the host kernel's log (dmesg)" })
            }
        }
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        let decoder = decoder().map_err(fault_error)?;
        let threads: Vec<u32> = watch.vcpus.iter().map(|vcpu| vcpu.thread_id()).collect();
        // Where the MMU's kind is unknown no code can be read; what is told of frames is right in any case.
        let vendor = Vendor::of_host_mmu(host_mmu()).unwrap_or(Vendor::PageFault);
        let assembler = Assembler::new(NAME, vendor, decoder.clone(), &threads);
        let buffer = watch.options.tracepoint_buffer;
        let rows = Rows { assembler, watch };
        let recording = Recording::start(&threads, decoder, buffer, Box::new(rows)).map_err(fault_error)?;
        Ok(Box::new(Active { recording }))
    }
}

fn decoder() -> Result<Decoder, PerfError> {
    Decoder::new(&Tracefs::open()?)
}

fn fault_error(error: PerfError) -> FaultError {
    match error {
        PerfError::Lacking(lack) => FaultError::Missing { name: NAME, missing: missing(lack) },
        PerfError::Failed { what, error } => FaultError::Failed { name: NAME, what, error },
        PerfError::Died => FaultError::Died { name: NAME },
    }
}

fn missing(lack: Lack) -> Missing {
    Missing { why: lack.why, remedy: lack.remedy }
}

/// Samples on their way into the run file.
struct Rows {
    assembler: Assembler,
    watch: Watch,
}

impl Sink for Rows {
    fn take(&mut self, samples: &[KvmSample]) {
        let _guard = self.watch.guard(NAME);
        for sample in samples {
            // Nobody takes them only when the recording has failed; the vCPU's loop says so.
            self.assembler.take(sample, |input| drop(self.watch.sink.send(input)));
        }
    }

    fn end(&mut self) {
        self.assembler.finish(|input| drop(self.watch.sink.send(input)));
    }

    fn failed(&mut self, what: &'static str, error: io::Error) {
        // Full only if an earlier failure waits there already.
        let _ = self.watch.failure.try_send(FaultError::Failed { name: NAME, what, error });
    }
}

/// The source at work.
struct Active {
    recording: Recording,
}

impl ActiveSource for Active {
    fn name(&self) -> &'static str {
        NAME
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        let tally = self.recording.stop().map_err(fault_error)?;
        Ok(Tally { facts: facts(&tally), ..Tally::default() })
    }
}

/// What was counted, as rows of the `run` view: how often KVM hit each tracepoint (of which the run file has all but the
/// lost), what was lost, and the clock's error.
fn facts(tally: &recording::Tally) -> Vec<(String, String)> {
    let hits = tally.hits.iter().map(|(event, hits)| (format!("{NAME}.{event}"), hits.to_string()));
    let lost = tally.lost.iter().filter(|(_, lost)| **lost > 0);
    let lost = lost.map(|(event, lost)| (format!("{NAME}.lost.{event}"), lost.to_string()));
    let sums = [
        (format!("{NAME}.lost"), tally.lost_in_all().to_string()),
        (format!("{NAME}.clock_error_ticks"), tally.clock_error_ticks.to_string()),
    ];
    hits.chain(lost).chain(sums).collect()
}
