//! What the program did last: its page faults and system calls before a moment of the stream.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::names;

/// Faults that are told.
const FAULTS: u32 = 5;
/// System calls that are told.
const CALLS: u32 = 8;

/// A page fault of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastFault {
    /// How it was resolved, or why not.
    pub kind: String,
    /// The address.
    pub gva: String,
    /// The instruction.
    pub rip: String,
    /// Its function.
    pub symbol: Option<String>,
    /// Taken inside a system call, on the program's behalf.
    pub in_kernel: bool,
}

/// A system call of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastCall {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it returned; `None` if it did not.
    pub result: Option<i64>,
}

impl LastCall {
    /// As strace writes it, but with numbers for what it points to.
    pub(crate) fn text(&self) -> String {
        let result = self.result.map_or_else(|| "? (did not return)".to_owned(), names::result);
        format!("{}({}) = {result}", self.name, self.args.join(", "))
    }
}

/// Whether the guest's events were recorded at all.
pub(super) fn recorded(conn: &Connection) -> rusqlite::Result<bool> {
    let sources: Option<String> =
        conn.query_row("SELECT value FROM raw_run WHERE key = 'sources'", [], |row| row.get(0)).optional()?;
    Ok(sources.is_none_or(|sources| sources.split(',').any(|source| source == "guest")))
}

/// The last faults before a position of the stream, the oldest first. Spurious ones depend on the host: left out.
pub(super) fn faults(conn: &Connection, before: i64) -> rusqlite::Result<Vec<LastFault>> {
    let mut rows = conn.prepare(
        "SELECT kind, gva, rip, symbol, in_kernel FROM guest_fault WHERE id < ? AND kind <> 'spurious'
         ORDER BY id DESC LIMIT ?",
    )?;
    let faults = rows.query_map(params![before, FAULTS], |row| {
        Ok(LastFault {
            kind: row.get(0)?,
            gva: row.get(1)?,
            rip: row.get(2)?,
            symbol: row.get(3)?,
            in_kernel: row.get(4)?,
        })
    })?;
    let mut faults: Vec<LastFault> = faults.collect::<rusqlite::Result<_>>()?;
    faults.reverse();
    Ok(faults)
}

/// The last system calls that began before a position of the stream, the oldest first.
pub(super) fn calls(conn: &Connection, before: i64) -> rusqlite::Result<Vec<LastCall>> {
    let mut rows = conn.prepare(
        "SELECT s.name, r.number, r.arg0, r.arg1, r.arg2, r.arg3, r.arg4, r.arg5, r.result
         FROM raw_syscall r JOIN syscall s USING (id) WHERE r.id < ? ORDER BY r.id DESC LIMIT ?",
    )?;
    let calls = rows.query_map(params![before, CALLS], |row| {
        let mut args = Vec::new();
        for index in 0..arity(row.get(1)?) {
            let arg: Option<i64> = row.get(2 + index)?;
            args.push(arg.map_or_else(|| "?".to_owned(), |arg| argument(arg.cast_unsigned())));
        }
        Ok(LastCall { name: row.get(0)?, args, result: row.get(8)? })
    })?;
    let mut calls: Vec<LastCall> = calls.collect::<rusqlite::Result<_>>()?;
    calls.reverse();
    Ok(calls)
}

fn argument(value: u64) -> String {
    match value {
        0..=999 => value.to_string(),
        _ if value >= u64::MAX - 999 => value.cast_signed().to_string(),
        _ => format!("{value:#x}"),
    }
}

/// How many arguments a system call has on x86-64; six of one that is not known here.
fn arity(number: i64) -> usize {
    match number {
        15 | 24 | 34 | 39 | 57 | 58 | 102 | 104 | 107 | 108 | 110 | 111 | 152 | 186 => 0,
        3 | 12 | 22 | 32 | 37 | 60 | 63 | 74 | 75 | 80 | 84 | 87 | 95 | 99 | 100 | 151 | 201 | 218 | 231 => 1,
        4..=6
        | 11
        | 21
        | 33
        | 35
        | 36
        | 62
        | 76
        | 77
        | 79
        | 82
        | 83
        | 85
        | 86
        | 88
        | 90
        | 91
        | 96..=98
        | 131
        | 149
        | 150
        | 158
        | 160
        | 200
        | 228
        | 229
        | 273
        | 293
        | 319
        | 435 => 2,
        0..=2
        | 7
        | 8
        | 10
        | 16
        | 19
        | 20
        | 26..=28
        | 59
        | 72
        | 78
        | 89
        | 92
        | 217
        | 234
        | 263
        | 269
        | 292
        | 318
        | 325 => 3,
        13 | 14 | 17 | 18 | 61 | 230 | 257 | 258 | 262 | 267 | 302 | 334 => 4,
        23 | 25 | 56 => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_read_as_strace_writes_them() {
        let call = |result| LastCall { name: "close".to_owned(), args: vec![argument(u64::MAX)], result };
        assert_eq!(call(Some(-9)).text(), "close(-1) = -9 EBADF");
        assert_eq!(call(None).text(), "close(-1) = ? (did not return)");
        assert_eq!([argument(999), argument(0x1000)], ["999", "0x1000"]);
        assert_eq!([arity(39), arity(3), arity(9), arity(9999)], [0, 1, 6, 6]);
    }
}
