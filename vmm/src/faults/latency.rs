//! A host whose memory is far away: each fault is answered later than it could be.

use std::{
    hint, thread,
    time::{Duration, Instant},
};

/// What a sleep may be late by. The end of a wait is spent awake, so that it is neither too long nor too short.
const SLEEP_SLACK: Duration = Duration::from_micros(100);
/// The longest delay of a fault: a run must still be able to end.
pub const LONGEST: Duration = Duration::from_secs(1);

/// Waits until `delay` has passed since `begin`.
pub(super) fn wait(begin: Instant, delay: Duration) {
    if let Some(sleep) = delay.checked_sub(begin.elapsed() + SLEEP_SLACK) {
        thread::sleep(sleep);
    }
    while begin.elapsed() < delay {
        hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_too_short() {
        for delay in [Duration::ZERO, Duration::from_micros(20), Duration::from_millis(2)] {
            let begin = Instant::now();
            wait(begin, delay);
            assert!(begin.elapsed() >= delay);
        }
    }
}
