//! System calls that tell the program about itself and its system.

use pagelab_mm::errno::Errno;
use zerocopy::{Immutable, IntoBytes};

use super::{Args, Result};
use crate::{open_files::MAX_OPEN, state::Kernel, user_copy};

const RLIMIT_DATA: u64 = 2;
const RLIMIT_STACK: u64 = 3;
const RLIMIT_NOFILE: u64 = 7;
const RLIMIT_AS: u64 = 9;
const RLIMITS: u64 = 16;
const INFINITY: u64 = u64::MAX;

/// Limits on memory are kept and obeyed; the others are fixed.
pub(super) fn prlimit64(kernel: &mut Kernel, &[pid, resource, new, old, ..]: &Args) -> Result {
    let wanted = if new == 0 { None } else { Some(user_copy::get::<[u64; 2]>(kernel, new)?) };
    let (pid, resource) = (pid as u32, u64::from(resource as u32));
    if pid != 0 && pid != kernel.process.pid {
        return Err(Errno::ESRCH);
    }
    if resource >= RLIMITS {
        return Err(Errno::EINVAL);
    }
    let limits = &mut kernel.process.space.limits;
    let current = match resource {
        RLIMIT_DATA => limits.data.soft,
        RLIMIT_STACK => limits.stack.soft,
        RLIMIT_AS => limits.address_space.soft,
        RLIMIT_NOFILE => MAX_OPEN as u64,
        _ => INFINITY,
    };
    if let Some([soft, hard]) = wanted {
        if soft > hard {
            return Err(Errno::EINVAL);
        }
        match resource {
            RLIMIT_DATA => limits.data.soft = soft,
            RLIMIT_STACK => limits.stack.soft = soft,
            RLIMIT_AS => limits.address_space.soft = soft,
            _ => return Err(Errno::EPERM),
        }
    }
    if old != 0 {
        let hard = if resource == RLIMIT_NOFILE { current } else { INFINITY };
        user_copy::put(kernel, old, &[current, hard])?;
    }
    Ok(0)
}

/// Linux's `struct rusage`.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
struct Rusage {
    utime: [u64; 2],
    stime: [u64; 2],
    /// Kilobytes.
    maxrss: u64,
    shared: [u64; 3],
    minflt: u64,
    majflt: u64,
    rest: [u64; 8],
}

pub(super) fn getrusage(kernel: &mut Kernel, &[who, address, ..]: &Args) -> Result {
    const RUSAGE_SELF: i32 = 0;
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_THREAD: i32 = 1;
    let usage = match who as i32 {
        RUSAGE_SELF | RUSAGE_THREAD => {
            let (seconds, nanoseconds) = kernel.clock.monotonic();
            let usage = kernel.process.space.usage;
            let rss = usage.hiwater_rss.max(usage.rss());
            Rusage {
                utime: [seconds, nanoseconds / 1000],
                maxrss: rss * 4,
                minflt: usage.min_flt,
                majflt: usage.maj_flt,
                ..Rusage::default()
            }
        }
        RUSAGE_CHILDREN => Rusage::default(),
        _ => return Err(Errno::EINVAL),
    };
    user_copy::put(kernel, address, &usage).map(|()| 0)
}

pub(super) fn uname(kernel: &mut Kernel, &[address, ..]: &Args) -> Result {
    const FIELD: usize = 65;
    let fields: [&[u8]; 6] = [b"Linux", b"pagelab", b"6.12.0-pagelab", b"#1", b"x86_64", b"(none)"];
    let mut names = [0; 6 * FIELD];
    for (place, field) in names.chunks_mut(FIELD).zip(fields) {
        place[..field.len()].copy_from_slice(field);
    }
    user_copy::put(kernel, address, &names).map(|()| 0)
}
