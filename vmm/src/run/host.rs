//! Facts about the host that a run file keeps.

use std::{
    fs::{self, File},
    io::Read,
};

/// The kernel's release, as `uname -r` prints it; `unknown` without /proc.
pub fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "unknown".to_owned(), |text| text.trim_end().to_owned())
}

/// The CPU's name, as /proc/cpuinfo has it; `unknown` where it has none. Only the first CPU's part is read: the whole
/// file takes the kernel milliseconds on a large host.
pub fn cpu_model() -> String {
    let mut part = [0; 4096];
    let length = File::open("/proc/cpuinfo").and_then(|mut file| file.read(&mut part)).unwrap_or(0);
    let text = String::from_utf8_lossy(&part[..length]);
    let name = text.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
    name.unwrap_or("unknown").to_owned()
}
