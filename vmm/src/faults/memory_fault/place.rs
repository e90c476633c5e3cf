//! Where the access was that KVM could not do, for hosts whose KVM_RUN does not say: the vCPU's last `kvm_page_fault`,
//! read from its perf buffer on its own thread.

use crate::{
    faults::{
        Missing,
        code::{FaultCode, Vendor},
    },
    perf::{
        Lack, PerfError, Tracefs,
        kvm::{Decoder, KvmTrace},
        ring::{Item, ThreadRing},
    },
    trace::{Access, Stage},
    vm::machine::{host_mmu, is_pvm},
};

/// The tracepoint, by its full name.
const EVENT: &str = "kvm/kvm_page_fault";
/// Holds some thousand faults; the buffer is emptied at every fault of this source and five times a second.
const BUFFER: usize = 256 << 10;

/// An access that KVM could not do. What is not known is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Guest-physical address.
    pub(super) gpa: u64,
    /// What the vCPU wanted.
    pub(super) access: Access,
    /// Guest RIP.
    pub(super) rip: Option<u64>,
    /// The hardware's code.
    pub(super) error_code: Option<u64>,
    /// Which translation was interrupted.
    pub(super) stage: Option<Stage>,
}

impl Place {
    /// An address of which nothing else is known.
    pub(super) fn at(gpa: u64) -> Place {
        Place { gpa, access: Access::Unknown, rip: None, error_code: None, stage: None }
    }
}

/// Whether places can be found here, or need not be.
pub(super) fn probe() -> Result<(), Missing> {
    PlaceFinder::open(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()).map(|_| ())
}

/// Finds the places of one vCPU.
#[derive(Debug)]
pub(super) struct PlaceFinder(Option<Finder>);

#[derive(Debug)]
struct Finder {
    vendor: Vendor,
    decoder: Decoder,
    ring: ThreadRing,
}

impl PlaceFinder {
    /// For the vCPU that this thread runs. Where ring 0 is emulated its exits say the place, and nothing is opened.
    pub(super) fn open(thread: u32) -> Result<PlaceFinder, Missing> {
        if is_pvm() {
            return Ok(PlaceFinder(None));
        }
        let vendor = match Vendor::of_host_mmu(host_mmu()) {
            Some(vendor @ (Vendor::Ept | Vendor::Npt)) => vendor,
            _ => {
                return Err(Missing {
                    why: "under shadow paging KVM tells nobody the guest-physical address of such a fault".to_owned(),
                    remedy: "load kvm_intel with ept=1, or kvm_amd with npt=1",
                });
            }
        };
        let tracefs = Tracefs::open().map_err(missing)?;
        let format = tracefs.event(EVENT).map_err(|error| missing(lack(&error.to_string())))?;
        let format = format.ok_or_else(|| missing(lack("this kernel does not have it")))?;
        let decoder = Decoder::from_formats(vec![format]);
        let ring = ThreadRing::open(thread, decoder.formats(), BUFFER).map_err(|error| {
            missing(match error {
                PerfError::Lacking(lack) => lack,
                other => lack(&other.to_string()),
            })
        })?;
        Ok(PlaceFinder(Some(Finder { vendor, decoder, ring })))
    }

    /// The vCPU's last fault that KVM was asked to resolve. Call it on the vCPU's thread, out of the guest. `None` if there
    /// was none since the last call, or it was lost.
    pub(super) fn last(&mut self) -> Option<Place> {
        let Finder { vendor, decoder, ring } = self.0.as_mut()?;
        let mut last = None;
        ring.drain(usize::MAX, |item| {
            last = match item {
                Item::Gap => None,
                Item::Sample(sample) => match decoder.decode(sample.record) {
                    Some(KvmTrace::PageFault { rip, address, error_code }) => {
                        let code = FaultCode::decode(*vendor, error_code);
                        Some(Place {
                            gpa: address,
                            access: code.access,
                            rip: Some(rip),
                            error_code: Some(error_code),
                            stage: code.stage,
                        })
                    }
                    _ => last,
                },
            };
        });
        last
    }
}

fn lack(why: &str) -> Lack {
    Lack {
        why: format!("the tracepoint {EVENT} cannot be watched: {why}"),
        remedy: "run as root, or: sudo sysctl kernel.perf_event_paranoid=-1",
    }
}

/// A tracepoint this source cannot do without.
fn missing(lack: Lack) -> Missing {
    Missing { why: format!("KVM_RUN does not say where it failed, and {}", lack.why), remedy: lack.remedy }
}
