//! Counting the system calls that the guest does not have.

use pagelab_abi::snapshot::MissingSyscall;

/// Different numbers that are told apart; calls beyond are counted under the last.
const MAX: usize = 64;

/// Numbers and how often each was asked for, in the order of first use.
pub(crate) struct MissingSyscalls {
    entries: [MissingSyscall; MAX],
    used: usize,
}

impl MissingSyscalls {
    /// Nothing missed yet.
    pub(crate) const fn new() -> MissingSyscalls {
        MissingSyscalls { entries: [MissingSyscall { number: 0, count: 0 }; MAX], used: 0 }
    }

    /// One more call.
    pub(crate) fn count(&mut self, number: u32) {
        let found = self.entries[..self.used].iter().position(|entry| entry.number == number);
        let index = found.unwrap_or_else(|| {
            let index = self.used.min(MAX - 1);
            self.entries[index].number = number;
            self.used = index + 1;
            index
        });
        self.entries[index].count += 1;
    }

    /// What was missed.
    pub(crate) fn entries(&self) -> &[MissingSyscall] {
        &self.entries[..self.used]
    }
}
