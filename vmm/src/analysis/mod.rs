//! Questions asked of a run file. Everything here reads the file and nothing else.

pub(crate) mod conservation;
mod run_file;

pub use conservation::{Check, Conservation, NotChecked};
pub use run_file::RunFile;
