//! System calls about interval timers.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::{
    signal::timer::{self, REAL, Setting},
    state::Kernel,
    user_copy,
};

const SECOND: u64 = 1_000_000_000;
const MICROSECOND: u64 = 1000;
/// More seconds than any timer counts (Linux's KTIME_SEC_MAX).
const MAX_SECONDS: u64 = i64::MAX as u64 / SECOND;

/// Linux's `struct itimerval`: interval and what is left, each in seconds and microseconds.
type TimerValue = [u64; 4];

fn told(setting: &Setting) -> TimerValue {
    // What is left is told as more than nothing.
    let left = setting.left.div_ceil(MICROSECOND) * MICROSECOND;
    let parts = |time: u64| [time / SECOND, time % SECOND / MICROSECOND];
    let ([a, b], [c, d]) = (parts(setting.interval), parts(left));
    [a, b, c, d]
}

fn nanoseconds(seconds: u64, microseconds: u64) -> core::result::Result<u64, Errno> {
    if seconds > i64::MAX as u64 || microseconds >= 1_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.min(MAX_SECONDS) * SECOND + microseconds * MICROSECOND)
}

pub(super) fn getitimer(kernel: &mut Kernel, &[which, value, ..]: &Args) -> Result {
    let setting = timer::get(kernel, which).ok_or(Errno::EINVAL)?;
    user_copy::put(kernel, value, &told(&setting)).map(|()| 0)
}

pub(super) fn setitimer(kernel: &mut Kernel, &[which, new, old, ..]: &Args) -> Result {
    // Linux takes no new value for one that switches the timer off.
    let [a, b, c, d] = if new == 0 { [0; 4] } else { user_copy::get::<TimerValue>(kernel, new)? };
    let setting = Setting { interval: nanoseconds(a, b)?, left: nanoseconds(c, d)? };
    let before = timer::get(kernel, which).ok_or(Errno::EINVAL)?;
    timer::set(kernel, which, &setting);
    if old != 0 {
        user_copy::put(kernel, old, &told(&before))?;
    }
    Ok(0)
}

/// Answers with the seconds that were left: rounded, but never 0 if any time was.
pub(super) fn alarm(kernel: &mut Kernel, &[seconds, ..]: &Args) -> Result {
    let before = timer::get(kernel, REAL as u64).map_or(0, |setting| setting.left);
    let setting = Setting { interval: 0, left: u64::from(seconds as u32) * SECOND };
    timer::set(kernel, REAL as u64, &setting);
    let rounded = (before + SECOND / 2) / SECOND;
    Ok(if before == 0 { 0 } else { rounded.max(1) })
}
