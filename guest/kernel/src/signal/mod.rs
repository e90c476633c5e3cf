//! Signals as Linux has them, for one process with one thread.
//!
//! A signal is sent by the program itself, by a timer, or by the kernel for what an instruction did. It is delivered on
//! the way back to ring 3, and all that the way back pays is one test of [`Signals::attention`].

mod action;
mod deliver;
pub(crate) mod exception;
mod fpu;
mod frame;
mod info;
mod pending;
mod set;
mod stack;
pub(crate) mod timer;
mod wait;

use pagelab_abi::crash::CrashCause;
use pagelab_mm::errno::Errno;
use pending::Pending;

pub(crate) use action::Action;
pub(crate) use deliver::leave;
pub(crate) use frame::go_back;
pub(crate) use info::code::SI_KERNEL;
pub(crate) use info::{SigInfo, code};
pub(crate) use pending::{MAX_QUEUED, Target};
pub(crate) use set::{LAST, SIGKILL, SignalSet, number};
pub(crate) use stack::{AltStack, StackT};
pub(crate) use wait::{Restart, Woken, wait, wait_for, wait_until};

use action::Actions;
use fpu::Fpu;
use timer::Timers;

/// The exception that last made a signal, as handlers find it in their context.
#[derive(Clone, Copy, Default)]
pub(crate) struct Raised {
    /// Vector.
    vector: u64,
    /// Error code.
    error: u64,
    /// CR2 of the last page fault that made a signal.
    address: u64,
}

/// All that the process has of signals.
pub(crate) struct Signals {
    /// Something may be to be done before ring 3 goes on: a signal is due, a timer is armed, or a mask is to be put
    /// back.
    pub(crate) attention: bool,
    blocked: SignalSet,
    /// Blocked signals that are waited for: they are not ignored, and wake.
    waited_for: SignalSet,
    /// What is blocked after a wait that has a mask of its own.
    mask_after_wait: Option<SignalSet>,
    /// The system call that was interrupted starts again if the handler asks for it.
    restart: bool,
    actions: Actions,
    pending: Pending,
    /// The alternate stack.
    pub(crate) stack: AltStack,
    fpu: Fpu,
    timers: Timers,
    last_raised: Raised,
    /// The last signal that the kernel forced on the program, and why.
    forced: (u32, CrashCause),
    /// RLIMIT_SIGPENDING.
    pub(crate) limit: usize,
}

impl Signals {
    /// What a program starts with. Called once.
    pub(crate) fn new() -> Signals {
        Signals {
            attention: false,
            blocked: SignalSet::default(),
            waited_for: SignalSet::default(),
            mask_after_wait: None,
            restart: false,
            actions: Actions::new(),
            pending: Pending::new(),
            stack: AltStack::NONE,
            fpu: Fpu::new(),
            timers: Timers::default(),
            last_raised: Raised::default(),
            forced: (0, CrashCause::Sent),
            limit: MAX_QUEUED,
        }
    }

    /// What is blocked.
    pub(crate) fn blocked(&self) -> SignalSet {
        self.blocked
    }

    /// What is pending, for the thread or for the process.
    pub(crate) fn pending(&self, target: Target) -> SignalSet {
        self.pending.of(target)
    }

    /// Blocks these signals and no others.
    pub(crate) fn set_blocked(&mut self, blocked: SignalSet) {
        self.blocked = blocked.without(SignalSet::ALWAYS_OBEYED);
        self.look();
    }

    /// Blocks these signals until a handler or the wait is over.
    pub(crate) fn set_blocked_for_wait(&mut self, blocked: SignalSet) {
        self.mask_after_wait = Some(self.blocked);
        self.set_blocked(blocked);
    }

    /// The action for a signal.
    pub(crate) fn action(&self, number: u32) -> Action {
        *self.actions.get(number)
    }

    /// Replaces the action for a signal.
    pub(crate) fn set_action(&mut self, number: u32, action: Action) {
        self.actions.set(number, action);
        if action.ignores(number) {
            self.pending.discard(SignalSet::only(number));
            self.look();
        }
    }

    /// Sends a signal. One that would be ignored is dropped at once. Real-time signals that find no room are dropped if
    /// they carry a value.
    ///
    /// # Errors
    /// EAGAIN for such a one.
    pub(crate) fn queue(&mut self, info: &SigInfo, target: Target) -> Result<(), Errno> {
        let number = info.signo as u32;
        if info.code != code::SI_USER && !self.pending.has_room(number, self.limit) {
            return Err(Errno::EAGAIN);
        }
        self.send(info, target);
        Ok(())
    }

    /// Sends a signal.
    pub(crate) fn send(&mut self, info: &SigInfo, target: Target) {
        let number = info.signo as u32;
        if SignalSet::STOPS.contains(number) {
            self.pending.discard(SignalSet::CONTINUES);
        } else if SignalSet::CONTINUES.contains(number) {
            self.pending.discard(SignalSet::STOPS);
        }
        let held = self.blocked.or(self.waited_for).contains(number);
        if held || !self.actions.get(number).ignores(number) {
            self.pending.add(number, info, target, self.limit);
        }
        self.look();
    }

    /// Sends a signal that an instruction raised: one that is blocked or ignored ends the program.
    pub(crate) fn force(&mut self, info: &SigInfo, cause: CrashCause, raised: Option<Raised>) {
        let number = info.signo as u32;
        if let Some(raised) = raised {
            self.last_raised = raised;
        }
        if self.blocked.contains(number) || self.actions.get(number).ignores(number) {
            self.actions.reset(number);
            self.blocked = self.blocked.without(SignalSet::only(number));
        }
        self.forced = (number, cause);
        self.send(info, Target::Thread);
    }

    /// Signals that are pending and not blocked.
    pub(crate) fn due(&self) -> SignalSet {
        self.pending.set().without(self.blocked)
    }

    /// Takes the next signal of a set that is pending.
    pub(crate) fn take(&mut self, set: SignalSet) -> Option<(u32, SigInfo)> {
        let taken = self.pending.take(set);
        self.look();
        taken
    }

    fn take_due(&mut self) -> Option<(u32, SigInfo)> {
        // SIGKILL before all others.
        let killed = self.due().and(SignalSet::only(SIGKILL));
        self.take(if killed.is_empty() { self.due() } else { killed })
    }

    /// Whether this signal would end a wait if it were sent.
    fn wakes(&self, number: u32) -> bool {
        self.waited_for.contains(number) || !self.blocked.contains(number) && !self.actions.get(number).ignores(number)
    }

    /// What brought this signal about.
    fn cause_of(&self, number: u32, info: &SigInfo) -> CrashCause {
        let (forced, cause) = self.forced;
        if forced == number && !info.is_sent() { cause } else { CrashCause::Sent }
    }

    /// Finds out whether there is anything to do on the way back to ring 3.
    fn look(&mut self) {
        self.attention = !self.due().is_empty() || self.mask_after_wait.is_some() || self.timers.armed();
    }
}
