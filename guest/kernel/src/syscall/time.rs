//! System calls about time, all on the logical clock.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::{state::Kernel, user_copy};

const CLOCK_REALTIME: u32 = 0;
const CLOCK_REALTIME_COARSE: u32 = 5;
const CLOCK_BOOTTIME: u32 = 7;
/// Clocks that count from the start: monotonic, process and thread CPU time, raw, coarse, boot time.
const SINCE_BOOT: [u32; 6] = [1, 2, 3, 4, 6, CLOCK_BOOTTIME];

pub(super) fn clock_gettime(kernel: &mut Kernel, &[clock, address, ..]: &Args) -> Result {
    let (seconds, nanoseconds) = match clock as u32 {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE => kernel.clock.realtime(),
        clock if SINCE_BOOT.contains(&clock) => kernel.clock.monotonic(),
        _ => return Err(Errno::EINVAL),
    };
    user_copy::put(kernel, address, &[seconds, nanoseconds]).map(|()| 0)
}

pub(super) fn clock_getres(kernel: &mut Kernel, &[clock, address, ..]: &Args) -> Result {
    let clock = clock as u32;
    if clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE && !SINCE_BOOT.contains(&clock) {
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
