//! How memory management says what it does.

use core::panic::Location;

use pagelab_abi::event;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::machine::{KernelFault, Pfn};

/// Where something was asked for, in 32 bits: the low half of the address of its [`Location`], which is unique in one
/// program. What is kept of frames and objects, so that a mistake can be told with both its places.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CallSite(pub u32);

impl CallSite {
    /// Nobody knows where.
    pub const UNKNOWN: CallSite = CallSite(0);

    /// The call site at this place.
    #[inline]
    pub fn of(location: &'static Location<'static>) -> CallSite {
        if cfg!(miri) {
            // Miri gives a place another address each time that somebody asks for it.
            let file = (location.file().len() as u32) << 24;
            return CallSite(file ^ location.line() << 8 ^ location.column());
        }
        CallSite(core::ptr::from_ref(location) as usize as u32)
    }
}

/// Receives what happens. The kernel writes records into the ring; tests count.
///
/// A program's faults are not here: the trap entry knows their times and registers, so the kernel writes them.
/// The implementation fills in each event's `call_site`.
pub trait Trace {
    /// Frames were taken, given back or announced. `call_site` is the caller of the allocator.
    fn frame(&mut self, event: event::Frame, call_site: &'static Location<'static>);
    /// A VMA changed.
    fn vma(&mut self, event: event::Vma);
    /// Whether anybody listens to events of objects; where nobody does, they need not be told.
    #[inline]
    fn wants_slab(&self) -> bool {
        true
    }
    /// A cache of kernel objects, a slab of one or an object changed. `call_site` is the caller of the cache.
    fn slab(&mut self, event: event::Slab, call_site: &'static Location<'static>);
    /// An area of the kernel's own virtual memory changed. `call_site` is the caller of vmalloc.
    fn vmalloc(&mut self, event: event::Vmalloc, call_site: &'static Location<'static>);
    /// A fault of the kernel's own was served: a page of the area that begins at `start` has got its frame.
    fn kernel_fault(&mut self, fault: KernelFault, start: u64, pfn: Pfn);
    /// A string has this id from now on (see [`pagelab_abi::name`]).
    fn name(&mut self, id: u32, text: &[u8]);
    /// The call site at a place that no event tells of, so that [`Trace::location`] knows it.
    #[inline]
    fn remember(&mut self, location: &'static Location<'static>) -> CallSite {
        CallSite::of(location)
    }
    /// The place that a call site stands for; `None` where nobody remembers it.
    fn location(&self, site: CallSite) -> Option<&'static Location<'static>>;
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    fn frame(&mut self, _event: event::Frame, _call_site: &'static Location<'static>) {}
    fn vma(&mut self, _event: event::Vma) {}
    fn wants_slab(&self) -> bool {
        false
    }
    fn slab(&mut self, _event: event::Slab, _call_site: &'static Location<'static>) {}
    fn vmalloc(&mut self, _event: event::Vmalloc, _call_site: &'static Location<'static>) {}
    fn kernel_fault(&mut self, _fault: KernelFault, _start: u64, _pfn: Pfn) {}
    fn name(&mut self, _id: u32, _text: &[u8]) {}
    fn location(&self, _site: CallSite) -> Option<&'static Location<'static>> {
        None
    }
}
