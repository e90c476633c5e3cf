//! prctl(2), as far as one process has anything to set.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::{signal, state::Kernel, user_copy};

const SET_PDEATHSIG: u32 = 1;
const GET_PDEATHSIG: u32 = 2;
const GET_DUMPABLE: u32 = 3;
const SET_DUMPABLE: u32 = 4;
const GET_KEEPCAPS: u32 = 7;
const SET_KEEPCAPS: u32 = 8;
const SET_NAME: u32 = 15;
const GET_NAME: u32 = 16;
const GET_SECCOMP: u32 = 21;
const CAPBSET_READ: u32 = 23;
const SET_TIMERSLACK: u32 = 29;
const GET_TIMERSLACK: u32 = 30;
const SET_NO_NEW_PRIVS: u32 = 38;
const GET_NO_NEW_PRIVS: u32 = 39;

/// Highest capability (CAP_CHECKPOINT_RESTORE).
const LAST_CAPABILITY: u64 = 40;
/// Linux's default, in nanoseconds.
const DEFAULT_SLACK: u64 = 50_000;
/// Bytes of a thread's name, with its NUL.
const NAME_SIZE: usize = 16;

/// What is kept and told, and changes nothing else.
#[derive(Clone, Copy)]
pub(crate) struct Controls {
    death_signal: u32,
    dumpable: u64,
    keep_capabilities: u64,
    timer_slack: u64,
    no_new_privileges: u64,
}

impl Controls {
    pub(crate) const DEFAULT: Controls = Controls {
        death_signal: 0,
        dumpable: 1,
        keep_capabilities: 0,
        timer_slack: DEFAULT_SLACK,
        no_new_privileges: 0,
    };
}

pub(super) fn prctl(kernel: &mut Kernel, &[option, a, b, c, d, _]: &Args) -> Result {
    let rest_is_zero = b == 0 && c == 0 && d == 0;
    let controls = &mut kernel.process.controls;
    match option as u32 {
        SET_PDEATHSIG => {
            controls.death_signal = if a == 0 { 0 } else { valid_signal(a)? };
            Ok(0)
        }
        GET_PDEATHSIG => {
            let number = controls.death_signal;
            user_copy::put(kernel, a, &number).map(|()| 0)
        }
        GET_DUMPABLE => Ok(controls.dumpable),
        SET_DUMPABLE if a <= 1 => {
            controls.dumpable = a;
            Ok(0)
        }
        GET_KEEPCAPS => Ok(controls.keep_capabilities),
        SET_KEEPCAPS if a <= 1 => {
            controls.keep_capabilities = a;
            Ok(0)
        }
        SET_NAME => {
            let mut name = [0; NAME_SIZE];
            match user_copy::string(kernel, a, &mut name) {
                // What comes behind the NUL is not the name; a longer one is cut.
                Ok(length) => name[length..].fill(0),
                Err(Errno::ENAMETOOLONG) => name[NAME_SIZE - 1] = 0,
                Err(errno) => return Err(errno),
            }
            kernel.process.comm = name;
            Ok(0)
        }
        GET_NAME => {
            let name = kernel.process.comm;
            user_copy::put(kernel, a, &name).map(|()| 0)
        }
        GET_SECCOMP => Ok(0),
        CAPBSET_READ if a <= LAST_CAPABILITY => Ok(1),
        SET_TIMERSLACK => {
            controls.timer_slack = if a as i64 <= 0 { DEFAULT_SLACK } else { a };
            Ok(0)
        }
        GET_TIMERSLACK => Ok(controls.timer_slack),
        SET_NO_NEW_PRIVS if a == 1 && rest_is_zero => {
            controls.no_new_privileges = 1;
            Ok(0)
        }
        GET_NO_NEW_PRIVS if a == 0 && rest_is_zero => Ok(controls.no_new_privileges),
        // Names for anonymous memory among them (PR_SET_VMA), as a Linux without them.
        _ => Err(Errno::EINVAL),
    }
}

fn valid_signal(value: u64) -> core::result::Result<u32, Errno> {
    if value > u64::from(signal::LAST) { Err(Errno::EINVAL) } else { Ok(value as u32) }
}
