//! Linux's names of signals, of their codes, and of errors.

/// The name of a signal on x86-64.
pub(crate) fn signal(number: u32) -> String {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let name = (number as usize).checked_sub(1).and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("signal {number}"), |name| (*name).to_owned())
}

/// The name of a signal's `si_code`, and what it means.
pub(crate) fn code(signal: u32, code: i32) -> (String, &'static str) {
    let (name, meaning) = match (signal, code) {
        (_, 0) => ("SI_USER", "sent by kill"),
        (_, 0x80) => ("SI_KERNEL", "sent by the kernel"),
        (_, -1) => ("SI_QUEUE", "sent by sigqueue"),
        (_, -6) => ("SI_TKILL", "sent by tkill, tgkill or raise"),
        (4, 1) => ("ILL_ILLOPC", "illegal opcode"),
        (4, 2) => ("ILL_ILLOPN", "illegal operand"),
        (5, 1) => ("TRAP_BRKPT", "breakpoint"),
        (5, 2) => ("TRAP_TRACE", "single step"),
        (5, 4) => ("TRAP_HWBKPT", "hardware breakpoint"),
        (7, 1) => ("BUS_ADRALN", "misaligned address"),
        (7, 2) => ("BUS_ADRERR", "no memory behind the mapping: it reaches past the file's end"),
        (8, 1) => ("FPE_INTDIV", "integer division by zero, or its result does not fit"),
        (8, 2) => ("FPE_INTOVF", "integer overflow"),
        (8, 3) => ("FPE_FLTDIV", "floating-point division by zero"),
        (8, 4) => ("FPE_FLTOVF", "floating-point overflow"),
        (8, 5) => ("FPE_FLTUND", "floating-point underflow"),
        (8, 6) => ("FPE_FLTRES", "floating-point result is not exact"),
        (8, 7) => ("FPE_FLTINV", "invalid floating-point operation"),
        (8, 14) => ("FPE_FLTUNK", "floating-point exception"),
        (11, 1) => ("SEGV_MAPERR", "nothing is mapped there"),
        (11, 2) => ("SEGV_ACCERR", "the mapping does not allow it"),
        (11, 4) => ("SEGV_PKUERR", "a protection key does not allow it"),
        _ => return (format!("si_code {code}"), ""),
    };
    (name.to_owned(), meaning)
}

/// What the CPU calls an exception.
pub(crate) fn exception(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection",
        16 => "x87 floating-point error",
        17 => "alignment check",
        19 => "SIMD floating-point error",
        _ => "exception",
    }
}

/// The result of a system call, an error with its name.
pub(crate) fn result(value: i64) -> String {
    match value {
        -4095..=-1 => match errno(value.unsigned_abs()) {
            Some(name) => format!("{value} {name}"),
            None => value.to_string(),
        },
        0..=0xffff => value.to_string(),
        _ => format!("{value:#x}"),
    }
}

/// The name of an error that memory, files and signals know (errno(3)).
fn errno(number: u64) -> Option<&'static str> {
    Some(match number {
        1 => "EPERM",
        2 => "ENOENT",
        3 => "ESRCH",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        7 => "E2BIG",
        8 => "ENOEXEC",
        9 => "EBADF",
        10 => "ECHILD",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        20 => "ENOTDIR",
        21 => "EISDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        25 => "ENOTTY",
        26 => "ETXTBSY",
        27 => "EFBIG",
        28 => "ENOSPC",
        29 => "ESPIPE",
        30 => "EROFS",
        31 => "EMLINK",
        32 => "EPIPE",
        33 => "EDOM",
        34 => "ERANGE",
        36 => "ENAMETOOLONG",
        38 => "ENOSYS",
        39 => "ENOTEMPTY",
        40 => "ELOOP",
        75 => "EOVERFLOW",
        95 => "EOPNOTSUPP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_linuxs() {
        assert_eq!(
            [signal(0), signal(1), signal(11), signal(31), signal(34)],
            ["signal 0", "SIGHUP", "SIGSEGV", "SIGSYS", "signal 34"]
        );
        assert_eq!(code(11, 1).0, "SEGV_MAPERR");
        assert_eq!(code(7, 2).0, "BUS_ADRERR");
        assert_eq!(code(6, -6).0, "SI_TKILL");
        assert_eq!(code(11, 99).0, "si_code 99");
        assert_eq!(
            [result(-14), result(-999), result(5), result(0x7fff_0000)],
            ["-14 EFAULT", "-999", "5", "0x7fff0000"]
        );
    }
}
