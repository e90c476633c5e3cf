//! Facts about the host that a run file keeps.

use std::fs;

/// The kernel's release, as `uname -r` prints it; `unknown` without /proc.
pub fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "unknown".to_owned(), |text| text.trim_end().to_owned())
}

/// The CPU's name, as /proc/cpuinfo has it; `unknown` where it has none.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
    name.unwrap_or("unknown").to_owned()
}
