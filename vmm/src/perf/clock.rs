//! perf's times as readings of the time-stamp counter.
//!
//! Samples are stamped with CLOCK_MONOTONIC_RAW, which every kernel offers to perf and which no time daemon bends. Where
//! its source is the TSC it is a straight line over it, but its slope may change once, when Linux has measured the TSC
//! better a second after boot. So both clocks are read together again and again, and a time is placed on the line through
//! the readings around it.

use rustix::time::{ClockId, clock_gettime};

use crate::vm::clock::rdtsc;

/// Tries for a reading that nothing interrupted.
const TRIES: usize = 5;
/// Nanoseconds after which the line gets a new beginning: long enough for a slope that the readings' error does not show in.
const SPAN_NS: u64 = 10_000_000;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The TSC.
    pub tsc: u64,
    /// CLOCK_MONOTONIC_RAW.
    pub ns: u64,
    /// How far `tsc` may be from the moment that `ns` names, in ticks.
    pub error_ticks: u64,
}

impl Reading {
    /// Reads both clocks.
    pub fn now() -> Reading {
        let tries = (0..TRIES).map(|_| {
            let before = rdtsc();
            let time = clock_gettime(ClockId::MonotonicRaw);
            let width = rdtsc().saturating_sub(before);
            let ns = time.tv_sec.cast_unsigned().saturating_mul(1_000_000_000) + time.tv_nsec.cast_unsigned();
            Reading { tsc: before + width / 2, ns, error_ticks: width.div_ceil(2) }
        });
        tries.min_by_key(|reading| reading.error_ticks).unwrap_or(Reading { tsc: 0, ns: 0, error_ticks: u64::MAX })
    }
}

/// The line between two readings, moved along as time goes on.
#[derive(Clone, Copy, Debug)]
pub struct ClockMap {
    begin: Reading,
    end: Reading,
    error_ticks: u64,
}

impl ClockMap {
    /// A line that begins here. [`ClockMap::extend`] it before it is used.
    pub fn new(begin: Reading) -> ClockMap {
        ClockMap { begin, end: begin, error_ticks: begin.error_ticks }
    }

    /// Takes a later reading: times from the last one up to it lie on the line now.
    pub fn extend(&mut self, reading: Reading) {
        if self.end.ns.saturating_sub(self.begin.ns) >= SPAN_NS {
            self.begin = self.end;
        }
        self.end = reading;
        self.error_ticks = self.error_ticks.max(reading.error_ticks);
    }

    /// The TSC at this time.
    pub fn tsc(&self, ns: u64) -> u64 {
        let span = i128::from(self.end.ns) - i128::from(self.begin.ns);
        if span <= 0 {
            return self.end.tsc;
        }
        let ticks = i128::from(self.end.tsc) - i128::from(self.begin.tsc);
        let since = i128::from(ns) - i128::from(self.begin.ns);
        // Saturating: no clock of this world comes near, and readings are not to be trusted more than that.
        let tsc = (ticks.saturating_mul(since) / span).saturating_add(self.begin.tsc.into());
        u64::try_from(tsc.max(0)).unwrap_or(u64::MAX)
    }

    /// How far any time mapped so far may be off, in ticks: the largest error of a reading. Holds for times between
    /// readings.
    pub fn error_ticks(&self) -> u64 {
        self.error_ticks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(ns: u64, tsc: u64) -> Reading {
        Reading { tsc, ns, error_ticks: 20 }
    }

    #[test]
    fn times_lie_on_the_line_between_two_readings() {
        let mut map = ClockMap::new(reading(1_000, 50_000));
        assert_eq!(map.tsc(2_000), 50_000, "no line yet");
        map.extend(reading(2_000, 53_000));
        assert_eq!((map.tsc(1_000), map.tsc(1_500), map.tsc(2_000)), (50_000, 51_500, 53_000));
        assert_eq!((map.tsc(900), map.tsc(2_100)), (49_700, 53_300), "a little beyond");
        assert_eq!(map.error_ticks(), 20);
    }

    #[test]
    fn a_new_slope_is_followed() {
        let mut map = ClockMap::new(reading(0, 0));
        map.extend(reading(20_000_000, 40_000_000));
        map.extend(reading(40_000_000, 100_000_000));
        assert_eq!(map.tsc(30_000_000), 70_000_000);
    }

    #[test]
    fn this_hosts_clocks_agree_with_the_line() {
        let mut map = ClockMap::new(Reading::now());
        let between: Vec<Reading> = (0..100).map(|_| Reading::now()).collect();
        map.extend(Reading::now());
        let worst = between.iter().map(|reading| map.tsc(reading.ns).abs_diff(reading.tsc)).max().expect("readings");
        let allowed = between.iter().map(|reading| reading.error_ticks).max().expect("readings");
        // One more tick's worth of a nanosecond for the rounding of the clock.
        assert!(worst <= map.error_ticks() + allowed + 10, "{worst} ticks, {map:?}");
    }

    proptest! {
        #[test]
        fn nothing_overflows(a: (u64, u64), b: (u64, u64), c: (u64, u64), ns: u64) {
            let mut map = ClockMap::new(reading(a.0, a.1));
            map.extend(reading(b.0, b.1));
            map.extend(reading(c.0, c.1));
            map.tsc(ns);
        }
    }
}
