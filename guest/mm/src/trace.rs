//! How memory management says what it does.

use core::panic::Location;

use pagelab_abi::event;

/// Receives what happens. The kernel writes records into the ring; tests count.
///
/// Guest faults are not here: the trap entry knows their times and registers, so the kernel writes them.
pub trait Trace {
    /// Frames were taken, given back or announced. `call_site` is the caller of the allocator; the implementation
    /// fills in [`event::Frame::call_site`].
    fn frame(&mut self, event: event::Frame, call_site: &'static Location<'static>);
    /// A VMA changed.
    fn vma(&mut self, event: event::Vma);
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    fn frame(&mut self, _event: event::Frame, _call_site: &'static Location<'static>) {}
    fn vma(&mut self, _event: event::Vma) {}
}
