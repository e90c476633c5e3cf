//! Random operations: made from a seed, run by `tests/oracle/sequence.c` on both sides, compared answer by answer, and a
//! difference shrunk to the shortest script that shows it.

mod generate;
mod operation;
mod search;
mod shrink;
mod transcript;

pub use generate::{EPISODE_LENGTH, Random, episode, script};
pub use operation::{Operation, read_script};
pub use search::{Found, Progress, Search};
pub use shrink::shrink;
pub use transcript::{Transcript, first_difference};
