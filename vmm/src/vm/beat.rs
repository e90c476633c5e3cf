//! Work that is due on a vCPU's thread at an interval.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Shared by the run's wait, which strikes it and kicks the vCPU, and by the hook that then does the work.
#[derive(Debug)]
pub struct Beat {
    every: Duration,
    due: AtomicBool,
}

impl Beat {
    /// A beat that is struck after each interval.
    pub fn new(every: Duration) -> Beat {
        Beat { every, due: AtomicBool::new(false) }
    }

    /// The interval.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Says that the work is due. Struck twice before it is done, it is done once.
    pub fn strike(&self) {
        self.due.store(true, Ordering::Release);
    }

    /// Whether the work is due; it is not any more.
    pub fn take(&self) -> bool {
        self.due.swap(false, Ordering::AcqRel)
    }
}
