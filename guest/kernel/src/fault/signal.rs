//! Ending a program by the signal that Linux would send, with a diagnosis.

use core::fmt;

use pagelab_abi::{
    code::{BulkKind, FaultKind},
    trap::TrapFrame,
};
use pagelab_mm::{fault::Access, vma::VmFlags};

use super::undecoded;
use crate::{process::Process, state::Kernel, user_copy};

const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGBUS: u32 = 7;
const SIGFPE: u32 = 8;
const SIGKILL: u32 = 9;
const SIGSEGV: u32 = 11;

/// A page fault that cannot be resolved.
#[cold]
pub(super) fn page_fault(kernel: &mut Kernel, frame: &TrapFrame, kind: FaultKind, access: Access) -> ! {
    let address = frame.fault_address;
    let (signal, name) = match kind {
        FaultKind::SegvMapErr => (SIGSEGV, "SIGSEGV (SEGV_MAPERR)"),
        FaultKind::SegvAccErr => (SIGSEGV, "SIGSEGV (SEGV_ACCERR)"),
        FaultKind::SigBus => (SIGBUS, "SIGBUS (BUS_ADRERR)"),
        _ => (SIGKILL, "SIGKILL (out of memory)"),
    };
    let access = match access {
        Access::Read => "read of",
        Access::Write => "write to",
        Access::Execute => "execution at",
    };
    let code = code_at(kernel, frame.rip);
    let place = Place::find(kernel, address);
    kernel.say(
        BulkKind::Diagnosis,
        format_args!("{name}: {access} {address:#x} by the instruction at {:#x} [{code}]: {place}", frame.rip),
    );
    die(kernel, signal)
}

/// A page fault on a page that the tables grant: a protection key that the program has set itself denies it.
#[cold]
pub(super) fn unexplained(kernel: &mut Kernel, frame: &TrapFrame) -> ! {
    kernel.say(
        BulkKind::Diagnosis,
        format_args!(
            "SIGSEGV (SEGV_PKUERR): access to {:#x} by the instruction at {:#x}, denied by more than page tables \
             (error code {:#x})",
            frame.fault_address, frame.rip, frame.error
        ),
    );
    die(kernel, SIGSEGV)
}

/// A CPU exception that is not a page fault.
#[cold]
pub(crate) fn exception(kernel: &mut Kernel, frame: &TrapFrame, vector: u64) -> ! {
    let code = code_at(kernel, frame.rip);
    let (signal, name) = match vector {
        6 if kernel.ring_0_is_emulated() && undecoded::is_general_protection(code.bytes()) => {
            (SIGSEGV, "SIGSEGV (general protection, which this host reports as an invalid opcode)")
        }
        0 => (SIGFPE, "SIGFPE (divide error)"),
        1 => (SIGTRAP, "SIGTRAP (debug exception)"),
        3 => (SIGTRAP, "SIGTRAP (breakpoint)"),
        6 => (SIGILL, "SIGILL (invalid opcode)"),
        11 => (SIGBUS, "SIGBUS (segment not present)"),
        12 => (SIGBUS, "SIGBUS (stack-segment fault)"),
        16 => (SIGFPE, "SIGFPE (x87 floating-point error)"),
        17 => (SIGBUS, "SIGBUS (alignment check)"),
        19 => (SIGFPE, "SIGFPE (SIMD floating-point error)"),
        13 => (SIGSEGV, "SIGSEGV (general protection)"),
        _ => (SIGSEGV, "SIGSEGV (exception)"),
    };
    kernel.say(
        BulkKind::Diagnosis,
        format_args!(
            "{name}: exception {vector}, error code {:#x}, by the instruction at {:#x} [{code}]",
            frame.error, frame.rip
        ),
    );
    die(kernel, signal)
}

/// A return to an address that no program can have.
#[cold]
pub(crate) fn bad_return(kernel: &mut Kernel, frame: &TrapFrame) -> ! {
    kernel.say(
        BulkKind::Diagnosis,
        format_args!("SIGSEGV (general protection): return to {:#x}, which is not a user address", frame.rip),
    );
    die(kernel, SIGSEGV)
}

/// A signal that the program sent to itself.
#[cold]
pub(crate) fn sent(kernel: &mut Kernel, signal: u32) -> ! {
    let rip = kernel.process.syscall_rip;
    kernel.say(
        BulkKind::Diagnosis,
        format_args!("signal {signal}: the program sent it to itself, by the system call at {rip:#x}"),
    );
    die(kernel, signal)
}

fn die(kernel: &mut Kernel, signal: u32) -> ! {
    Process::end(kernel, signal)
}

/// The first bytes of an instruction, where they can be read without a fault.
fn code_at(kernel: &Kernel, rip: u64) -> Code {
    let mut code = Code { bytes: [0; 15], length: 0 };
    for (at, byte) in (rip..).zip(&mut code.bytes) {
        match user_copy::peek(kernel, at) {
            Some(value) => *byte = value,
            None => break,
        }
        code.length += 1;
    }
    code
}

struct Code {
    bytes: [u8; 15],
    length: usize,
}

impl Code {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return f.write_str("not readable");
        }
        for (index, byte) in self.bytes().iter().enumerate() {
            write!(f, "{}{byte:02x}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// What is mapped at an address, or around it.
struct Place {
    address: u64,
    below: Option<Area>,
    at: Option<Area>,
    above: Option<Area>,
}

#[derive(Clone, Copy)]
struct Area {
    start: u64,
    end: u64,
    read: bool,
    write: bool,
    execute: bool,
}

impl Place {
    fn find(kernel: &Kernel, address: u64) -> Place {
        let (mut below, mut at, mut above) = (None, None, None);
        let mut slot = kernel.process.space.vmas.first;
        while slot != 0 {
            let vma = kernel.mm.vma(slot);
            let flags = vma.flags();
            let area = Area {
                start: vma.start,
                end: vma.end,
                read: flags.contains(VmFlags::READ),
                write: flags.contains(VmFlags::WRITE),
                execute: flags.contains(VmFlags::EXEC),
            };
            if vma.end <= address {
                below = Some(area);
            } else if vma.start <= address {
                at = Some(area);
            } else if above.is_none() {
                above = Some(area);
            }
            slot = vma.next;
        }
        Place { address, below, at, above }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |on, letter| if on { letter } else { '-' };
        write!(
            f,
            "{:x}-{:x} {}{}{}",
            self.start,
            self.end,
            flag(self.read, 'r'),
            flag(self.write, 'w'),
            flag(self.execute, 'x')
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(area) = self.at {
            return write!(f, "it lies in the mapping {area}");
        }
        f.write_str("nothing is mapped there")?;
        if let Some(area) = self.below {
            write!(f, "; the nearest mapping below is {area}, {:#x} bytes away", self.address - area.end)?;
        }
        if let Some(area) = self.above {
            write!(f, "; the nearest above is {area}, {:#x} bytes away", area.start - self.address)?;
        }
        Ok(())
    }
}
