//! A stored crash, read back: what reports show and `--json` has as `diagnosis`.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::{
    last::{self, LastCall, LastFault},
    names,
};

/// Why a program was ended by a signal, and everything that is known of the moment.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The process.
    pub pid: u32,
    /// The signal's number.
    pub signal: u32,
    /// Its name.
    pub signal_name: String,
    /// Its `si_code`.
    pub code: i32,
    /// The name of that.
    pub code_name: String,
    /// Its `si_addr`; `None` where the signal has none.
    pub address: Option<String>,
    /// What brought it about: `page_fault`, `exception`, `bad_return`, `sent`, `out_of_memory`, `signal_frame`.
    pub cause: String,
    /// For a page fault: `read`, `write`, `execute`.
    pub access: Option<&'static str>,
    /// The CPU's exception number.
    pub vector: u64,
    /// Its error code.
    pub error_code: u64,
    /// What is mapped at the address.
    pub mapping: Option<Area>,
    /// The nearest mapping below it, if nothing is mapped there.
    pub below: Option<Area>,
    /// The nearest mapping above it, if nothing is mapped there.
    pub above: Option<Area>,
    /// What the stack pointer is in.
    pub stack: Option<Area>,
    /// The instruction that brought it about.
    pub instruction: Instruction,
    /// The calls that led there, the innermost first; functions that were inlined have rows of their own.
    pub backtrace: Vec<Frame>,
    /// Registers by name.
    pub registers: BTreeMap<String, String>,
    /// The last page faults; `None` if they were not recorded.
    pub last_faults: Option<Vec<LastFault>>,
    /// The last system calls; `None` if they were not recorded.
    pub last_syscalls: Option<Vec<LastCall>>,
}

/// An instruction of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// Its address.
    pub address: String,
    /// Its bytes in hexadecimal; if they are no instruction, all that could be read. Empty if nothing could.
    pub bytes: String,
    /// The same in AT&T syntax.
    pub text: Option<String>,
    /// Its function and offset.
    pub symbol: Option<String>,
    /// What it is mapped from.
    pub mapping: Option<Area>,
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Area {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Its rights, as `/proc/PID/maps` writes them.
    pub perms: String,
    /// Whether it grows down, as a stack does.
    pub grows_down: bool,
    /// File or name; empty if it has none.
    pub name: String,
}

/// A function on the way to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Number of the frame; functions inlined into one another share it.
    pub number: u32,
    /// The instruction, or the return address.
    pub address: String,
    /// Function and offset, by the symbol table.
    pub symbol: Option<String>,
    /// Function, by debug information.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// Whether the function was inlined into the next.
    pub inlined: bool,
    /// How the frame was found: `here`, `caller`, `unwound`, `frame_pointer`, or `guess`; `signal_return` where a handler
    /// returns to what a signal interrupted.
    pub found: String,
}

impl Diagnosis {
    /// Reads the last crash of a run; `None` where there is none, or the file is of a time before crashes were kept.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Option<Diagnosis>> {
        let kept = conn.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = 'crash'")?.exists([])?;
        if !kept {
            return Ok(None);
        }
        let found = conn.query_row(
            "SELECT c.id, c.pid, r.signal, r.code, c.address, c.cause, c.vector, r.error_code, c.instruction, r.code_bytes,
               c.disassembly, c.symbol FROM crash c JOIN raw_crash r USING (id) ORDER BY c.id DESC LIMIT 1",
            [],
            |row| Ok((row.get::<_, i64>(0)?, head(row)?)),
        );
        let Some((id, mut diagnosis)) = found.optional()? else { return Ok(None) };
        let mut areas = areas(conn, id)?;
        diagnosis.mapping = areas.remove("at");
        diagnosis.below = areas.remove("below");
        diagnosis.above = areas.remove("above");
        diagnosis.stack = areas.remove("stack");
        diagnosis.instruction.mapping = areas.remove("instruction");
        diagnosis.backtrace = backtrace(conn, id)?;
        diagnosis.registers = conn
            .prepare("SELECT name, value FROM crash_register WHERE crash = ?")?
            .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if last::recorded(conn)? {
            diagnosis.last_faults = Some(last::faults(conn, id)?);
            diagnosis.last_syscalls = Some(last::calls(conn, id)?);
        }
        Ok(Some(diagnosis))
    }
}

fn head(row: &Row<'_>) -> rusqlite::Result<Diagnosis> {
    let (signal, code): (u32, i32) = (row.get(2)?, row.get(3)?);
    let (cause, error_code): (String, i64) = (row.get(5)?, row.get(7)?);
    let bytes: Vec<u8> = row.get(9)?;
    let access = match (cause.as_str(), error_code) {
        ("page_fault" | "out_of_memory", code) if code & 2 != 0 => Some("write"),
        ("page_fault" | "out_of_memory", code) if code & 16 != 0 => Some("execute"),
        ("page_fault" | "out_of_memory", _) => Some("read"),
        _ => None,
    };
    Ok(Diagnosis {
        pid: row.get(1)?,
        signal,
        signal_name: names::signal(signal),
        code,
        code_name: names::code(signal, code).0,
        address: row.get(4)?,
        cause,
        access,
        vector: row.get::<_, i64>(6)?.cast_unsigned(),
        error_code: error_code.cast_unsigned(),
        mapping: None,
        below: None,
        above: None,
        stack: None,
        instruction: Instruction {
            address: row.get(8)?,
            bytes: bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
            text: row.get(10)?,
            symbol: row.get(11)?,
            mapping: None,
        },
        backtrace: Vec::new(),
        registers: BTreeMap::new(),
        last_faults: None,
        last_syscalls: None,
    })
}

fn areas(conn: &Connection, crash: i64) -> rusqlite::Result<BTreeMap<String, Area>> {
    conn.prepare(
        "SELECT a.role, r.start, r.end, a.perms, a.name, a.grows_down FROM crash_area a
         JOIN raw_crash_area r USING (crash, role) WHERE crash = ?",
    )?
    .query_map([crash], |row| {
        let area = Area {
            start: row.get::<_, i64>(1)?.cast_unsigned(),
            end: row.get::<_, i64>(2)?.cast_unsigned(),
            perms: row.get(3)?,
            name: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            grows_down: row.get(5)?,
        };
        Ok((row.get(0)?, area))
    })?
    .collect()
}

fn backtrace(conn: &Connection, crash: i64) -> rusqlite::Result<Vec<Frame>> {
    conn.prepare(
        "SELECT number, address, symbol, function, file, line, inlined, found FROM crash_frame WHERE crash = ?
         ORDER BY number, depth",
    )?
    .query_map(params![crash], |row| {
        Ok(Frame {
            number: row.get(0)?,
            address: row.get(1)?,
            symbol: row.get(2)?,
            function: row.get(3)?,
            file: row.get(4)?,
            line: row.get(5)?,
            inlined: row.get(6)?,
            found: row.get(7)?,
        })
    })?
    .collect()
}
