//! System calls that tell the program about itself and its system.

use pagelab_abi::layout::PAGE_SIZE;
use pagelab_mm::{errno::Errno, text};
use zerocopy::{Immutable, IntoBytes};

use super::{Args, Result};
use crate::{state::Kernel, user_copy};

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
            kernel.clock.read();
            let running = kernel.clock.running();
            let usage = kernel.process.space.usage;
            let rss = usage.hiwater_rss.max(usage.rss());
            Rusage {
                utime: [running / 1_000_000_000, running % 1_000_000_000 / 1000],
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
    let fields: [&[u8]; 6] =
        [b"Linux", text::HOSTNAME.as_bytes(), text::RELEASE.as_bytes(), text::VERSION.as_bytes(), b"x86_64", b"(none)"];
    let mut names = [0; 6 * FIELD];
    for (place, field) in names.chunks_mut(FIELD).zip(fields) {
        place[..field.len()].copy_from_slice(field);
    }
    user_copy::put(kernel, address, &names).map(|()| 0)
}

/// Linux's `struct sysinfo`.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
struct SysInfo {
    uptime: u64,
    loads: [u64; 3],
    total_ram: u64,
    free_ram: u64,
    shared_ram: u64,
    buffer_ram: u64,
    swap: [u64; 2],
    processes: u16,
    padding: [u16; 3],
    high: [u64; 2],
    unit: u32,
    padding2: u32,
}

const _: () = assert!(size_of::<SysInfo>() == 112);

pub(super) fn sysinfo(kernel: &mut Kernel, &[address, ..]: &Args) -> Result {
    let (uptime, _) = kernel.clock.monotonic();
    let memory = kernel.mm.frames.mem_header();
    let info = SysInfo {
        uptime,
        total_ram: memory.managed * PAGE_SIZE,
        free_ram: memory.free * PAGE_SIZE,
        shared_ram: memory.shmem * PAGE_SIZE,
        processes: 1,
        unit: 1,
        ..SysInfo::default()
    };
    user_copy::put(kernel, address, &info).map(|()| 0)
}

/// Kept and told, and changes nothing: there is one personality.
pub(super) fn personality(kernel: &mut Kernel, &[wanted, ..]: &Args) -> Result {
    const ASK: u32 = u32::MAX;
    let before = kernel.process.personality;
    if wanted as u32 != ASK {
        kernel.process.personality = wanted as u32;
    }
    Ok(u64::from(before))
}

/// No command is there: one thread has nobody to wait for.
pub(super) fn membarrier(&[command, flags, ..]: &Args) -> Result {
    if command as u32 == 0 && flags as u32 == 0 { Ok(0) } else { Err(Errno::EINVAL) }
}
