//! Linux as the examiner: the same program natively and in the lab, and what each said compared line by line.
//!
//! [`CASES`] are programs about one topic each, [`sequence`] random operations. Both sides go through one normaliser.

mod case;
mod compare;
mod normal;
pub mod sequence;
mod side;
mod version;

pub use case::{CASES, Case, MERGES_AND_MOVES, Outcome};
pub use compare::first_difference;
pub use normal::normalise;
pub use side::{Said, Side};
pub use version::{linux, parse};
