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
    vm::machine::{host_mmu, is_pvm},
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

    fn needs_small_pages(&self) -> bool {
        true
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

    fn limits(&self) -> Option<&'static str> {
        if is_pvm() {
            return Some(
                "can be used, but KVM over PVM tells no exits and of host faults only the frame: kvm_page_fault, kvm_exit \
                 and kvm_entry are never hit",
            );
        }
        (host_mmu() == "shadow").then_some(
            "can be used; under shadow paging host faults are the frames that KVM maps, and kvm_page_fault is the guest's #PF",
        )
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

/// What every run of a guest on hardware hits, so that a count of none says that this host does not tell them.
const CERTAIN: [&str; 3] = ["kvm_page_fault", "kvm_exit", "kvm_entry"];

/// What was counted, as rows of the `run` view: how often KVM hit each tracepoint (of which the run file has all but the
/// lost), what was lost, the clock's error, and what this host does not tell.
fn facts(tally: &recording::Tally) -> Vec<(String, String)> {
    let hits = tally.hits.iter().map(|(event, hits)| (format!("{NAME}.{event}"), hits.to_string()));
    let lost = tally.lost.iter().filter(|(_, lost)| **lost > 0);
    let lost = lost.map(|(event, lost)| (format!("{NAME}.lost.{event}"), lost.to_string()));
    let sums = [
        (format!("{NAME}.lost"), tally.lost_in_all().to_string()),
        (format!("{NAME}.clock_error_ticks"), tally.clock_error_ticks.to_string()),
    ];
    let silent = CERTAIN.into_iter().filter(|event| tally.hits.get(*event).is_none_or(|hits| *hits == 0));
    let silent = silent.collect::<Vec<_>>().join(",");
    let silent = (!silent.is_empty()).then(|| (format!("{NAME}.not_emitted"), silent));
    hits.chain(lost).chain(sums).chain(silent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_and_what_is_not_told_is_said() {
        let count = |event: &str, number| (event.to_owned(), number);
        let mut tally = recording::Tally {
            hits: [count("kvm_entry", 5), count("kvm_exit", 5), count("kvm_page_fault", 3)].into(),
            lost: [count("kvm_entry", 1), count("kvm_exit", 0)].into(),
            clock_error_ticks: 7,
        };
        let fact = |tally: &recording::Tally, key: &str| {
            facts(tally).into_iter().find(|(known, _)| known == key).map(|(_, value)| value)
        };
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(fact(&tally, "tracepoint.kvm_entry"), text("5"));
        assert_eq!(
            (fact(&tally, "tracepoint.lost"), fact(&tally, "tracepoint.lost.kvm_entry")),
            (text("1"), text("1"))
        );
        assert_eq!((fact(&tally, "tracepoint.lost.kvm_exit"), fact(&tally, "tracepoint.not_emitted")), (None, None));
        assert_eq!(fact(&tally, "tracepoint.clock_error_ticks"), text("7"));
        tally.hits.insert("kvm_exit".to_owned(), 0);
        tally.hits.remove("kvm_page_fault");
        assert_eq!(fact(&tally, "tracepoint.not_emitted"), text("kvm_page_fault,kvm_exit"));
    }
}
