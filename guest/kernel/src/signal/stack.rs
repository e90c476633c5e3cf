//! The alternate stack that handlers with SA_ONSTACK run on (sigaltstack(2)).

use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
/// Smallest stack (Linux's MINSIGSTKSZ on x86-64).
const MIN_SIZE: u64 = 2048;

/// Linux's `stack_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct StackT {
    start: u64,
    flags: u32,
    padding: u32,
    size: u64,
}

/// The alternate stack as the program set it; of size 0 if there is none.
#[derive(Clone, Copy)]
pub(crate) struct AltStack(StackT);

impl AltStack {
    /// What a program starts with: none, without a word about it.
    pub(super) const NONE: AltStack = AltStack(StackT { start: 0, flags: 0, padding: 0, size: 0 });
    /// One that was switched off.
    const OFF: AltStack = AltStack(StackT { start: 0, flags: SS_DISABLE, padding: 0, size: 0 });

    /// As it goes into a handler's context.
    pub(super) fn saved(&self) -> StackT {
        self.0
    }

    /// As `sigaltstack` tells it to a program with this stack pointer.
    pub(crate) fn told(&self, rsp: u64) -> StackT {
        let state = match () {
            () if self.0.size == 0 => SS_DISABLE,
            () if self.is_in_use(rsp) => SS_ONSTACK,
            () => 0,
        };
        StackT { flags: state | self.0.flags & SS_AUTODISARM, ..self.0 }
    }

    /// Whether a stack pointer lies on it.
    pub(super) fn holds(&self, rsp: u64) -> bool {
        rsp > self.0.start && rsp - self.0.start <= self.0.size
    }

    /// Whether a program with this stack pointer runs on it. One with SS_AUTODISARM never counts as in use: a handler
    /// has switched it off.
    pub(super) fn is_in_use(&self, rsp: u64) -> bool {
        self.0.flags & SS_AUTODISARM == 0 && self.holds(rsp)
    }

    /// Where a handler's stack starts; `None` if there is no alternate stack.
    pub(super) fn top(&self) -> Option<u64> {
        (self.0.size != 0).then(|| self.0.start.wrapping_add(self.0.size))
    }

    /// Replaces it.
    ///
    /// # Errors
    /// EPERM while the program runs on it, EINVAL for unknown flags, ENOMEM for a stack that is too small.
    pub(crate) fn set(&mut self, new: StackT, rsp: u64) -> Result<(), Errno> {
        if self.is_in_use(rsp) {
            return Err(Errno::EPERM);
        }
        let unchanged = (new.start, new.flags, new.size) == (self.0.start, self.0.flags, self.0.size);
        *self = match new.flags & !SS_AUTODISARM {
            0 | SS_ONSTACK | SS_DISABLE if unchanged => *self,
            SS_DISABLE => AltStack(StackT { start: 0, flags: new.flags, padding: 0, size: 0 }),
            0 | SS_ONSTACK if new.size < MIN_SIZE => return Err(Errno::ENOMEM),
            0 | SS_ONSTACK => AltStack(StackT { padding: 0, ..new }),
            _ => return Err(Errno::EINVAL),
        };
        Ok(())
    }

    /// Switches it off when a handler starts, if the program asked for that.
    pub(super) fn disarm(&mut self) {
        if self.0.flags & SS_AUTODISARM != 0 {
            *self = AltStack::OFF;
        }
    }
}
