//! Interval timers (setitimer(2)) on the logical clock.
//!
//! The clock moves when it is read, when a wait passes time, and, while a timer is armed, by one step a system call. A
//! timer is looked at on the way back to ring 3 from a system call or a fault: one that expires in the middle of a long
//! calculation is told at the next of them. So the same program gets its signals at the same instructions in every run.

use super::{
    info::SigInfo,
    pending::Target,
    set::{SIGALRM, SIGPROF, SIGVTALRM},
};
use crate::{clock::LogicalClock, state::Kernel};

/// Which timer: Linux's ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF.
pub(crate) const REAL: usize = 0;
const COUNT: usize = 3;
/// The signals they send.
const SIGNALS: [u32; COUNT] = [SIGALRM, SIGVTALRM, SIGPROF];

/// One timer, in nanoseconds of its clock.
#[derive(Clone, Copy, Default)]
struct Timer {
    /// When it expires next.
    expires: Option<u64>,
    /// How long after that again; 0 for never.
    interval: u64,
}

/// The three timers.
#[derive(Default)]
pub(crate) struct Timers([Timer; COUNT]);

/// What is left until a timer expires (0 if it is off), and its interval, in nanoseconds.
pub(crate) struct Setting {
    pub(crate) left: u64,
    pub(crate) interval: u64,
}

impl Timers {
    /// Whether any is armed.
    pub(super) fn armed(&self) -> bool {
        self.0.iter().any(|timer| timer.expires.is_some())
    }

    /// When the real one expires.
    pub(super) fn real(&self) -> Option<u64> {
        self.0[REAL].expires
    }

    fn setting(&self, which: usize, now: u64) -> Setting {
        let Timer { expires, interval } = self.0[which];
        // One that is due and not looked at yet is not off.
        let left = expires.map_or(0, |expires| expires.saturating_sub(now).max(1));
        Setting { left, interval: if expires.is_some() { interval } else { 0 } }
    }
}

/// What a timer's clock says. The other two count the time that the program runs.
fn now(clock: &LogicalClock, which: usize) -> u64 {
    if which == REAL { clock.now() } else { clock.running() }
}

/// The timer's setting; `None` if there is no such timer.
pub(crate) fn get(kernel: &Kernel, which: u64) -> Option<Setting> {
    let which = which as u32 as usize;
    (which < COUNT).then(|| kernel.signals.timers.setting(which, now(&kernel.clock, which)))
}

/// Sets a timer that there is.
pub(crate) fn set(kernel: &mut Kernel, which: u64, setting: &Setting) {
    let which = which as u32 as usize;
    let expires = now(&kernel.clock, which).saturating_add(setting.left);
    kernel.signals.timers.0[which] =
        Timer { expires: (setting.left != 0).then_some(expires), interval: setting.interval };
    kernel.signals.look();
}

/// Sends the signals of the timers that have expired.
pub(super) fn expire(kernel: &mut Kernel) {
    for (which, &number) in SIGNALS.iter().enumerate() {
        let timer = &mut kernel.signals.timers.0[which];
        let now = now(&kernel.clock, which);
        let Some(expired) = timer.expires.filter(|&expires| expires <= now) else { continue };
        timer.expires = match timer.interval {
            0 => None,
            // Periods that were missed are not made up for.
            interval => Some(expired.saturating_add(((now - expired) / interval + 1).saturating_mul(interval))),
        };
        kernel.signals.send(&SigInfo::kernel(number), Target::Process);
    }
}
