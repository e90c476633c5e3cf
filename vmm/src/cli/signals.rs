//! Ctrl-C and the like: the first one ends the run in good order, the second one the lab.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::run::StopHandle;

/// Hands SIGINT, SIGTERM and SIGHUP to `stop` from now on. A run file that meets a limit of file sizes (`ulimit -f`) is an
/// error of its write, not the death of this process.
pub(super) fn forward(stop: StopHandle) -> io::Result<()> {
    // Only that there is a handler matters: the write then fails with EFBIG.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watch = move || {
        for (count, signal) in signals.forever().enumerate() {
            if count == 0 {
                stop.stop(signal);
            } else if let Err(error) = emulate_default_handler(signal) {
                log::error!("cannot die of signal {signal}: {error}");
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map(drop)
}
