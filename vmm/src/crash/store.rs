//! A crash into rows of the run file, with everything that only the program's file can tell.

use pagelab_abi::crash::Area;
use rusqlite::{Connection, params};

use super::{
    image::{Place, ProgramImage},
    instruction::disassemble,
    record::Remains,
    unwind::{Step, backtrace},
};

/// Where a crash comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Position in the stream of the record that announced it.
    pub(crate) record: i64,
    /// Its TSC.
    pub(crate) tsc: u64,
    /// The vCPU.
    pub(crate) vcpu: u16,
    /// The process.
    pub(crate) pid: u32,
}

/// Writes the rows of one crash. `program` is the program's file and `entry` where it began.
pub(crate) fn store(
    conn: &Connection,
    origin: Origin,
    remains: &Remains,
    program: &[u8],
    entry: Option<u64>,
) -> rusqlite::Result<()> {
    let image = ProgramImage::new(program, entry);
    let crash = &remains.crash;
    let disassembled = disassemble(remains.code(), crash.instruction);
    let length = disassembled.as_ref().map_or(remains.code().len(), |(_, length)| *length);
    conn.prepare_cached("INSERT OR IGNORE INTO raw_crash VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            origin.record,
            origin.vcpu,
            origin.pid,
            origin.tsc.cast_signed(),
            crash.signal,
            crash.code,
            crash.address.cast_signed(),
            crash.cause.0,
            (crash.frame.vector & 0xff).cast_signed(),
            crash.frame.error.cast_signed(),
            crash.instruction.cast_signed(),
            &remains.code()[..length],
            disassembled.map(|(text, _)| text),
            image.symbol(crash.instruction),
            crash.stack_start.cast_signed(),
            remains.stack,
        ])?;
    registers(conn, origin.record, remains)?;
    let areas = [
        ("at", crash.at),
        ("below", crash.below),
        ("above", crash.above),
        ("instruction", crash.of_instruction),
        ("stack", crash.of_stack),
    ];
    for (role, Area { start, end, flags, name }) in areas.into_iter().filter(|(_, area)| area.end != 0) {
        conn.prepare_cached("INSERT OR IGNORE INTO raw_crash_area VALUES (?, ?, ?, ?, ?, ?)")?.execute(params![
            origin.record,
            role,
            start.cast_signed(),
            end.cast_signed(),
            flags,
            name
        ])?;
    }
    for (number, step) in backtrace(remains, &image).iter().enumerate() {
        frame(conn, origin.record, number, step, &image)?;
    }
    Ok(())
}

fn registers(conn: &Connection, crash: i64, remains: &Remains) -> rusqlite::Result<()> {
    let frame = &remains.crash.frame;
    let registers = [
        ("rip", frame.rip),
        ("rsp", frame.rsp),
        ("rbp", frame.rbp),
        ("rflags", frame.rflags),
        ("rax", frame.rax),
        ("rbx", frame.rbx),
        ("rcx", frame.rcx),
        ("rdx", frame.rdx),
        ("rsi", frame.rsi),
        ("rdi", frame.rdi),
        ("r8", frame.r8),
        ("r9", frame.r9),
        ("r10", frame.r10),
        ("r11", frame.r11),
        ("r12", frame.r12),
        ("r13", frame.r13),
        ("r14", frame.r14),
        ("r15", frame.r15),
        ("cs", frame.cs),
        ("ss", frame.ss),
    ];
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO raw_crash_register VALUES (?, ?, ?)")?;
    for (name, value) in registers {
        insert.execute(params![crash, name, value.cast_signed()])?;
    }
    Ok(())
}

/// One frame: a row for each function that it is in.
fn frame(conn: &Connection, crash: i64, number: usize, step: &Step, image: &ProgramImage<'_>) -> rusqlite::Result<()> {
    let mut places = image.places(step.probe());
    if places.is_empty() {
        places.push(Place::default());
    }
    let mut insert =
        conn.prepare_cached("INSERT OR IGNORE INTO raw_crash_frame VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for (depth, place) in places.into_iter().enumerate() {
        insert.execute(params![
            crash,
            number,
            depth,
            step.address.cast_signed(),
            step.found.name(),
            image.symbol(step.probe()).map(|symbol| shifted(symbol, step)),
            place.function,
            place.file,
            place.line,
            place.inlined,
        ])?;
    }
    Ok(())
}

/// The symbol of a return address is that of the call before it, but its offset is its own.
fn shifted(symbol: String, step: &Step) -> String {
    if !step.is_return {
        return symbol;
    }
    let Some((name, offset)) = symbol.rsplit_once("+0x") else { return symbol };
    match u64::from_str_radix(offset, 16) {
        Ok(offset) => format!("{name}+{:#x}", offset.wrapping_add(1)),
        Err(_) => symbol,
    }
}
