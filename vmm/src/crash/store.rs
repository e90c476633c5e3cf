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

#[cfg(test)]
mod tests {
    use pagelab_abi::crash::{CODE_BYTES, Crash, CrashCause};
    use proptest::prelude::*;
    use zerocopy::{FromBytes, IntoBytes};

    use super::*;
    use crate::{
        builtin,
        crash::{Diagnosis, render},
        trace::empty_run,
        vm::symbols::Symbols,
    };

    fn program() -> &'static [u8] {
        builtin::program("segv").expect("a built-in program").elf
    }

    /// Stores a crash in an empty run and reads it back.
    fn kept(remains: &Remains) -> (Connection, Diagnosis) {
        let conn = empty_run();
        let origin = Origin { record: 7, tsc: u64::MAX, vcpu: 0, pid: 100 };
        store(&conn, origin, remains, program(), Symbols::entry(program())).expect("rows");
        let diagnosis = Diagnosis::read(&conn).expect("readable").expect("a crash");
        (conn, diagnosis)
    }

    /// A crash on a stack whose words are `stack`.
    fn remains(instruction: u64, stack: &[u64]) -> Remains {
        let mut crash = Crash { signal: 11, code: 1, instruction, cause: CrashCause::PageFault, ..Crash::default() };
        (crash.frame.rip, crash.frame.rsp, crash.stack_start) = (instruction, 0x7000, 0x7000);
        crash.stack_length = size_of_val(stack) as u32;
        (crash.code_length, crash.code_bytes[0]) = (1, 0xf4);
        Remains::decode(&[crash.as_bytes(), stack.as_bytes()].concat()).expect("whole")
    }

    #[test]
    fn words_that_look_like_return_addresses_are_guesses() {
        let image = ProgramImage::new(program(), Symbols::entry(program()));
        let entry = Symbols::entry(program()).expect("an executable");
        let behind_call = (entry..entry + 0x1000).find(|&at| image.follows_call(at)).expect("it calls something");
        let text = entry;
        let remains = remains(0x10, &[0, text, 3, behind_call, u64::MAX]);
        let (_, diagnosis) = kept(&remains);
        let found: Vec<(&str, &str)> =
            diagnosis.backtrace.iter().map(|frame| (frame.found.as_str(), frame.address.as_str())).collect();
        let address = format!("{behind_call:#018x}");
        assert_eq!(found[0], ("here", "0x0000000000000010"));
        assert!(found.contains(&("guess", address.as_str())), "{found:?}");
        assert!(!found.iter().any(|(_, address)| *address == format!("{text:#018x}")), "{found:?}");
        assert!(render(&diagnosis).contains("a guess"), "{}", render(&diagnosis));
    }

    #[test]
    fn a_crash_is_read_as_it_was_stored() {
        let mut remains = remains(0x10, &[]);
        remains.crash.at = Area { start: 0x1000, end: 0x2000, flags: 0x101, name: 0 };
        remains.crash.address = 0x1010;
        let (conn, diagnosis) = kept(&remains);
        assert_eq!((diagnosis.signal_name.as_str(), diagnosis.code_name.as_str()), ("SIGSEGV", "SEGV_MAPERR"));
        assert_eq!((diagnosis.instruction.text.as_deref(), diagnosis.instruction.bytes.as_str()), (Some("hlt"), "f4"));
        let mapping = diagnosis.mapping.clone().expect("it is mapped");
        assert_eq!((mapping.start, mapping.perms.as_str(), mapping.grows_down), (0x1000, "r--p", true));
        assert_eq!(diagnosis.registers["rsp"], "0x0000000000007000");
        let names: i64 = conn.query_row("SELECT count(*) FROM crash_area", [], |row| row.get(0)).expect("a count");
        assert_eq!(names, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// The guest is not trusted: any record is stored, read and shown.
        #[test]
        fn any_record_does_no_harm(
            bytes in any::<[[u8; 32]; size_of::<Crash>() / 32]>(),
            near in prop::collection::vec(0u64..0x6000, 17),
            stack in prop::collection::vec(prop_oneof![any::<u64>(), 0x40_0000u64..0x40_8000, 0x7000u64..0x7800], 0..200),
            tame in any::<bool>(),
        ) {
            let mut crash = Crash::read_from_bytes(bytes.as_flattened()).expect("as long as a record");
            crash.code_length = crash.code_length.min(CODE_BYTES as u8);
            crash.stack_length = size_of_val(&*stack) as u32;
            if tame {
                // Inside the program, so that its unwinding information is read with wild registers.
                crash.instruction = 0x40_2000 + near[0];
                (crash.stack_start, crash.frame.rsp, crash.frame.rbp) = (0x7000, 0x7000 + near[1] % 64, 0x7000 + near[2] % 512);
            }
            let remains = Remains::decode(&[crash.as_bytes(), stack.as_bytes()].concat()).expect("its lengths are true");
            let (_, diagnosis) = kept(&remains);
            prop_assert!(!diagnosis.backtrace.is_empty());
            prop_assert!(!render(&diagnosis).contains('\x1b'));
        }
    }
}
