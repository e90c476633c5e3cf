//! Physical memory: the `Page` array, zones, and the buddy allocator of each zone.

mod gfp;
mod page;

pub use gfp::Gfp;
pub use page::{Page, PageState};

/// The zones and their free lists.
#[derive(Debug, Default)]
pub struct Frames {}

impl Frames {
    /// No zones yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// No frame could be found for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;
