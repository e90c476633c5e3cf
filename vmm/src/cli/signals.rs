//! Ctrl-C and the like: the first one ends the run in good order, the second one the lab.

use std::{io, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::run::StopHandle;

/// Hands SIGINT, SIGTERM and SIGHUP to `stop` from now on.
pub(super) fn forward(stop: StopHandle) -> io::Result<()> {
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
