//! The system calls that the guest serves, for `pagelab doctor --syscalls`.

use std::fmt::Write;

use pagelab_abi::syscall::Syscall;
use serde::Serialize;

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Linux's number on x86-64.
    pub number: u32,
    /// Linux's name.
    pub name: &'static str,
    /// In what it differs from Linux's; empty where nothing is known to.
    pub note: &'static str,
}

/// All of them, by number.
pub fn served() -> Vec<Served> {
    Syscall::ALL.iter().map(|call| Served { number: call.number(), name: call.name(), note: call.note() }).collect()
}

/// The same as a text.
pub fn text() -> String {
    let calls = served();
    let width = calls.iter().map(|call| call.name.len()).max().unwrap_or(0);
    let mut text = format!("{} system calls of Linux x86-64; all others answer ENOSYS\n\n", calls.len());
    for Served { number, name, note } in calls {
        let line = format!("{number:>4}  {name:<width$}  {note}");
        // A string takes everything that is written to it.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use syscalls::Sysno;

    use super::*;

    #[test]
    fn numbers_and_names_are_linuxs() {
        for call in served() {
            assert_eq!(Sysno::new(call.number as usize).map(|sysno| sysno.name()), Some(call.name), "{call:?}");
            assert_eq!(Syscall::from_number(call.number).map(Syscall::name), Some(call.name));
        }
    }

    #[test]
    fn each_call_is_there_once_and_in_order() {
        assert!(served().is_sorted_by_key(|call| call.number));
        assert_eq!(text().lines().count(), 2 + served().len());
    }
}
