//! The logical clock: the same program sees the same times in every run.

/// Where CLOCK_REALTIME starts: 2000-01-01 00:00:00 UTC, in seconds since 1970.
pub(crate) const REALTIME_START: u64 = 946_684_800;
/// Nanoseconds that a look at the clock takes.
const STEP_NS: u64 = 1_000;

/// Latest time: sleeping until then is sleeping for ever (Linux's KTIME_MAX).
pub(crate) const LATEST_NS: u64 = i64::MAX as u64;

/// Time that moves by one step whenever it is read, and by whole waits.
#[derive(Default)]
pub(crate) struct LogicalClock {
    now_ns: u64,
    slept_ns: u64,
}

impl LogicalClock {
    /// Time since boot in nanoseconds; every reading is later than the one before.
    pub(crate) fn read(&mut self) -> u64 {
        self.now_ns += STEP_NS;
        self.now_ns
    }

    /// Time since boot in nanoseconds, without a step.
    pub(crate) fn now(&self) -> u64 {
        self.now_ns
    }

    /// Nanoseconds that the program has run and not slept.
    pub(crate) fn running(&self) -> u64 {
        self.now_ns - self.slept_ns
    }

    /// The present on the clock of the calendar, without a step: times of files come from it. Seconds, nanoseconds.
    pub(crate) fn calendar(&self) -> [u64; 2] {
        [REALTIME_START + self.now_ns / 1_000_000_000, self.now_ns % 1_000_000_000]
    }

    /// When the clock of the calendar started.
    pub(crate) fn start(&self) -> [u64; 2] {
        [REALTIME_START, 0]
    }

    /// Passes the time until then, which is no time if it is past.
    pub(crate) fn sleep_until(&mut self, then: u64) {
        let slept = then.min(LATEST_NS).saturating_sub(self.now_ns);
        self.now_ns += slept;
        self.slept_ns += slept;
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

    /// A time since 1970 as one since boot, both in nanoseconds.
    pub(crate) fn since_boot(realtime: u64) -> u64 {
        realtime.saturating_sub(REALTIME_START * 1_000_000_000)
    }
}
