//! From raw observations to a run file: decoding, joining both streams, writing.
//!
//! A [`Recorder`] takes [`Input`]s from the running VM, decodes the guest's records (untrusted), writes them to the
//! run file and, at the end, joins host faults with frames and guest faults and runs the conservation check.
//! [`crate::analysis::RunFile`] reads the result.

mod bulk;
mod decode;
mod error;
mod input;
mod join;
mod recorder;
mod same_fault;
mod schema;
mod snapshot;
mod strings;
mod symbolize;
mod writer;

pub use decode::{Decoded, Decoder, Event, StreamHealth};
pub use error::RunFileError;
pub use input::{
    Access, CopyTally, Ending, HostFault, HostFaultKind, Images, Input, Interval, KvmEvent, RunBound, Sample,
    SampleKind, Stage, Trap,
};
pub(crate) use join::is_ram;
pub use recorder::Recorder;
pub(crate) use same_fault::primary_source;
pub(crate) use schema::OWNER_UNKNOWN;
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};

/// A run file in memory in which nothing has happened yet.
#[cfg(test)]
pub(crate) fn empty_run() -> rusqlite::Connection {
    let conn = rusqlite::Connection::open_in_memory().expect("memory");
    schema::create(&conn).expect("the schema is valid");
    conn
}
