//! Questions asked of a run file. Everything here reads the file and nothing else.

mod attached;
mod chain;
pub(crate) mod conservation;
mod dirty;
mod faults;
mod kvm;
mod latency;
mod places;
mod run_file;
mod summary;
mod takers;
mod vmas;
mod walk;

pub use attached::{Attached, ExitReason, Interval, Rate, Statistic};
pub use chain::{InnerFault, SlowFault};
pub use conservation::{Check, Conservation, NotChecked};
pub use dirty::DirtyPages;
pub(crate) use faults::NOT_JOINED;
pub use faults::{GuestFaults, HostFaults};
pub use kvm::Exits;
pub use latency::Percentiles;
pub use places::{HostPlaces, MOST_PLACES, Place};
pub use run_file::RunFile;
pub use summary::{LatencyNs, Message, MissingCall, Summary};
pub use vmas::VmaFaults;
pub use walk::{Backing, BackingFault, Frame, Walk, WalkEntry, WalkFault, WalkPage};
