//! From raw observations to a run file: decoding, the clock, joining both streams.

mod input;

pub use input::{Access, CopyTally, Ending, HostFault, Input};
