//! Waits for a run's end, or brings it about.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, after, at, never, select, tick};

use super::{LabError, config::StopListener};
use crate::{
    faults::{ActiveSource, FaultError, worker},
    vm::{
        Beat,
        vcpu::{Finished, RunningVcpu},
    },
};

/// How long a vCPU may take to stop while its fault source works, and how long once it has been released.
const STOP_PATIENCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// Time between kicks.
const KICK_INTERVAL: Duration = Duration::from_millis(50);
/// How often the ring of a running guest is drained, if it does not ask for it more often.
const DRAIN_INTERVAL: Duration = Duration::from_millis(200);

/// Why the lab ended a run.
#[derive(Debug)]
pub(super) enum Cause {
    /// The guest ended by itself.
    Guest,
    Timeout(Duration),
    Signal(i32),
    SourceFailed(FaultError),
}

/// What may end a run from outside of the guest.
pub(super) struct Ends<'a> {
    /// The sources, whose threads are looked at now and then.
    pub(super) sources: &'a [Box<dyn ActiveSource>],
    /// The time it may take, counted from now.
    pub(super) timeout: Option<Duration>,
    /// Signals.
    pub(super) stop: Option<&'a StopListener>,
    /// Sources that fail.
    pub(super) failure: &'a Receiver<FaultError>,
    /// Work that is due on the vCPU's thread now and then.
    pub(super) beats: Vec<Arc<Beat>>,
}

/// Waits for the first reason to end, and has the ring drained now and then, so that little is lost if the lab itself is
/// killed. [`Finished`] is there only if the guest ended by itself.
pub(super) fn wait(running: &RunningVcpu, ends: &Ends<'_>) -> Result<(Cause, Option<Finished>), LabError> {
    let no_stop = never();
    let mut stop = ends.stop.map_or(&no_stop, |listener| &listener.0);
    let deadline = ends.timeout.map_or_else(never, after);
    let drain = tick(DRAIN_INTERVAL);
    let mut beats = Beats::new(&ends.beats);
    loop {
        let cause = select! {
            recv(beats.next) -> _ => {
                beats.strike();
                running.nudge();
                continue;
            }
            recv(running.finished) -> finished => {
                // A source that ended the run from the vCPU's thread has said why.
                let cause = ends.failure.try_recv().map_or(Cause::Guest, Cause::SourceFailed);
                return Ok((cause, Some(finished.map_err(|_| LabError::VcpuDied)?)));
            }
            recv(ends.failure) -> error => match error {
                Ok(error) => Cause::SourceFailed(error),
                Err(_) => unreachable!("the run keeps a sender until the sources have stopped"),
            },
            recv(stop) -> signal => match signal {
                Ok(signal) => Cause::Signal(signal),
                Err(_) => {
                    // Nobody can stop this run any more: wait for its own end.
                    stop = &no_stop;
                    continue;
                }
            },
            recv(deadline) -> _ => Cause::Timeout(ends.timeout.unwrap_or_default()),
            recv(drain) -> _ => match gone(ends.sources) {
                // One that said why it failed has the word.
                Some(error) => Cause::SourceFailed(ends.failure.try_recv().unwrap_or(error)),
                None => {
                    running.nudge();
                    continue;
                }
            },
        };
        return Ok((cause, None));
    }
}

/// When each beat is to be struck next.
struct Beats<'a> {
    beats: Vec<(&'a Beat, Instant)>,
    /// Ready when the first of them is.
    next: Receiver<Instant>,
}

impl<'a> Beats<'a> {
    fn new(beats: &'a [Arc<Beat>]) -> Beats<'a> {
        let now = Instant::now();
        let beats = beats.iter().map(|beat| (&**beat, now + beat.every())).collect();
        let mut beats = Beats { beats, next: never() };
        beats.wait();
        beats
    }

    /// Strikes what is due.
    fn strike(&mut self) {
        let now = Instant::now();
        for (beat, next) in self.beats.iter_mut().filter(|(_, next)| *next <= now) {
            beat.strike();
            // In step with the first one; but what was missed is not made up for.
            *next = (*next + beat.every()).max(now);
        }
        self.wait();
    }

    fn wait(&mut self) {
        self.next = self.beats.iter().map(|(_, next)| *next).min().map_or_else(never, at);
    }
}

/// A source whose thread is no more, though it has not said that it failed.
fn gone(sources: &[Box<dyn ActiveSource>]) -> Option<FaultError> {
    let gone = sources.iter().find(|source| source.thread().is_some_and(|thread| !worker::exists(thread)))?;
    Some(FaultError::Died { name: gone.name() })
}

/// Stops a running vCPU. While the fault sources work, a kick is enough and every count stays exact; a vCPU that stays
/// in a fault is let go by force.
pub(super) fn stop(running: &RunningVcpu, sources: &[Box<dyn ActiveSource>]) -> Result<Finished, LabError> {
    for (round, patience) in STOP_PATIENCE.into_iter().enumerate() {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            running.stop();
            match running.finished.recv_timeout(KICK_INTERVAL) {
                Ok(finished) => return Ok(finished),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(LabError::VcpuDied),
            }
        }
        if round == 0 {
            log::debug!("the vCPU is still in a fault: its sources let it go");
            sources.iter().for_each(|source| source.release());
        }
    }
    Err(LabError::VcpuStuck)
}
