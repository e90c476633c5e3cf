//! System calls about time, all on the logical clock.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::{
    clock::{LATEST_NS, LogicalClock},
    signal::{self, Restart, Woken},
    state::Kernel,
    user_copy,
};

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const CLOCK_PROCESS_CPUTIME_ID: u32 = 2;
const CLOCK_THREAD_CPUTIME_ID: u32 = 3;
const CLOCK_MONOTONIC_RAW: u32 = 4;
const CLOCK_REALTIME_COARSE: u32 = 5;
const CLOCK_MONOTONIC_COARSE: u32 = 6;
const CLOCK_BOOTTIME: u32 = 7;
const CLOCK_TAI: u32 = 11;

const SECOND: u64 = 1_000_000_000;
/// Nanoseconds of a clock tick (`sysconf(_SC_CLK_TCK)` is 100).
const TICK: u64 = SECOND / 100;

pub(super) fn clock_gettime(kernel: &mut Kernel, &[clock, address, ..]: &Args) -> Result {
    let (seconds, nanoseconds) = match clock as u32 {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI => kernel.clock.realtime(),
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => kernel.clock.monotonic(),
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => {
            kernel.clock.read();
            let running = kernel.clock.running();
            (running / SECOND, running % SECOND)
        }
        _ => return Err(Errno::EINVAL),
    };
    user_copy::put(kernel, address, &[seconds, nanoseconds]).map(|()| 0)
}

pub(super) fn clock_getres(kernel: &mut Kernel, &[clock, address, ..]: &Args) -> Result {
    if !matches!(clock as u32, CLOCK_REALTIME..=CLOCK_BOOTTIME | CLOCK_TAI) {
        return Err(Errno::EINVAL);
    }
    if address != 0 {
        user_copy::put(kernel, address, &[0u64, 1])?;
    }
    Ok(0)
}

pub(super) fn gettimeofday(kernel: &mut Kernel, &[time, zone, ..]: &Args) -> Result {
    if time != 0 {
        let (seconds, nanoseconds) = kernel.clock.realtime();
        user_copy::put(kernel, time, &[seconds, nanoseconds / 1000])?;
    }
    if zone != 0 {
        user_copy::put(kernel, zone, &0u64)?;
    }
    Ok(0)
}

pub(super) fn time(kernel: &mut Kernel, &[address, ..]: &Args) -> Result {
    let (seconds, _) = kernel.clock.realtime();
    if address != 0 {
        user_copy::put(kernel, address, &seconds)?;
    }
    Ok(seconds)
}

/// All time that the program runs counts as its own; there are no children.
pub(super) fn times(kernel: &mut Kernel, &[address, ..]: &Args) -> Result {
    let now = kernel.clock.read();
    if address != 0 {
        user_copy::put(kernel, address, &[kernel.clock.running() / TICK, 0, 0, 0])?;
    }
    Ok(now / TICK)
}

/// A `struct timespec` as nanoseconds; longer than the clock counts is for ever.
pub(super) fn duration(kernel: &mut Kernel, address: u64) -> Result {
    let [seconds, nanoseconds] = user_copy::get::<[u64; 2]>(kernel, address)?;
    if seconds > i64::MAX as u64 || nanoseconds >= SECOND {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds).min(LATEST_NS))
}

/// The same, or `None` for a null pointer.
pub(super) fn optional_duration(kernel: &mut Kernel, address: u64) -> core::result::Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { duration(kernel, address).map(Some) }
}

pub(super) fn nanosleep(kernel: &mut Kernel, &[request, rest, ..]: &Args) -> Result {
    let length = duration(kernel, request)?;
    let deadline = kernel.clock.read().saturating_add(length);
    sleep(kernel, deadline, rest)
}

pub(super) fn clock_nanosleep(kernel: &mut Kernel, &[clock, flags, request, rest, ..]: &Args) -> Result {
    const TIMER_ABSTIME: u32 = 1;
    match clock as u32 {
        CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_PROCESS_CPUTIME_ID | CLOCK_BOOTTIME | CLOCK_TAI => {}
        CLOCK_THREAD_CPUTIME_ID | CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => {
            return Err(Errno::EOPNOTSUPP);
        }
        // The CPU time of another process.
        clock if (clock as i32) < 0 => return duration(kernel, request).and(Err(Errno::EINVAL)),
        _ => return Err(Errno::EINVAL),
    }
    let length = duration(kernel, request)?;
    let now = kernel.clock.read();
    let absolute = flags as u32 & TIMER_ABSTIME != 0;
    match clock as u32 {
        // The program's own time does not pass while it sleeps.
        CLOCK_PROCESS_CPUTIME_ID if absolute && length <= kernel.clock.running() || length == 0 => Ok(0),
        CLOCK_PROCESS_CPUTIME_ID => {
            Err(signal::wait(kernel, format_args!("time of its own to pass (clock_nanosleep)"), Restart::Never))
        }
        CLOCK_REALTIME | CLOCK_TAI if absolute => sleep(kernel, LogicalClock::since_boot(length), 0),
        _ if absolute => sleep(kernel, length, 0),
        _ => sleep(kernel, now.saturating_add(length), rest),
    }
}

/// Passes the time, up to a signal; what is left of it then goes to `rest`, if that is not null.
fn sleep(kernel: &mut Kernel, deadline: u64, rest: u64) -> Result {
    if signal::wait_until(kernel, Some(deadline), format_args!("a time")) == Woken::Time {
        return Ok(0);
    }
    if rest != 0 {
        let left = deadline.saturating_sub(kernel.clock.now());
        user_copy::put(kernel, rest, &[left / SECOND, left % SECOND])?;
    }
    Err(Errno::EINTR)
}
