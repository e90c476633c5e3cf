//! What can be said of a guest that died: registers, instruction bytes, backtrace, last events. It believes nothing the
//! guest left behind; a wild value only makes the text shorter.

use std::fmt::Write;

use kvm_bindings::{kvm_regs, kvm_sregs};
use pagelab_abi::{
    event::{Bulk, Frame, GuestFault, Process, SyscallExit, Vma},
    layout::KERNEL_VIRT,
    record::{Record, RecordKind},
};

use super::{
    exit::Exit,
    memory::Ram,
    symbols::Symbols,
    vcpu::{End, Finished},
    walk,
};

/// Most frames of a backtrace.
const MAX_FRAMES: usize = 48;
/// Bytes shown at RIP.
const SHOWN_BYTES: usize = 16;
/// Most bytes of a panic text.
const MAX_PANIC_TEXT: usize = 4096;

/// One line that names the end of a run; `None` for the guest's own exit.
pub fn headline(finished: &Finished) -> Option<String> {
    Some(match &finished.end {
        End::Exit(_) => return None,
        End::Panic => match &finished.panic_text {
            Some(text) => format!("the guest kernel panicked: {}", printable(text)),
            None => "the guest kernel panicked and left no text".to_owned(),
        },
        End::AbiMismatch(version) => format!(
            "the guest kernel speaks ABI version {version} and this pagelab {}: build both from the same source",
            pagelab_abi::ABI_VERSION
        ),
        End::Halted => "the guest halted without an exit: nothing could wake it".to_owned(),
        End::Stopped => "the guest was stopped from outside".to_owned(),
        End::StopAt { fault, condition } => {
            format!("ended by --stop-at {condition}, at trapped fault {fault}")
        }
        End::RecorderGone => "the recording ended before the guest did".to_owned(),
        End::WindowFailed(why) => format!("the trace window cannot be read: {why}"),
        End::RunFailed(errno) => format!("KVM_RUN failed: {}", std::io::Error::from_raw_os_error(*errno)),
        End::Died(exit) => died(exit),
    })
}

fn died(exit: &Exit) -> String {
    match exit {
        Exit::Shutdown => "the guest triple-faulted (a fault that its own handlers could not take)".to_owned(),
        Exit::EmulationFailed { bytes } if bytes.is_empty() => {
            "KVM's emulator cannot do an instruction of the guest kernel".to_owned()
        }
        Exit::EmulationFailed { bytes } => {
            format!("KVM's emulator cannot do an instruction of the guest kernel: {}", hex(bytes))
        }
        Exit::InternalError(number) => format!("KVM met an internal error, number {number}"),
        Exit::FailEntry(reason) => format!("the CPU refused to enter the guest, reason {reason:#x}"),
        Exit::MemoryFault { gpa: Some(gpa) } => format!("KVM could not reach guest-physical {gpa:#x}"),
        Exit::MemoryFault { gpa: None } => "KVM could not reach guest memory, and does not say where".to_owned(),
        other => format!("an exit that no guest of pagelab makes: {other:?}"),
    }
}

/// The whole diagnosis of an abnormal end, several lines; `None` for the guest's own exit.
/// The fault source must be off: this reads guest memory.
pub fn describe(finished: &Finished, ram: &Ram, symbols: &Symbols) -> Option<String> {
    let mut text = headline(finished)?;
    if let End::StopAt { .. } = finished.end {
        // The state of the program was told when it stopped; the vCPU is in the kernel by now.
        return Some(text);
    }
    text.push('\n');
    match (finished.vcpu.get_regs(), finished.vcpu.get_sregs()) {
        (Ok(regs), Ok(sregs)) => state(&mut text, &regs, &sregs, ram, symbols),
        (Err(error), _) | (_, Err(error)) => line(&mut text, format_args!("registers: not readable ({error})")),
    }
    if !finished.last_records.is_empty() {
        line(&mut text, format_args!("last events:"));
        for record in &finished.last_records {
            line(&mut text, format_args!("  {}", event(record)));
        }
    }
    Some(text)
}

fn state(text: &mut String, regs: &kvm_regs, sregs: &kvm_sregs, ram: &Ram, symbols: &Symbols) {
    line(text, format_args!("registers (ring {}):", sregs.cs.selector & 3));
    let rows = [
        [("rip", regs.rip), ("rsp", regs.rsp), ("rbp", regs.rbp), ("rfl", regs.rflags)],
        [("rax", regs.rax), ("rbx", regs.rbx), ("rcx", regs.rcx), ("rdx", regs.rdx)],
        [("rsi", regs.rsi), ("rdi", regs.rdi), ("r8 ", regs.r8), ("r9 ", regs.r9)],
        [("r10", regs.r10), ("r11", regs.r11), ("r12", regs.r12), ("r13", regs.r13)],
        [("r14", regs.r14), ("r15", regs.r15), ("cr0", sregs.cr0), ("cr2", sregs.cr2)],
        [("cr3", sregs.cr3), ("cr4", sregs.cr4), ("efr", sregs.efer), ("cs ", u64::from(sregs.cs.selector))],
    ];
    for row in rows {
        let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name} {value:016x}")).collect();
        line(text, format_args!("  {}", cells.join("  ")));
    }
    let bytes = walk::read(ram, sregs.cr3, regs.rip, SHOWN_BYTES);
    if bytes.is_empty() {
        line(text, format_args!("instruction bytes: rip is not mapped to RAM"));
    } else {
        line(text, format_args!("instruction bytes: {}", hex(&bytes)));
    }
    line(text, format_args!("backtrace:"));
    for (number, address) in backtrace(ram, sregs.cr3, regs.rip, regs.rbp).iter().enumerate() {
        // A return address may lie just past its function; the call before it does not.
        let inside = if number == 0 { *address } else { address.saturating_sub(1) };
        let of_kernel = *address >= KERNEL_VIRT || sregs.cs.selector & 3 == 0;
        let name = if of_kernel { symbols.name(inside) } else { None };
        line(text, format_args!("  #{number:<2} {address:016x} {}", name.as_deref().unwrap_or("?")));
    }
}

/// Return addresses by the chain of frame pointers. A chain must climb, so a cycle ends it.
fn backtrace(ram: &Ram, cr3: u64, rip: u64, rbp: u64) -> Vec<u64> {
    let mut addresses = vec![rip];
    let mut frame = rbp;
    while addresses.len() < MAX_FRAMES && frame != 0 && frame.is_multiple_of(8) {
        let Some(slot) = frame.checked_add(8) else { break };
        let (Some(next), Some(address)) = (walk::read_u64(ram, cr3, frame), walk::read_u64(ram, cr3, slot)) else {
            break;
        };
        if address == 0 {
            break;
        }
        addresses.push(address);
        if next <= frame {
            break;
        }
        frame = next;
    }
    addresses
}

/// One record in a line.
fn event(record: &Record) -> String {
    let mut text = format!("seq {} tsc {} pid {} {:?}", record.seq, record.tsc, record.pid, record.kind);
    let detail = match record.kind {
        RecordKind::GuestFault => {
            let fault: GuestFault = record.payload_as();
            format!(
                "{:?} gva {:#x} rip {:#x} pfn {:#x} code {:#x}",
                fault.kind, fault.gva, fault.rip, fault.pfn, fault.error_code
            )
        }
        RecordKind::Frame => {
            let frame: Frame = record.payload_as();
            format!("{:?} pfn {:#x} frames {} {:?}", frame.op, frame.pfn, frame.frames, frame.owner)
        }
        RecordKind::Vma => {
            let vma: Vma = record.payload_as();
            format!("{:?} {:#x}-{:#x} prot {}", vma.op, vma.start, vma.end, vma.prot)
        }
        RecordKind::SyscallEnter => format!("number {}", record.aux),
        RecordKind::SyscallExit => {
            let exit: SyscallExit = record.payload_as();
            format!("number {} result {}", record.aux, exit.result)
        }
        RecordKind::Process => {
            let process: Process = record.payload_as();
            format!("{:?} status {:#x} entry {:#x}", process.op, process.status, process.entry)
        }
        RecordKind::Bulk => {
            let bulk: Bulk = record.payload_as();
            format!("{:?} {} bytes at {:#x}", bulk.kind, bulk.length, bulk.gpa)
        }
        _ => return text,
    };
    text.push(' ');
    text.push_str(&detail);
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Text of the guest, fit for a terminal: control characters but newlines become `?`, and it is cut at a limit.
fn printable(text: &str) -> String {
    let shown: String = text.chars().take(MAX_PANIC_TEXT).collect();
    shown.trim_end().chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Backing;

    /// Identity-maps the first 2 MiB and returns the RAM and its CR3.
    fn ram() -> (Ram, u64) {
        let ram = Ram::new(pagelab_abi::layout::MIN_MEMORY, Backing::Anonymous, false).expect("16 MiB can be mapped");
        for (gpa, value) in [(0x1000, 0x2003u64), (0x2000, 0x3003), (0x3000, 0x83)] {
            ram.write(gpa, &value.to_le_bytes()).expect("inside RAM");
        }
        (ram, 0x1000)
    }

    fn frame(ram: &Ram, at: u64, next: u64, address: u64) {
        ram.write(at, &next.to_le_bytes()).expect("inside RAM");
        ram.write(at + 8, &address.to_le_bytes()).expect("inside RAM");
    }

    #[test]
    fn follows_frame_pointers() {
        let (ram, cr3) = ram();
        frame(&ram, 0x8000, 0x8100, 0xaaaa);
        frame(&ram, 0x8100, 0, 0xbbbb);
        assert_eq!(backtrace(&ram, cr3, 0x1234, 0x8000), [0x1234, 0xaaaa, 0xbbbb]);
    }

    #[test]
    fn hostile_chains_end_quietly() {
        let (ram, cr3) = ram();
        frame(&ram, 0x8000, 0x8000, 0xaaaa);
        assert_eq!(backtrace(&ram, cr3, 1, 0x8000), [1, 0xaaaa], "a cycle");
        frame(&ram, 0x8000, 0x7000, 0xaaaa);
        assert_eq!(backtrace(&ram, cr3, 1, 0x8000), [1, 0xaaaa], "a chain that goes down");
        frame(&ram, 0x8000, u64::MAX - 7, 0xaaaa);
        assert_eq!(backtrace(&ram, cr3, 1, 0x8000), [1, 0xaaaa], "unmapped, at the very end");
        assert_eq!(backtrace(&ram, cr3, 1, 0x8001), [1], "unaligned");
        for index in 0..100 {
            frame(&ram, 0x8000 + index * 16, 0x8010 + index * 16, 0xaaaa);
        }
        assert_eq!(backtrace(&ram, cr3, 1, 0x8000).len(), MAX_FRAMES);
    }

    #[test]
    fn panic_texts_cannot_drive_a_terminal() {
        assert_eq!(printable("one\ntwo\x1b[31m\r\n"), "one\ntwo?[31m");
        assert_eq!(printable(&"x".repeat(100_000)).len(), MAX_PANIC_TEXT);
    }

    #[test]
    fn any_record_can_be_shown() {
        for kind in 0..=255u8 {
            let record = Record {
                kind: RecordKind(kind),
                flags: 0xff,
                vcpu: 0xffff,
                pid: u32::MAX,
                tsc: u64::MAX,
                seq: u32::MAX,
                aux: u32::MAX,
                payload: [u64::MAX; 5],
            };
            assert!(!event(&record).is_empty());
        }
    }
}
