//! Seeded fuzzing of everything that pagelab reads from others: program files, archives, the trace ring, run files, and
//! the guest kernel's system calls.
//!
//! A case is made of a seed and a number alone, so a finding can be had again. What a case must do is in its target.

pub mod driver;
pub mod mutate;
pub mod targets;

use fastrand::Rng;

/// Something that reads what it does not trust.
pub trait Target {
    /// What it is called on the command line.
    fn name(&self) -> &'static str;

    /// The input of a case.
    fn input(&mut self, random: &mut Rng) -> Vec<u8>;

    /// Reads an input. A panic is a finding, too.
    ///
    /// # Errors
    /// What is wrong: one line that names the kind of it, then the details.
    fn check(&mut self, input: &[u8]) -> Result<(), String>;
}

/// Gives up a case with a finding.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
