//! The logical clock: the same program sees the same times in every run.

/// Where CLOCK_REALTIME starts: 2000-01-01 00:00:00 UTC, in seconds since 1970.
const REALTIME_START: u64 = 946_684_800;
/// Nanoseconds that a look at the clock takes.
const STEP_NS: u64 = 1_000;

/// Time that moves by one step whenever it is read.
#[derive(Default)]
pub(crate) struct LogicalClock {
    now_ns: u64,
}

impl LogicalClock {
    /// Time since boot in nanoseconds; every reading is later than the one before.
    pub(crate) fn read(&mut self) -> u64 {
        self.now_ns += STEP_NS;
        self.now_ns
    }

    /// Seconds and nanoseconds since boot.
    pub(crate) fn monotonic(&mut self) -> (u64, u64) {
        let now = self.read();
        (now / 1_000_000_000, now % 1_000_000_000)
    }

    /// Seconds and nanoseconds since 1970.
    pub(crate) fn realtime(&mut self) -> (u64, u64) {
        let (seconds, nanoseconds) = self.monotonic();
        (REALTIME_START + seconds, nanoseconds)
    }
}
