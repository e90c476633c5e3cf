//! Many tests: several at a time, told in their order.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crossbeam_channel::unbounded;

use super::{
    list::Listed,
    one::{Outcome, Setting, TestError, Verdict, run_one},
};

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They held.
    pub passed: usize,
    /// They did not.
    pub failed: usize,
    /// They could not be shown here.
    pub skipped: usize,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Skipped => self.skipped += 1,
        }
    }
}

/// Runs tests, `jobs` at a time, and hands each outcome to `tell` in the order of the tests.
///
/// # Errors
/// The lab's first; tests that have not begun by then are not run.
pub fn run_all(
    setting: &Setting<'_>,
    tests: &[Listed],
    jobs: usize,
    mut tell: impl FnMut(&Outcome),
) -> Result<Counts, TestError> {
    let next = AtomicUsize::new(0);
    let (sender, results) = unbounded();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, tests.len().max(1)) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(test) = tests.get(place) else { return };
                    // Nobody listens any more once a test could not be run.
                    if sender.send((place, run_one(setting, test, None))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut counts = Counts::default();
        let mut waiting = BTreeMap::new();
        let mut told = 0;
        for (place, result) in results {
            let outcome = match result {
                Ok(outcome) => outcome,
                Err(error) => {
                    next.store(tests.len(), Ordering::Relaxed);
                    return Err(error);
                }
            };
            counts.add(outcome.verdict);
            waiting.insert(place, outcome);
            while let Some(outcome) = waiting.remove(&told) {
                tell(&outcome);
                told += 1;
            }
        }
        Ok(counts)
    })
}
