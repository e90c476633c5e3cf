//! KVM's own counters from before the guest's first instruction: with those of the end, a witness that counts page faults
//! and translations without knowing of any other source.

use kvm_bindings::KVM_CAP_BINARY_STATS_FD;

use super::{ActiveSource, FaultError, FaultSource, Missing, Probe, Tally, Watch};
use crate::vm::machine::open_kvm;

const NAME: &str = "stats";
/// What the names of the counters in the `run` view begin with; those of the end are `kvm.` in every run.
const PREFIX: &str = "kvm_before.";

/// The source.
#[derive(Debug)]
pub(super) struct Stats;

impl FaultSource for Stats {
    fn name(&self) -> &'static str {
        NAME
    }

    fn resolves(&self) -> bool {
        false
    }

    fn by_default(&self) -> bool {
        true
    }

    fn probe(&self) -> Probe {
        match open_kvm() {
            Ok(kvm) if kvm.check_extension_raw(u64::from(KVM_CAP_BINARY_STATS_FD)) > 0 => Probe::Available,
            Ok(_) => Probe::Missing(no_statistics()),
            Err(error) => {
                Probe::Missing(Missing { why: error.to_string(), remedy: "pagelab doctor says what KVM lacks" })
            }
        }
    }

    fn start(&self, watch: Watch) -> Result<Box<dyn ActiveSource>, FaultError> {
        if watch.counters.is_empty() {
            return Err(FaultError::Missing { name: NAME, missing: no_statistics() });
        }
        let before = watch.counters.read();
        Ok(Box::new(Active {
            facts: before.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.to_string())).collect(),
        }))
    }
}

fn no_statistics() -> Missing {
    Missing { why: "KVM gives no binary statistics".to_owned(), remedy: "boot Linux 5.14 or later" }
}

/// The source at work: KVM counts, this waits.
struct Active {
    facts: Vec<(String, String)>,
}

impl ActiveSource for Active {
    fn name(&self) -> &'static str {
        NAME
    }

    fn stop(self: Box<Self>) -> Result<Tally, FaultError> {
        Ok(Tally { copies: None, facts: self.facts })
    }
}
