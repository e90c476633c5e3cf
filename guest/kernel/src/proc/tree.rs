//! The files of `/proc` by their paths, for whoever has a tree to hang them in.

use super::ProcFile;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Text that [`super::render`] makes.
    Text(ProcFile),
    /// Words that [`super::pagemap`] makes.
    Pagemap,
}

/// One entry. Directories have none of their own: they are where paths say.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Path below `/proc`; [`PID`] as the first component stands for the process's id.
    path: &'static str,
    /// What it is.
    kind: Kind,
    /// Permission bits.
    mode: u16,
}

/// The first component of the paths of a process.
const PID: &str = "PID";

const fn text(path: &'static str, file: ProcFile, mode: u16) -> Entry {
    Entry { path, kind: Kind::Text(file), mode }
}

/// All entries, those of a directory next to each other, in Linux's order.
static ENTRIES: &[Entry] = &[
    text("PID/environ", ProcFile::Environ, 0o400),
    text("PID/auxv", ProcFile::Auxv, 0o400),
    text("PID/status", ProcFile::Status, 0o444),
    text("PID/personality", ProcFile::Personality, 0o400),
    text("PID/limits", ProcFile::Limits, 0o444),
    text("PID/comm", ProcFile::Comm, 0o644),
    text("PID/cmdline", ProcFile::Cmdline, 0o444),
    text("PID/stat", ProcFile::Stat, 0o444),
    text("PID/statm", ProcFile::Statm, 0o444),
    text("PID/maps", ProcFile::Maps, 0o444),
    text("PID/mounts", ProcFile::Mounts, 0o444),
    text("PID/mountinfo", ProcFile::Mountinfo, 0o444),
    text("PID/smaps", ProcFile::Smaps, 0o444),
    text("PID/smaps_rollup", ProcFile::SmapsRollup, 0o444),
    Entry { path: "PID/pagemap", kind: Kind::Pagemap, mode: 0o400 },
    text("PID/cgroup", ProcFile::Cgroup, 0o444),
    text("PID/oom_score", ProcFile::OomScore, 0o444),
    text("PID/oom_score_adj", ProcFile::OomScoreAdj, 0o644),
    text("PID/io", ProcFile::Io, 0o400),
    text("buddyinfo", ProcFile::Buddyinfo, 0o444),
    text("cmdline", ProcFile::KernelCmdline, 0o444),
    text("cpuinfo", ProcFile::Cpuinfo, 0o444),
    text("filesystems", ProcFile::Filesystems, 0o444),
    text("loadavg", ProcFile::Loadavg, 0o444),
    text("meminfo", ProcFile::Meminfo, 0o444),
    text("pagetypeinfo", ProcFile::Pagetypeinfo, 0o400),
    text("slabinfo", ProcFile::Slabinfo, 0o400),
    text("stat", ProcFile::SystemStat, 0o444),
    text("swaps", ProcFile::Swaps, 0o444),
    text("uptime", ProcFile::Uptime, 0o444),
    text("version", ProcFile::Version, 0o444),
    text("vmallocinfo", ProcFile::Vmallocinfo, 0o400),
    text("vmstat", ProcFile::Vmstat, 0o444),
    text("zoneinfo", ProcFile::Zoneinfo, 0o444),
    text("sys/kernel/hostname", ProcFile::Hostname, 0o444),
    text("sys/kernel/osrelease", ProcFile::OsRelease, 0o444),
    text("sys/kernel/ostype", ProcFile::OsType, 0o444),
    text("sys/kernel/pid_max", ProcFile::PidMax, 0o444),
    text("sys/kernel/random/boot_id", ProcFile::BootId, 0o444),
    text("sys/kernel/randomize_va_space", ProcFile::RandomizeVaSpace, 0o444),
    text("sys/vm/compact_memory", ProcFile::CompactMemory, 0o200),
    text("sys/vm/max_map_count", ProcFile::MaxMapCount, 0o644),
    text("sys/vm/min_free_kbytes", ProcFile::MinFreeKbytes, 0o444),
    text("sys/vm/mmap_min_addr", ProcFile::MmapMinAddr, 0o444),
    text("sys/vm/overcommit_memory", ProcFile::OvercommitMemory, 0o644),
    text("sys/vm/overcommit_ratio", ProcFile::OvercommitRatio, 0o444),
    text("sys/vm/swappiness", ProcFile::Swappiness, 0o444),
];

/// Directories, by what the tree keeps of them; those of descriptors and of what paths lead to are not among them.
const DIRECTORIES: [&str; 7] = ["", PID, "PID/task", "sys", "sys/kernel", "sys/kernel/random", "sys/vm"];
/// `/proc` itself.
pub(crate) const ROOT: u32 = 0;
/// The process's directory, which is also its thread's.
pub(crate) const PROCESS: u32 = 1;
/// The directory with the process's threads.
pub(crate) const TASKS: u32 = 2;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Node {
    /// A directory.
    Directory(u32),
    /// A file.
    File(u32),
}

/// What a name in a directory stands for.
pub(crate) fn find(directory: u32, name: &[u8]) -> Option<Node> {
    let is_it = |path: &'static str| name_in(directory, path).is_some_and(|found| found == name);
    let place = |index: usize| index as u32;
    match DIRECTORIES.iter().position(|path| is_it(path)) {
        Some(index) => Some(Node::Directory(place(index))),
        None => ENTRIES.iter().position(|entry| is_it(entry.path)).map(|index| Node::File(place(index))),
    }
}

/// The names in a directory.
pub(crate) fn names(directory: u32) -> impl Iterator<Item = &'static [u8]> {
    let paths = DIRECTORIES.iter().copied().filter(|path| *path != PID).chain(ENTRIES.iter().map(|entry| entry.path));
    paths.filter_map(move |path| name_in(directory, path))
}

/// The name of a path's last component, if what comes before is this directory.
fn name_in(directory: u32, path: &'static str) -> Option<&'static [u8]> {
    let path = path.as_bytes();
    let name = match *DIRECTORIES.get(directory as usize)? {
        "" => path,
        directory => path.strip_prefix(directory.as_bytes())?.strip_prefix(b"/")?,
    };
    (!name.is_empty() && !name.contains(&b'/')).then_some(name)
}

/// Permission bits of a file.
pub(crate) fn mode(file: u32) -> u32 {
    ENTRIES.get(file as usize).map_or(0, |entry| entry.mode.into())
}

/// Whether sendfile takes a file: Linux cannot splice those of a process, but for what is mounted.
pub(crate) fn can_be_sent(file: u32) -> bool {
    let path = ENTRIES.get(file as usize).map_or("", |entry| entry.path);
    !path.starts_with("PID/") || path.starts_with("PID/mount")
}

/// What a file is.
pub(super) fn kind(file: u32) -> Option<Kind> {
    ENTRIES.get(file as usize).map(|entry| entry.kind)
}
