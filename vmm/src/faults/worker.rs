//! The thread of a source: known by its id, and never waited for in vain.

use std::{
    fs, io,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;

use super::{FaultError, Watch};

/// How long a thread that was told to end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at a thread that is to end.
const LOOK: Duration = Duration::from_micros(200);

/// A thread that works for a source.
#[derive(Debug)]
pub struct Worker<T> {
    source: &'static str,
    thread: JoinHandle<T>,
    id: u32,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread with the source's name. If it panics, that is the source's failure.
    pub fn spawn(source: &'static str, watch: &Watch, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let guard = watch.guard(source);
        let (tell, told) = bounded(1);
        let thread = thread::Builder::new().name(source.to_owned()).spawn(move || {
            let _guard = guard;
            // The other end waits for it.
            let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned());
            work()
        })?;
        let id = told.recv().map_err(io::Error::other)?;
        Ok(Worker { source, thread, id })
    }

    /// Linux's id of the thread.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the end of the thread, which has been told to end. One that has gone without a word, as no Rust code can,
    /// is an error (std's own join would panic), and so is one that does not end.
    pub fn join(self) -> Result<T, FaultError> {
        let died = FaultError::Died { name: self.source };
        let begin = Instant::now();
        while !self.thread.is_finished() {
            if !exists(self.id) && !self.thread.is_finished() {
                return Err(died);
            }
            if begin.elapsed() > PATIENCE {
                return Err(FaultError::Stuck { name: self.source });
            }
            thread::sleep(LOOK);
        }
        self.thread.join().map_err(|_| died)
    }
}

/// Whether this process has a thread with this id. True if nobody can say.
pub fn exists(thread: u32) -> bool {
    fs::exists(format!("/proc/self/task/{thread}")).unwrap_or(true)
}
