//! The diagnosis of a program that a signal ended: what the guest sent of it, and what its file says.
//!
//! The recorder stores it ([`store`]) while it has the program's file; [`Diagnosis`] reads it back for reports, and
//! [`render`] writes it for people.

mod diagnosis;
mod image;
mod instruction;
mod last;
mod names;
mod record;
mod store;
mod text;
mod unwind;

pub use diagnosis::{Area, Diagnosis, Frame, Instruction};
pub use last::{LastCall, LastFault};
pub(crate) use record::Remains;
pub(crate) use store::{Origin, store};
pub(crate) use text::render;
