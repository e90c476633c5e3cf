//! A diagnosis for people: first what happened and where, then how the program got there, then everything else.

use std::fmt::{self, Write};

use super::{
    diagnosis::{Area, Diagnosis, Frame},
    names,
};

/// Frames that are shown; the rest is in the run file.
const FRAMES: usize = 16;
/// Registers, as rows.
const REGISTERS: [&[&str]; 5] = [
    &["rip", "rsp", "rbp", "rflags"],
    &["rax", "rbx", "rcx", "rdx"],
    &["rsi", "rdi", "r8", "r9"],
    &["r10", "r11", "r12", "r13"],
    &["r14", "r15", "cs", "ss"],
];
/// How far from the stack pointer a fault may be that a stack's overflow explains.
const NEAR_STACK: u64 = 1 << 20;
/// Vectors (SDM vol. 3, 6.3.1).
const INVALID_OPCODE: u64 = 6;
const GENERAL_PROTECTION: u64 = 13;
/// Addresses below are taken for null pointers with an offset.
const NULL_PAGES: u64 = 0x1_0000;

/// The whole of it, several lines.
pub(crate) fn render(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, diagnosis);
    text
}

fn write(w: &mut String, diagnosis: &Diagnosis) -> fmt::Result {
    headline(w, diagnosis)?;
    if let Some(hint) = hint(diagnosis) {
        writeln!(w, "  hint         {hint}")?;
    }
    place(w, diagnosis)?;
    instruction(w, diagnosis)?;
    backtrace(w, diagnosis)?;
    writeln!(w, "  registers")?;
    for row in REGISTERS {
        let cells = row.iter().filter_map(|name| Some((name, diagnosis.registers.get(*name)?)));
        let cells: Vec<String> =
            cells.map(|(name, value)| format!("{name:<6} {}", value.trim_start_matches("0x"))).collect();
        writeln!(w, "    {}", cells.join("  "))?;
    }
    let (Some(faults), Some(calls)) = (&diagnosis.last_faults, &diagnosis.last_syscalls) else {
        return writeln!(w, "  last page faults and system calls: not recorded (--record without guest)");
    };
    writeln!(w, "  last page faults{}", if faults.is_empty() { ": none" } else { "" })?;
    for fault in faults {
        let symbol = fault.symbol.as_ref().map_or_else(String::new, |symbol| format!(" {}", printable(symbol)));
        let behalf = if fault.in_kernel { ", in a system call" } else { "" };
        writeln!(w, "    {:<11} {} by {}{symbol}{behalf}", fault.kind, short(&fault.gva), short(&fault.rip))?;
    }
    writeln!(w, "  last system calls{}", if calls.is_empty() { ": none" } else { "" })?;
    calls.iter().try_for_each(|call| writeln!(w, "    {}", call.text()))
}

fn headline(w: &mut String, diagnosis: &Diagnosis) -> fmt::Result {
    let Diagnosis { signal, code, signal_name, code_name, .. } = diagnosis;
    let address = diagnosis.address.as_deref().map_or_else(|| "an unknown address".to_owned(), short);
    let what = match (diagnosis.cause.as_str(), diagnosis.access) {
        ("out_of_memory", access) => format!("out of memory at the {} {address}", done(access)),
        ("page_fault", access) => format!("{} {address}", done(access)),
        ("exception", _) if diagnosis.vector == INVALID_OPCODE && signal_name == "SIGSEGV" => {
            "general protection, which this host reports as an invalid opcode".to_owned()
        }
        ("exception", _) => {
            let Diagnosis { vector, error_code, .. } = diagnosis;
            let name = names::exception(*vector);
            format!("{name} (exception {vector}, error code {error_code:#x})")
        }
        ("bad_return", _) => "general protection by a return to an address that no program can have".to_owned(),
        ("sent", _) if *code > 0 => "a timer that the program armed has expired".to_owned(),
        ("sent", _) => "sent by the program itself".to_owned(),
        ("signal_frame", _) => "the stack has no room for the frame of a signal's handler".to_owned(),
        (other, _) => printable(other),
    };
    let (_, meaning) = names::code(*signal, *code);
    let meaning = if meaning.is_empty() { String::new() } else { format!(", {meaning}") };
    writeln!(w, "{signal_name} ({code_name}{meaning}): {what}, by process {}", diagnosis.pid)
}

fn done(access: Option<&str>) -> &'static str {
    match access {
        Some("write") => "write to",
        Some("execute") => "execution at",
        _ => "read of",
    }
}

/// What it most likely is.
fn hint(diagnosis: &Diagnosis) -> Option<&'static str> {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let rsp = diagnosis.registers.get("rsp").and_then(|value| number(value))?;
    let general_protection = matches!(diagnosis.vector, GENERAL_PROTECTION | INVALID_OPCODE);
    if diagnosis.cause == "exception" && diagnosis.signal_name == "SIGSEGV" && general_protection {
        return Some("a privileged instruction, an address that is not canonical, or a misaligned operand");
    }
    let address = diagnosis.address.as_deref().and_then(number)?;
    let is_stack = |area: &&Area| area.grows_down;
    let stack = diagnosis.mapping.as_ref().or(diagnosis.above.as_ref()).filter(is_stack);
    match (diagnosis.cause.as_str(), diagnosis.access) {
        ("page_fault", Some("execute")) if address < NULL_PAGES => Some("a call or a jump through a null pointer"),
        ("page_fault", _) if address < NULL_PAGES => Some("a null pointer, perhaps with an offset"),
        ("page_fault", Some("execute")) if diagnosis.signal_name == "SIGSEGV" && diagnosis.mapping.is_some() => {
            Some("what lies there is data: the mapping is not executable")
        }
        ("page_fault", _) if stack.is_some() && address.abs_diff(rsp) < NEAR_STACK => {
            Some("the stack has overflowed: it can grow no further")
        }
        _ => None,
    }
}

/// What is mapped at the address, or around it.
fn place(w: &mut String, diagnosis: &Diagnosis) -> fmt::Result {
    let Some(address) = &diagnosis.address else { return Ok(()) };
    if diagnosis.cause != "page_fault" {
        return Ok(());
    }
    write!(w, "  mapping      ")?;
    if let Some(area) = &diagnosis.mapping {
        return writeln!(w, "{}", shown(area));
    }
    write!(w, "none at {}", short(address))?;
    let address = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap_or(0);
    if let Some(area) = &diagnosis.below {
        write!(w, "; {:#x} bytes below it ends {}", address.saturating_sub(area.end), shown(area))?;
    }
    if let Some(area) = &diagnosis.above {
        write!(w, "; {:#x} bytes above it begins {}", area.start.saturating_sub(address), shown(area))?;
    }
    writeln!(w)
}

fn shown(area: &Area) -> String {
    let name = if area.name.is_empty() { "anonymous memory".to_owned() } else { printable(&area.name) };
    format!("{:x}-{:x} {} {name}", area.start, area.end, area.perms)
}

fn instruction(w: &mut String, diagnosis: &Diagnosis) -> fmt::Result {
    let instruction = &diagnosis.instruction;
    write!(w, "  instruction  {}", short(&instruction.address))?;
    if let Some(symbol) = &instruction.symbol {
        write!(w, " {}", printable(symbol))?;
    }
    match (&instruction.text, instruction.bytes.as_str()) {
        (_, "") => writeln!(w, ": there is no code to read")?,
        (Some(text), bytes) => writeln!(w, ": {text}  [{bytes}]")?,
        (None, bytes) => writeln!(w, ": no instruction of x86-64  [{bytes}]")?,
    }
    match &instruction.mapping {
        Some(area) => writeln!(w, "  code         {}", shown(area)),
        None => writeln!(w, "  code         nothing is mapped there"),
    }
}

fn backtrace(w: &mut String, diagnosis: &Diagnosis) -> fmt::Result {
    writeln!(w, "  backtrace")?;
    let frames = &diagnosis.backtrace;
    let mut at = 0;
    let mut lines = 0;
    while at < frames.len() && lines < FRAMES {
        let frame = &frames[at];
        // Recursion is said once.
        let repeated = frames[at..].iter().take_while(|next| next.address == frame.address).count();
        let different = frames[at..at + repeated].iter().filter(|next| next.number == frame.number).count();
        for frame in &frames[at..at + different] {
            writeln!(w, "    {}", line(frame))?;
            lines += 1;
        }
        if repeated > different {
            let last = frames[at + repeated - 1].number;
            writeln!(w, "    ... the same again, to frame {last}")?;
            lines += 1;
        }
        at += repeated;
    }
    if at < frames.len() {
        writeln!(w, "    ... {} more in the run file (view crash_frame)", frames.len() - at)?;
    }
    Ok(())
}

fn line(frame: &Frame) -> String {
    let mut line = format!("#{:<2} {} ", frame.number, frame.address.trim_start_matches("0x"));
    line += &match (&frame.symbol, &frame.function, frame.inlined) {
        (_, Some(function), true) => format!("{} (inlined)", printable(function)),
        (Some(symbol), ..) => printable(symbol),
        (None, Some(function), _) => printable(function),
        (None, None, _) if frame.found == "signal_return" => "a signal's handler was called here".to_owned(),
        (None, None, _) => "?".to_owned(),
    };
    if let Some(file) = &frame.file {
        line += &format!(" at {}", printable(file));
        line += &frame.line.map_or_else(String::new, |number| format!(":{number}"));
    }
    match frame.found.as_str() {
        "guess" => line += " (a guess: a word of the stack that looks like a return address)",
        "caller" => line += " (by the word at RSP)",
        "frame_pointer" => line += " (by the frame pointer)",
        _ => {}
    }
    line
}

/// An address without its leading zeros.
fn short(address: &str) -> String {
    let digits = address.trim_start_matches("0x").trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

/// What comes from the guest or its program, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
