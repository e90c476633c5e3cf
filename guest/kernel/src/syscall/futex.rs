//! futex(2) for a program with one thread: nobody waits, and nobody else could wake.

use pagelab_mm::errno::Errno;

use super::{Args, Result, time};
use crate::{
    clock::LogicalClock,
    signal::{self, Restart, Woken},
    state::Kernel,
    user_copy,
};

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;

pub(super) fn futex(kernel: &mut Kernel, &[word, operation, value, timeout, word2, value3]: &Args) -> Result {
    let operation = operation as u32;
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    let realtime = operation & CLOCK_REALTIME != 0;
    if realtime && command != WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    match command {
        WAIT | WAIT_BITSET => {
            let timeout = time::optional_duration(kernel, timeout)?;
            let deadline = match timeout {
                None => None,
                Some(length) if command == WAIT => Some(kernel.clock.read().saturating_add(length)),
                Some(absolute) if realtime => Some(LogicalClock::since_boot(absolute)),
                absolute => absolute,
            };
            if command == WAIT_BITSET && value3 as u32 == 0 {
                return Err(Errno::EINVAL);
            }
            check(kernel, operation, word)?;
            wait(kernel, word, value as u32, deadline)
        }
        WAKE_BITSET if value3 as u32 == 0 => Err(Errno::EINVAL),
        WAKE | WAKE_BITSET => check(kernel, operation, word).map(|()| 0),
        REQUEUE | CMP_REQUEUE => {
            // The fourth argument is a number here.
            if (value as i32) < 0 || (timeout as i32) < 0 {
                return Err(Errno::EINVAL);
            }
            check(kernel, operation, word)?;
            check(kernel, operation, word2)?;
            if command == CMP_REQUEUE && user_copy::get::<u32>(kernel, word)? != value3 as u32 {
                return Err(Errno::EAGAIN);
            }
            Ok(0)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// A futex that processes may share is known by its page, which must be there to be written.
fn check(kernel: &mut Kernel, operation: u32, word: u64) -> core::result::Result<(), Errno> {
    if !word.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if operation & PRIVATE != 0 {
        return user_copy::check(word, 4);
    }
    user_copy::frame(kernel, word, true).map(|_| ())
}

fn wait(kernel: &mut Kernel, word: u64, value: u32, deadline: Option<u64>) -> Result {
    if user_copy::get::<u32>(kernel, word)? != value {
        return Err(Errno::EAGAIN);
    }
    let what = format_args!("the futex at {word:#x}");
    match deadline {
        None => Err(signal::wait(kernel, what, Restart::IfAsked)),
        Some(_) if signal::wait_until(kernel, deadline, what) == Woken::Time => Err(Errno::ETIMEDOUT),
        Some(_) => Err(Errno::EINTR),
    }
}
