//! `/proc`: which files there are, and what they say when they are read.
//!
//! The texts are made by [`pagelab_mm::text`], also on the host; here are the facts that go into them. [`tree`] lists the
//! files for whoever has a tree to hang them in. A text is made when a read begins at its start, as a whole.

mod machine;
mod pagemap;
mod process;
mod read;
mod sink;
mod sysctl;
mod tree;

use core::fmt;

use pagelab_mm::text::{self, Mount, Sink};

use crate::{state::Kernel, syscall::all_limits};

pub(crate) use read::{drop_text, read, readable, write};
use sysctl::store;
pub(crate) use tree::{Node, PROCESS, ROOT, TASKS, can_be_sent, find, mode, names};

/// What can be read as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum ProcFile {
    // Of the process.
    Auxv = 1,
    Cgroup,
    Cmdline,
    Comm,
    Environ,
    Io,
    Limits,
    Maps,
    Mountinfo,
    Mounts,
    OomScore,
    OomScoreAdj,
    Personality,
    Smaps,
    SmapsRollup,
    Stat,
    Statm,
    Status,
    // Of memory.
    Buddyinfo,
    Meminfo,
    Pagetypeinfo,
    Slabinfo,
    Vmallocinfo,
    Vmstat,
    Zoneinfo,
    // Of the system.
    Cpuinfo,
    Filesystems,
    KernelCmdline,
    Loadavg,
    Swaps,
    SystemStat,
    Uptime,
    Version,
    // Settings.
    BootId,
    CompactMemory,
    Hostname,
    MaxMapCount,
    MinFreeKbytes,
    MmapMinAddr,
    OsRelease,
    OsType,
    OvercommitMemory,
    OvercommitRatio,
    PidMax,
    RandomizeVaSpace,
    Swappiness,
}

/// What is mounted, as `crate::fs` has it.
const MOUNTS: [Mount; 5] = [
    Mount { source: "rootfs", target: "/", kind: "rootfs", options: "rw", minor: 2 },
    Mount { source: "devtmpfs", target: "/dev", kind: "devtmpfs", options: "rw,relatime", minor: 4 },
    Mount { source: "proc", target: "/proc", kind: "proc", options: "rw,relatime", minor: 5 },
    Mount { source: "tmpfs", target: "/dev/shm", kind: "tmpfs", options: "rw,relatime", minor: 3 },
    Mount { source: "tmpfs", target: "/tmp", kind: "tmpfs", options: "rw,relatime", minor: 3 },
];

/// Nanoseconds of a tick of 1/100 s.
const TICK_NS: u64 = 10_000_000;

/// Writes the text of a file as it is now.
///
/// # Errors
/// The sink's: it has no room.
pub(crate) fn render(kernel: &mut Kernel, file: ProcFile, out: &mut dyn Sink) -> fmt::Result {
    match file {
        ProcFile::Auxv => process::memory(kernel, kernel.process.layout.auxv, out),
        ProcFile::Cgroup => out.put(b"0::/\n"),
        ProcFile::Cmdline => process::memory(kernel, kernel.process.layout.arguments, out),
        ProcFile::Comm => process::comm(kernel, out),
        ProcFile::Environ => process::memory(kernel, kernel.process.layout.environment, out),
        // What the descriptors moved is not counted; nothing goes to a disk.
        ProcFile::Io => out
            .put(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"),
        ProcFile::Limits => text::limits(out, &all_limits(kernel)),
        ProcFile::Maps => process::maps(kernel, out),
        ProcFile::Mountinfo => text::mountinfo(out, &MOUNTS),
        ProcFile::Mounts => text::mounts(out, &MOUNTS),
        ProcFile::OomScore => process::oom_score(kernel, out),
        ProcFile::OomScoreAdj => sysctl::oom_score_adj(kernel, out),
        ProcFile::Personality => text::mask(out, kernel.process.personality),
        ProcFile::Smaps => process::smaps(kernel, out),
        ProcFile::SmapsRollup => process::smaps_rollup(kernel, out),
        ProcFile::Stat => process::stat(kernel, out),
        ProcFile::Statm => text::statm(out, &process::header(kernel)),
        ProcFile::Status => process::status(kernel, out),
        ProcFile::Buddyinfo => text::buddyinfo(out, kernel.zones.of(&kernel.mm)),
        ProcFile::Meminfo => {
            let header = kernel.mem_header();
            text::meminfo(out, &header, kernel.zones.of(&kernel.mm))
        }
        ProcFile::Pagetypeinfo => text::pagetypeinfo(out, kernel.zones.of(&kernel.mm)),
        ProcFile::Slabinfo => machine::slabinfo(kernel, out),
        ProcFile::Vmallocinfo => machine::vmallocinfo(kernel, out),
        ProcFile::Vmstat => {
            let header = kernel.mem_header();
            text::vmstat(out, &header, kernel.zones.of(&kernel.mm), &kernel.mm.stats.values)
        }
        ProcFile::Zoneinfo => {
            let header = kernel.mem_header();
            text::zoneinfo(out, &header, kernel.zones.of(&kernel.mm))
        }
        ProcFile::Cpuinfo => text::cpuinfo(out, kernel.cpu_model()),
        ProcFile::Filesystems => out.put(b"nodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tpipefs\nnodev\tramfs\n"),
        ProcFile::KernelCmdline => out.put(b"\n"),
        ProcFile::Loadavg => text::loadavg(out, kernel.process.pid),
        ProcFile::Swaps => out.put(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        ProcFile::SystemStat => {
            let ticks = process::user_ticks(kernel);
            text::system_stat(out, ticks, crate::clock::REALTIME_START, kernel.process.pid.into())
        }
        ProcFile::Uptime => text::uptime(out, kernel.clock.read()),
        ProcFile::Version => text::version(out),
        ProcFile::BootId => sysctl::boot_id(kernel, out),
        ProcFile::Hostname => sysctl::line(out, text::HOSTNAME),
        ProcFile::MaxMapCount => text::number(out, kernel.process.space.limits.max_map_count.into()),
        ProcFile::MinFreeKbytes => text::number(out, machine::min_free_kbytes(kernel)),
        ProcFile::MmapMinAddr => text::number(out, pagelab_abi::layout::MMAP_MIN_ADDR as i64),
        ProcFile::OsRelease => sysctl::line(out, text::RELEASE),
        ProcFile::OsType => out.put(b"Linux\n"),
        ProcFile::CompactMemory => text::number(out, 0),
        ProcFile::OvercommitMemory => text::number(out, kernel.mm.commit.mode.value().into()),
        ProcFile::OvercommitRatio => text::number(out, sysctl::OVERCOMMIT_RATIO),
        ProcFile::PidMax => text::number(out, 32768),
        ProcFile::RandomizeVaSpace => text::number(out, 0),
        ProcFile::Swappiness => text::number(out, 60),
    }
}
