//! A growable store of fixed-size objects whose memory comes from the frame allocator.

use core::marker::PhantomData;

/// Index of an object in an [`Arena`]: the number of the frame that holds it times the slots in a frame, plus the
/// slot. 0 is "none", since frame 0 is never handed out.
pub type Slot = u32;

/// Objects of type `T`, 64 bytes each, in frames of their own.
#[derive(Debug)]
pub struct Arena<T> {
    objects: PhantomData<T>,
}

impl<T> Arena<T> {
    /// An empty arena; it takes its first frame with its first object.
    pub const fn new() -> Self {
        Arena { objects: PhantomData }
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self::new()
    }
}
