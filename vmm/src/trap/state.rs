//! A trapped fault in words: the program's registers, its instruction, the page-table walk, the VMA, the faults before.

use std::{collections::VecDeque, fmt::Write};

use pagelab_abi::{layout::PAGE_SHIFT, vm_flags::VmFlags};

use super::fault::TrappedFault;
use crate::vm::{
    Ram,
    symbols::Symbols,
    walk::{self, Step},
};

/// Bytes shown at RIP.
const SHOWN_BYTES: usize = 16;
/// Bits of an error code by name (SDM vol. 3, 4.7): set, clear.
const ERROR_BITS: [(u64, &str, &str); 7] = [
    (1 << 4, "fetch", ""),
    (1 << 1, "write", ""),
    (1 << 2, "by ring 3", "by ring 0"),
    (1 << 0, "page present", "page not present"),
    (1 << 3, "reserved bit set", ""),
    (1 << 5, "protection key", ""),
    (1 << 6, "shadow stack", ""),
];

/// A fault in one line.
pub(super) fn line(number: u64, fault: &TrappedFault) -> String {
    let kind = fault.kind().map_or_else(|| "fault".to_owned(), |kind| format!("{kind:?}"));
    let rip = fault.registers.rip;
    format!("{number}: {kind} at {:#x}, code {:#x}, rip {rip:#x}", fault.gva(), fault.registers.error)
}

/// All there is to say of a fault, several lines. `program` names the addresses of ring 3, `last` are the faults before.
pub(super) fn describe(fault: &TrappedFault, ram: &Ram, program: &Symbols, last: &VecDeque<String>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, fault, ram, program, last);
    text
}

fn write(
    text: &mut String,
    fault: &TrappedFault,
    ram: &Ram,
    program: &Symbols,
    last: &VecDeque<String>,
) -> std::fmt::Result {
    let frame = &fault.registers;
    let kind = fault.kind().map_or_else(|| "not handled yet".to_owned(), |kind| format!("{kind:?}"));
    writeln!(
        text,
        "fault: {kind}, address {:#x}, error code {:#x} ({})",
        fault.gva(),
        frame.error,
        error(frame.error)
    )?;
    let name = program.name(frame.rip).map_or_else(String::new, |name| format!(" ({name})"));
    writeln!(text, "instruction: {:#x}{name}, bytes {}", frame.rip, bytes(ram, fault.cr3, frame.rip))?;
    writeln!(text, "registers (ring {}):", frame.cs & 3)?;
    let rows = [
        [("rip", frame.rip), ("rsp", frame.rsp), ("rbp", frame.rbp), ("rfl", frame.rflags)],
        [("rax", frame.rax), ("rbx", frame.rbx), ("rcx", frame.rcx), ("rdx", frame.rdx)],
        [("rsi", frame.rsi), ("rdi", frame.rdi), ("r8 ", frame.r8), ("r9 ", frame.r9)],
        [("r10", frame.r10), ("r11", frame.r11), ("r12", frame.r12), ("r13", frame.r13)],
        [("r14", frame.r14), ("r15", frame.r15), ("cr2", frame.fault_address), ("cr3", fault.cr3)],
    ];
    for row in rows {
        let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name} {value:016x}")).collect();
        writeln!(text, "  {}", cells.join("  "))?;
    }
    tables(text, fault, ram)?;
    match fault.vma(ram) {
        Some(vma) => {
            let name: String = vma.name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let name = if name.is_empty() { "anonymous" } else { &name };
            writeln!(text, "VMA: {:x}-{:x} {} {name}", vma.start, vma.end, rights(vma.flags))?;
        }
        None if fault.handled.is_some() => writeln!(text, "VMA: none holds the address")?,
        None => writeln!(text, "VMA: not known here, --trap port shows it")?,
    }
    if !last.is_empty() {
        writeln!(text, "faults before:")?;
        for line in last {
            writeln!(text, "  {line}")?;
        }
    }
    Ok(())
}

/// The walk, level by level: each entry as it is and, where the trap knows it and it differed, as it was before.
fn tables(text: &mut String, fault: &TrappedFault, ram: &Ram) -> std::fmt::Result {
    let moment = if fault.handled.is_some() { "after the fault" } else { "before the fault is handled" };
    writeln!(text, "page-table walk, {moment}:")?;
    let steps = walk::steps(ram, fault.cr3, fault.gva());
    if steps.is_empty() {
        return writeln!(text, "  none: the address is not canonical, or CR3 leads out of RAM");
    }
    for (at, step) in steps.iter().enumerate() {
        write!(text, "  {:5}[{:3}] at {:#011x}: {}", step.name(), step.index, step.gpa, entry(*step))?;
        match fault.handled.map(|told| told.entries_before[at]) {
            Some(before) if before != step.entry => {
                writeln!(text, "; before: {}", entry(Step { entry: before, ..*step }))?;
            }
            _ => writeln!(text)?,
        }
    }
    Ok(())
}

/// An entry and its flags.
fn entry(step: Step) -> String {
    match (step.entry, step.is_present()) {
        (0, _) => "0 (nothing)".to_owned(),
        (entry, false) => format!("{entry:016x} (not present)"),
        (entry, true) => format!("{entry:016x} (frame {:#x}, {})", step.target() >> PAGE_SHIFT, step.flags()),
    }
}

fn error(code: u64) -> String {
    let words = ERROR_BITS.iter().map(|(bit, set, clear)| if code & bit != 0 { *set } else { *clear });
    let mut words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if code & (1 << 4 | 1 << 1) == 0 {
        words.insert(0, "read");
    }
    words.join(", ")
}

fn rights(flags: VmFlags) -> String {
    let letter = |flag, letter| if flags.contains(flag) { letter } else { '-' };
    let shared = if flags.contains(VmFlags::SHARED) { 's' } else { 'p' };
    [letter(VmFlags::READ, 'r'), letter(VmFlags::WRITE, 'w'), letter(VmFlags::EXEC, 'x'), shared].iter().collect()
}

fn bytes(ram: &Ram, cr3: u64, rip: u64) -> String {
    let bytes = walk::read(ram, cr3, rip, SHOWN_BYTES);
    match bytes.is_empty() {
        true => "not mapped".to_owned(),
        false => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use pagelab_abi::{
        code::FaultKind,
        layout::MIN_MEMORY,
        trap::{FaultTrap, TrapFrame},
    };

    use super::*;
    use crate::vm::Backing;

    /// A guest whose page 5 is mapped to frame 9.
    fn ram() -> Ram {
        let ram = Ram::new(MIN_MEMORY, Backing::Anonymous, false).expect("16 MiB can be mapped");
        for (gpa, value) in [(0x1000, 0x2027u64), (0x2000, 0x3027), (0x3000, 0x4027), (0x4028, 0x8000_0000_0000_9067)] {
            ram.write(gpa, &value.to_le_bytes()).expect("inside RAM");
        }
        ram.write(0x9000, b"\x90/name\x1b").expect("inside RAM");
        ram
    }

    fn fault() -> TrappedFault {
        let told = FaultTrap {
            frame: 0,
            entries_before: [0x2027, 0x3027, 0x4027, 0],
            vma_start: 0x5000,
            vma_end: 0x6000,
            name: 0x5002,
            name_length: 5,
            vma_flags: 3,
            pfn: 9,
            kind: FaultKind::AnonWrite,
            padding: [0; 3],
        };
        let registers = TrapFrame { fault_address: 0x5123, error: 6, rip: 0x5000, cs: 0x33, ..TrapFrame::default() };
        TrappedFault { registers, cr3: 0x1000, handled: Some(told) }
    }

    #[test]
    fn a_state_says_it_all() {
        let before = VecDeque::from(["6: an earlier one".to_owned()]);
        let text = describe(&fault(), &ram(), &Symbols::default(), &before);
        for said in [
            "fault: anon_write, address 0x5123, error code 0x6 (write, by ring 3, page not present)",
            "instruction: 0x5000, bytes 90 2f 6e",
            "registers (ring 3):",
            "PML4E[  0] at 0x000001000: 0000000000002027 (frame 0x2, P W U A)\n",
            "PTE  [  5] at 0x000004028: 8000000000009067 (frame 0x9, P W U A D NX); \
             before: 0 (nothing)\n",
            "VMA: 5000-6000 rw-p /name?\n",
            "  6: an earlier one\n",
        ] {
            assert!(text.contains(said), "{said:?} in {text}");
        }
        assert_eq!(line(7, &fault()), "7: anon_write at 0x5123, code 0x6, rip 0x5000");
    }

    #[test]
    fn what_a_hostile_guest_tells_does_no_harm() {
        let ram = ram();
        let mut fault = fault();
        fault.registers.fault_address = u64::MAX - 1;
        fault.registers.rip = 1 << 63;
        let told = fault.handled.as_mut().expect("told");
        (told.name, told.name_length, told.vma_flags, told.kind) = (u64::MAX, u32::MAX, u32::MAX, FaultKind(200));
        assert!(describe(&fault, &ram, &Symbols::default(), &VecDeque::new()).contains("FaultKind(200)"));
        fault.registers.fault_address = 1 << 62;
        fault.cr3 = u64::MAX;
        assert!(describe(&fault, &ram, &Symbols::default(), &VecDeque::new()).contains("not canonical"));
    }

    #[test]
    fn error_codes_are_read() {
        assert_eq!(error(0), "read, by ring 0, page not present");
        assert_eq!(error(0x15), "fetch, by ring 3, page present");
        assert_eq!(error(7), "write, by ring 3, page present");
    }
}
