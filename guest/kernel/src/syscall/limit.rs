//! Resource limits: those on memory are `pagelab-mm`'s, the others are kept here for whoever obeys them.

use pagelab_mm::{errno::Errno, space::Limit};

use super::{Args, Result};
use crate::{
    fs::open::{DEFAULT_OPEN, MAX_OPEN},
    signal::MAX_QUEUED,
    state::Kernel,
    user_copy,
};

const FSIZE: usize = 1;
const DATA: usize = 2;
const STACK: usize = 3;
const NOFILE: usize = 7;
const MEMLOCK: usize = 8;
const AS: usize = 9;
const SIGPENDING: usize = 11;
const COUNT: usize = 16;

/// Limits that memory management does not know, by Linux's number; those that it knows are not looked at here.
#[derive(Clone, Copy)]
pub(crate) struct Limits([Limit; COUNT]);

impl Limits {
    /// What a program starts with.
    pub(crate) const DEFAULT: Limits = {
        const CORE: usize = 4;
        const NPROC: usize = 6;
        const MSGQUEUE: usize = 12;
        const NICE: usize = 13;
        const RTPRIO: usize = 14;
        const fn both(value: u64) -> Limit {
            Limit { soft: value, hard: value }
        }
        let mut limits = [Limit::NONE; COUNT];
        // Nobody writes core dumps.
        limits[CORE] = Limit { soft: 0, hard: Limit::INFINITY };
        limits[NPROC] = both(1);
        limits[NOFILE] = Limit { soft: DEFAULT_OPEN, hard: MAX_OPEN as u64 };
        limits[SIGPENDING] = both(MAX_QUEUED as u64);
        limits[MSGQUEUE] = both(819_200);
        limits[NICE] = both(0);
        limits[RTPRIO] = both(0);
        Limits(limits)
    };

    /// RLIMIT_NOFILE: descriptors are lower.
    pub(crate) fn files(&self) -> u64 {
        self.0[NOFILE].soft
    }

    /// RLIMIT_FSIZE, in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.0[FSIZE].soft
    }
}

/// Soft and hard values of all limits, by Linux's number.
pub(crate) fn all_limits(kernel: &mut Kernel) -> [[u64; 2]; COUNT] {
    core::array::from_fn(|resource| {
        let Limit { soft, hard } = *limit(kernel, resource);
        [soft, hard]
    })
}

/// The limit with this number.
fn limit(kernel: &mut Kernel, resource: usize) -> &mut Limit {
    let memory = &mut kernel.process.space.limits;
    match resource {
        DATA => &mut memory.data,
        STACK => &mut memory.stack,
        MEMLOCK => &mut memory.memlock,
        AS => &mut memory.address_space,
        _ => &mut kernel.process.limits.0[resource % COUNT],
    }
}

pub(super) fn prlimit64(kernel: &mut Kernel, &[pid, resource, new, old, ..]: &Args) -> Result {
    let new = if new == 0 { None } else { Some(user_copy::get::<[u64; 2]>(kernel, new)?) };
    if pid as u32 != 0 && pid as u32 != kernel.process.pid {
        return Err(Errno::ESRCH);
    }
    exchange(kernel, resource, new, old)
}

pub(super) fn getrlimit(kernel: &mut Kernel, &[resource, old, ..]: &Args) -> Result {
    let resource = number(resource)?;
    let Limit { soft, hard } = *limit(kernel, resource);
    user_copy::put(kernel, old, &[soft, hard]).map(|()| 0)
}

pub(super) fn setrlimit(kernel: &mut Kernel, &[resource, new, ..]: &Args) -> Result {
    let new = user_copy::get::<[u64; 2]>(kernel, new)?;
    exchange(kernel, resource, Some(new), 0)
}

fn number(resource: u64) -> core::result::Result<usize, Errno> {
    match resource as u32 as usize {
        resource if resource < COUNT => Ok(resource),
        _ => Err(Errno::EINVAL),
    }
}

fn exchange(kernel: &mut Kernel, resource: u64, new: Option<[u64; 2]>, old: u64) -> Result {
    let resource = number(resource)?;
    let root = kernel.process.identity.user.effective == 0;
    let current = limit(kernel, resource);
    let before = *current;
    if let Some([soft, hard]) = new {
        if soft > hard {
            return Err(Errno::EINVAL);
        }
        // Linux's fs.nr_open: no table of descriptors is larger.
        let too_many = resource == NOFILE && hard > MAX_OPEN as u64;
        if too_many || hard > before.hard && !root {
            return Err(Errno::EPERM);
        }
        *current = Limit { soft, hard };
        if resource == SIGPENDING {
            kernel.signals.limit = soft.min(MAX_QUEUED as u64) as usize;
        }
    }
    if old != 0 {
        user_copy::put(kernel, old, &[before.soft, before.hard])?;
    }
    Ok(0)
}
