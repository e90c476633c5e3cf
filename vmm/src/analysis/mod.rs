//! Questions asked of a run file. Everything here reads the file and nothing else.

pub(crate) mod conservation;
mod dirty;
mod faults;
mod kvm;
mod latency;
mod run_file;
mod summary;
mod vmas;

pub use conservation::{Check, Conservation, NotChecked};
pub use dirty::DirtyPages;
pub use faults::{GuestFaults, HostFaults};
pub use kvm::Exits;
pub use latency::Percentiles;
pub use run_file::RunFile;
pub use summary::{LatencyNs, Message, MissingCall, Summary};
pub use vmas::VmaFaults;
