//! Latency distributions.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::vm::clock::ticks_to_ns;

/// Digits that percentiles are exact to.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Longest time that is told apart: a day. What takes longer counts as a day.
const LONGEST_NS: u64 = 86_400_000_000_000;

/// What a distribution of times says, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Number of times measured.
    pub count: u64,
    /// Half are at most this.
    pub p50: u64,
    /// Nine tenths are at most this.
    pub p90: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// All of them together.
    pub sum: u64,
}

/// Collects times in TSC ticks.
#[derive(Debug)]
pub(super) struct Latency {
    histogram: Histogram<u64>,
    tsc_hz: u64,
    sum: u64,
}

impl Latency {
    /// An empty collection; `tsc_hz` is the number of ticks a second.
    pub(super) fn new(tsc_hz: u64) -> Self {
        let histogram = Histogram::new_with_max(LONGEST_NS, SIGNIFICANT_DIGITS).expect("the range is a valid one");
        Latency { histogram, tsc_hz, sum: 0 }
    }

    /// Adds the time between two readings. A time that ends before it begins counts as none.
    pub(super) fn add(&mut self, begin: u64, end: u64) {
        let nanoseconds = ticks_to_ns(end.saturating_sub(begin), self.tsc_hz);
        // `record` lets the histogram grow; `saturating_record` alone would cut at its first, small range.
        if self.histogram.record(nanoseconds).is_err() {
            self.histogram.saturating_record(nanoseconds);
        }
        self.sum = self.sum.saturating_add(nanoseconds);
    }

    /// What they say together.
    pub(super) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        Percentiles {
            count: self.histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: self.histogram.max(),
            sum: self.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_keep_their_length() {
        let mut latency = Latency::new(1_000_000_000);
        for _ in 0..10 {
            latency.add(5, 5 + 3_000_000_000);
        }
        latency.add(0, u64::MAX);
        let Percentiles { p50, max, .. } = latency.percentiles();
        assert!(p50.abs_diff(3_000_000_000) < 3_000_000, "{p50}");
        assert!(max.abs_diff(LONGEST_NS) < LONGEST_NS / 1000, "{max}");
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut latency = Latency::new(2_000_000_000);
        for tick in 1..=1000 {
            latency.add(0, tick * 2);
        }
        let Percentiles { count, p50, p90, p99, max, sum } = latency.percentiles();
        assert_eq!((count, p50, p90, p99, sum), (1000, 500, 900, 990, 500_500));
        assert_eq!(max, 1000);
    }

    #[test]
    fn long_times_keep_their_size() {
        let mut latency = Latency::new(1_000_000_000);
        for milliseconds in 1..=100 {
            latency.add(7, 7 + milliseconds * 1_000_000);
        }
        let Percentiles { p50, max, .. } = latency.percentiles();
        assert!((49_900_000..50_100_000).contains(&p50), "{p50}");
        assert!((99_900_000..100_100_000).contains(&max), "{max}");
    }

    #[test]
    fn nonsense_does_not_panic() {
        let mut latency = Latency::new(1);
        latency.add(5, 4);
        latency.add(0, u64::MAX);
        Latency::new(0).add(0, u64::MAX);
        assert_eq!(latency.percentiles().count, 2);
    }
}
