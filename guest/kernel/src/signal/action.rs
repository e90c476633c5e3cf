//! What the program wants done about each signal: Linux's `struct kernel_sigaction`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::set::{ByDefault, LAST, SignalSet, by_default};
use crate::take_once::TakeOnce;

static ACTIONS: TakeOnce<[Action; LAST as usize]> = TakeOnce::new([Action::DEFAULT; LAST as usize]);

/// Flags (Linux's `sa_flags`).
pub(crate) mod flags {
    pub(crate) const SIGINFO: u64 = 4;
    pub(crate) const RESTORER: u64 = 0x0400_0000;
    pub(crate) const ONSTACK: u64 = 0x0800_0000;
    pub(crate) const RESTART: u64 = 0x1000_0000;
    pub(crate) const NODEFER: u64 = 0x4000_0000;
    pub(crate) const RESETHAND: u64 = 0x8000_0000;
    const NOCLDSTOP: u64 = 1;
    const NOCLDWAIT: u64 = 2;
    const EXPOSE_TAGBITS: u64 = 0x800;
    /// Linux forgets all others, so that programs can find out which it knows.
    pub(super) const KNOWN: u64 =
        SIGINFO | RESTORER | ONSTACK | RESTART | NODEFER | RESETHAND | NOCLDSTOP | NOCLDWAIT | EXPOSE_TAGBITS;
}

/// What to do about one signal.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Action {
    /// SIG_DFL, SIG_IGN or the address of a handler.
    pub(crate) handler: u64,
    /// [`flags`].
    pub(crate) flags: u64,
    /// Where a handler returns to.
    pub(crate) restorer: u64,
    /// Signals that are blocked while the handler runs.
    pub(crate) mask: u64,
}

impl Action {
    const SIG_DFL: u64 = 0;
    pub(crate) const SIG_IGN: u64 = 1;
    /// What a program starts with.
    pub(super) const DEFAULT: Action = Action { handler: Action::SIG_DFL, flags: 0, restorer: 0, mask: 0 };

    pub(crate) fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// Whether a signal with this action does nothing.
    pub(super) fn ignores(&self, number: u32) -> bool {
        self.handler == Action::SIG_IGN || self.handler == Action::SIG_DFL && by_default(number) == ByDefault::Ignore
    }

    /// The handler, if there is one.
    pub(super) fn handler(&self) -> Option<u64> {
        (self.handler > Action::SIG_IGN).then_some(self.handler)
    }
}

/// The actions for all signals.
pub(super) struct Actions(&'static mut [Action; LAST as usize]);

impl Actions {
    /// All as by default. Called once.
    pub(super) fn new() -> Actions {
        Actions(ACTIONS.take())
    }

    pub(super) fn get(&self, number: u32) -> &Action {
        &self.0[number as usize - 1]
    }

    pub(super) fn set(&mut self, number: u32, action: Action) {
        self.0[number as usize - 1] = Action {
            flags: action.flags & flags::KNOWN,
            mask: SignalSet(action.mask).without(SignalSet::ALWAYS_OBEYED).0,
            ..action
        };
    }

    /// Puts the default back. Flags and mask stay.
    pub(super) fn reset(&mut self, number: u32) {
        self.0[number as usize - 1].handler = Action::SIG_DFL;
    }
}
