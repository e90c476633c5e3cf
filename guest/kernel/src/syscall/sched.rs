//! System calls about scheduling: one CPU, one thread. What is set is kept and told, and changes nothing.

use pagelab_mm::errno::Errno;

use super::{Args, Result};
use crate::{state::Kernel, user_copy};

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_BATCH: u32 = 3;
const SCHED_IDLE: u32 = 5;
/// Set beside a policy: children start with the default one.
const RESET_ON_FORK: u32 = 0x4000_0000;
const MAX_PRIORITY: i32 = 99;

/// Policy and priorities.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scheduling {
    policy: u32,
    priority: i32,
    pub(crate) nice: i32,
}

fn is_itself(kernel: &Kernel, pid: u64) -> core::result::Result<(), Errno> {
    match pid as i32 {
        ..0 => Err(Errno::EINVAL),
        pid if pid == 0 || pid as u32 == kernel.process.pid => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// The priorities that a policy has.
fn priorities(policy: u32) -> core::result::Result<(i32, i32), Errno> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok((1, MAX_PRIORITY)),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn get_priority_min(&[policy, ..]: &Args) -> Result {
    priorities(policy as u32).map(|(min, _)| min as u64)
}

pub(super) fn get_priority_max(&[policy, ..]: &Args) -> Result {
    priorities(policy as u32).map(|(_, max)| max as u64)
}

pub(super) fn getscheduler(kernel: &mut Kernel, &[pid, ..]: &Args) -> Result {
    is_itself(kernel, pid).map(|()| u64::from(kernel.process.scheduling.policy))
}

pub(super) fn getparam(kernel: &mut Kernel, &[pid, param, ..]: &Args) -> Result {
    if param == 0 {
        return Err(Errno::EINVAL);
    }
    is_itself(kernel, pid)?;
    let priority = kernel.process.scheduling.priority;
    user_copy::put(kernel, param, &priority).map(|()| 0)
}

pub(super) fn setscheduler(kernel: &mut Kernel, &[pid, policy, param, ..]: &Args) -> Result {
    if (policy as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    set(kernel, pid, Some(policy as u32), param)
}

pub(super) fn setparam(kernel: &mut Kernel, &[pid, param, ..]: &Args) -> Result {
    set(kernel, pid, None, param)
}

fn set(kernel: &mut Kernel, pid: u64, policy: Option<u32>, param: u64) -> Result {
    if param == 0 || (pid as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority: i32 = user_copy::get(kernel, param)?;
    is_itself(kernel, pid)?;
    let policy = policy.unwrap_or(kernel.process.scheduling.policy);
    let (min, max) = priorities(policy & !RESET_ON_FORK)?;
    if !(min..=max).contains(&priority) {
        return Err(Errno::EINVAL);
    }
    kernel.process.scheduling.policy = policy;
    kernel.process.scheduling.priority = priority;
    Ok(0)
}

/// Writes the mask of the one CPU; answers with the bytes written.
pub(super) fn getaffinity(kernel: &mut Kernel, &[pid, size, mask, ..]: &Args) -> Result {
    const CPUS: u64 = 1;
    let size = u64::from(size as u32);
    if size == 0 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    is_itself(kernel, pid).map_err(|_| Errno::ESRCH)?;
    user_copy::put(kernel, mask, &CPUS).map(|()| 8)
}

pub(super) fn setaffinity(kernel: &mut Kernel, &[pid, size, mask, ..]: &Args) -> Result {
    let mut wanted = [0; 8];
    let taken = u64::from(size as u32).min(8) as usize;
    if taken != 0 {
        user_copy::read(kernel, mask, &mut wanted[..taken])?;
    }
    is_itself(kernel, pid).map_err(|_| Errno::ESRCH)?;
    if wanted[0] & 1 != 0 { Ok(0) } else { Err(Errno::EINVAL) }
}

pub(super) fn getcpu(kernel: &mut Kernel, &[cpu, node, ..]: &Args) -> Result {
    for address in [cpu, node] {
        if address != 0 {
            user_copy::put(kernel, address, &0u32)?;
        }
    }
    Ok(0)
}

/// Whether process, process group or user are this process's.
fn is_meant(kernel: &Kernel, which: u64, who: u64) -> core::result::Result<(), Errno> {
    let who = who as u32;
    let identity = &kernel.process.identity;
    let own = match which as u32 {
        0 => kernel.process.pid,
        1 => identity.group,
        2 => identity.user.real,
        _ => return Err(Errno::EINVAL),
    };
    if who == 0 || who == own { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Answers with 20 - nice, which is never negative.
pub(super) fn getpriority(kernel: &mut Kernel, &[which, who, ..]: &Args) -> Result {
    is_meant(kernel, which, who).map(|()| (20 - kernel.process.scheduling.nice) as u64)
}

pub(super) fn setpriority(kernel: &mut Kernel, &[which, who, nice, ..]: &Args) -> Result {
    is_meant(kernel, which, who)?;
    kernel.process.scheduling.nice = (nice as i32).clamp(-20, 19);
    Ok(0)
}
