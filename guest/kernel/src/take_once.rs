//! Statics that one owner takes for ever: large tables that must not travel over the stack.
#![expect(unsafe_code, reason = "hands out the one reference to a static")]

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

/// A value that can be taken once.
pub(crate) struct TakeOnce<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `take` gives out one reference in the whole life of the value.
unsafe impl<T: Send> Sync for TakeOnce<T> {}

impl<T> TakeOnce<T> {
    /// A value nobody has taken.
    pub(crate) const fn new(value: T) -> TakeOnce<T> {
        TakeOnce { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value.
    ///
    /// # Panics
    /// When it was taken before.
    #[expect(clippy::mut_from_ref, reason = "the flag makes the one reference exclusive")]
    pub(crate) fn take(&'static self) -> &'static mut T {
        assert!(!self.taken.swap(true, Ordering::Relaxed), "a static is taken twice");
        // SAFETY: nobody else has or will get a reference.
        unsafe { &mut *self.value.get() }
    }
}
