//! The in-guest tests: `pagelab test` boots the kernel that has them once for each, and says what came of it.
//!
//! ```text
//!  list.rs       the tests, from the kernel's ELF file: the only list there is
//!  choice.rs     which of them a filter means, and what it may have meant
//!  machine.rs    the machine of a test: what it fixes, and the user's wishes for the rest
//!  one.rs        one test: boot, run, judge
//!  suite.rs      many, several at a time, told in their order
//!  costs/        `pagelab bench`: benchmarks run twice, their difference, and the baseline it is held against
//! ```
//!
//! The other half is `guest/kernel/src/selftest`, and what both agree on is [`pagelab_abi::selftest`].

pub mod choice;
pub mod costs;
pub mod list;
pub mod machine;
pub mod one;
pub mod suite;
