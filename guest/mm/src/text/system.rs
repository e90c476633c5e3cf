//! Texts about the system as a whole that are not about memory.

use core::fmt;

use super::{Sink, out::Out};

/// Release of the kernel, as uname tells it.
pub const RELEASE: &str = "6.12.0-pagelab";
/// Version of the kernel, as uname tells it.
pub const VERSION: &str = "#1";
/// Name of the machine, as uname tells it.
pub const HOSTNAME: &str = "pagelab";

/// A mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub source: &'static str,
    /// Where.
    pub target: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its options.
    pub options: &'static str,
    /// Minor number of its device; the major number is 0.
    pub minor: u32,
}

/// `/proc/mounts`.
///
/// # Errors
/// The sink's.
pub fn mounts(sink: &mut dyn Sink, mounts: &[Mount]) -> fmt::Result {
    let mut out = Out::new(sink);
    for mount in mounts {
        for field in [mount.source, mount.target, mount.kind, mount.options] {
            out.text(field);
            out.byte(b' ');
        }
        out.text("0 0\n");
    }
    out.finish()
}

/// `/proc/PID/mountinfo`. Ids are positions; the first mount is the root, and the parent of all.
///
/// # Errors
/// The sink's.
pub fn mountinfo(sink: &mut dyn Sink, mounts: &[Mount]) -> fmt::Result {
    let mut out = Out::new(sink);
    for (id, mount) in (1..).zip(mounts) {
        out.decimal(id);
        out.text(" 1 0:");
        out.decimal(mount.minor.into());
        for field in [" / ", mount.target, " ", mount.options, " - ", mount.kind, " ", mount.source, " rw\n"] {
            out.text(field);
        }
    }
    out.finish()
}

/// `/proc/uptime`: seconds since boot, and those in which the CPU had nothing to do: none.
///
/// # Errors
/// The sink's.
pub fn uptime(sink: &mut dyn Sink, nanoseconds: u64) -> fmt::Result {
    let mut out = Out::new(sink);
    let hundredths = nanoseconds / 10_000_000;
    out.decimal(hundredths / 100);
    out.byte(b'.');
    out.decimal(hundredths % 100 / 10);
    out.decimal(hundredths % 10);
    out.text(" 0.00\n");
    out.finish()
}

/// `/proc/stat`: ticks of 1/100 s, all in ring 3, the second of the start since 1970, and the number of processes.
///
/// # Errors
/// The sink's.
pub fn system_stat(sink: &mut dyn Sink, user_ticks: u64, boot_seconds: u64, processes: u64) -> fmt::Result {
    let mut out = Out::new(sink);
    for cpu in ["cpu  ", "cpu0 "] {
        out.text(cpu);
        out.decimal(user_ticks);
        out.text(" 0 0 0 0 0 0 0 0 0\n");
    }
    out.text("intr 0\nctxt 0\n");
    out.line("btime", boot_seconds);
    out.line("processes", processes);
    out.text("procs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n");
    out.finish()
}

/// `/proc/loadavg`: nothing but the one process runs, and no clock samples it.
///
/// # Errors
/// The sink's.
pub fn loadavg(sink: &mut dyn Sink, last_pid: u32) -> fmt::Result {
    let mut out = Out::new(sink);
    out.text("0.00 0.00 0.00 1/1 ");
    out.decimal(last_pid.into());
    out.byte(b'\n');
    out.finish()
}

/// `/proc/version`.
///
/// # Errors
/// The sink's.
pub fn version(sink: &mut dyn Sink) -> fmt::Result {
    let mut out = Out::new(sink);
    for part in ["Linux version ", RELEASE, " (pagelab@", HOSTNAME, ") (rustc, rust-lld) ", VERSION, "\n"] {
        out.text(part);
    }
    out.finish()
}

/// A file that holds one number.
///
/// # Errors
/// The sink's.
pub fn number(sink: &mut dyn Sink, value: i64) -> fmt::Result {
    let mut out = Out::new(sink);
    out.signed(value);
    out.byte(b'\n');
    out.finish()
}

/// A file that holds 32 bits in hexadecimal digits.
///
/// # Errors
/// The sink's.
pub fn mask(sink: &mut dyn Sink, value: u32) -> fmt::Result {
    let mut out = Out::new(sink);
    out.hex(value.into(), 8);
    out.byte(b'\n');
    out.finish()
}

/// `/proc/sys/kernel/random/boot_id`: 128 random bits as a version 4 UUID.
///
/// # Errors
/// The sink's.
pub fn uuid(sink: &mut dyn Sink, mut bytes: [u8; 16]) -> fmt::Result {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut out = Out::new(sink);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.byte(b'-');
        }
        out.hex(byte.into(), 2);
    }
    out.byte(b'\n');
    out.finish()
}
