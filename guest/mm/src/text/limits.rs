//! `/proc/PID/limits`.

use core::fmt;

use super::{Sink, out::Out};

/// RLIM_INFINITY.
const INFINITY: u64 = u64::MAX;

/// The limits in the order of their numbers (RLIMIT_CPU is 0): name and unit.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// `/proc/PID/limits`. `limits` is soft and hard value by RLIMIT_* number.
///
/// # Errors
/// The sink's.
pub fn limits(sink: &mut dyn Sink, limits: &[[u64; 2]; 16]) -> fmt::Result {
    let mut out = Out::new(sink);
    out.text("Limit                     Soft Limit           Hard Limit           Units     \n");
    for ((name, unit), values) in LIMITS.iter().zip(limits) {
        out.reserve(100);
        let before = out.pending();
        out.text(name);
        for (value, column) in values.iter().zip([26, 47]) {
            out.fill(b' ', before + column - out.pending());
            if *value == INFINITY {
                out.text("unlimited");
            } else {
                out.decimal(*value);
            }
        }
        out.fill(b' ', before + 68 - out.pending());
        if !unit.is_empty() {
            out.left(unit, 10);
        }
        out.byte(b'\n');
    }
    out.finish()
}
