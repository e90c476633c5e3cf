//! Accesses of ring 0 that may fault, and come back to tell.
//!
//! Everywhere else a fault of ring 0 is the kernel's own bug. Here the trap entry finds that the instruction is one of
//! three known ones, and goes on behind it with what the CPU said.
#![expect(unsafe_code, reason = "touches addresses that may not be mapped")]

use core::{
    arch::{asm, global_asm},
    fmt,
};

use pagelab_abi::trap::TrapFrame;

global_asm!(
    r#"
.section .text
# RDI: the address; RSI: the value to write. RDX comes back as 0, and RAX as the value read; after an exception RDX is
# its vector and one more, RAX the error code, RCX the CR2.
.global selftest_probe_read
selftest_probe_read:
    xor edx, edx
.global selftest_probe_read_at
selftest_probe_read_at:
    mov rax, [rdi]
    ret
.global selftest_probe_write
selftest_probe_write:
    xor edx, edx
.global selftest_probe_write_at
selftest_probe_write_at:
    mov [rdi], rsi
.global selftest_probe_done
selftest_probe_done:
    ret
.global selftest_probe_execute
selftest_probe_execute:
    xor edx, edx
    call rdi
.global selftest_probe_executed
selftest_probe_executed:
    ret
# A function that does nothing, to be executed.
.global selftest_probe_nothing
selftest_probe_nothing:
    ret
"#
);

unsafe extern "C" {
    static selftest_probe_read: u8;
    static selftest_probe_read_at: u8;
    static selftest_probe_write: u8;
    static selftest_probe_write_at: u8;
    static selftest_probe_done: u8;
    static selftest_probe_execute: u8;
    static selftest_probe_executed: u8;
    static selftest_probe_nothing: u8;
}

/// Error-code bits of a page fault (SDM vol. 3, 4.7): the page was present, the access a write, by ring 3, a fetch.
pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITE: u64 = 1 << 1;
pub(super) const FETCH: u64 = 1 << 4;
/// The page fault's vector.
const PAGE_FAULT: u64 = 14;

/// An exception that a probe met.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// Its vector.
    vector: u64,
    /// Its error code.
    error: u64,
    /// CR2, of a page fault; else 0.
    address: u64,
}

impl Fault {
    /// The page fault with this error code at this address.
    pub(super) const fn page(error: u64, address: u64) -> Fault {
        Fault { vector: PAGE_FAULT, error, address }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exception {} (error code {:#x}, CR2 {:#x})", self.vector, self.error, self.address)
    }
}

/// Reads eight bytes.
pub(super) fn read(address: u64) -> Result<u64, Fault> {
    // SAFETY: a read of mapped memory has no effect, and any other faults and comes back by `fix_up`.
    unsafe { probe(&raw const selftest_probe_read as u64, address, 0) }
}

/// Writes eight bytes. The caller owns what lies there, or expects the fault.
pub(super) fn write(address: u64, value: u64) -> Result<(), Fault> {
    // SAFETY: tests write to what they have allocated or to what must not be writable.
    unsafe { probe(&raw const selftest_probe_write as u64, address, value) }.map(drop)
}

/// Calls the code at an address, which must be a `ret`, if the CPU lets it.
pub(super) fn execute(address: u64) -> Result<(), Fault> {
    // SAFETY: tests give addresses that hold a `ret` or cannot be executed.
    unsafe { probe(&raw const selftest_probe_execute as u64, address, 0) }.map(drop)
}

/// Address of a function that returns at once.
pub(super) fn nothing() -> u64 {
    &raw const selftest_probe_nothing as u64
}

/// # Safety
/// `function` is one of the functions above; its access, where it succeeds, breaks nothing.
unsafe fn probe(function: u64, address: u64, value: u64) -> Result<u64, Fault> {
    let (result, vector, cr2): (u64, u64, u64);
    // SAFETY: the functions keep to these registers, and leave the stack as it was; the caller vouches for the access.
    unsafe {
        asm!("call {}", in(reg) function, in("rdi") address, in("rsi") value, lateout("rax") result,
            lateout("rdx") vector, lateout("rcx") cr2, clobber_abi("sysv64"));
    }
    match vector {
        0 => Ok(result),
        vector => {
            Err(Fault { vector: vector - 1, error: result, address: if vector == PAGE_FAULT + 1 { cr2 } else { 0 } })
        }
    }
}

/// Sends a probe that has faulted on its way, if the trap is one's. Called for every exception of ring 0.
pub(crate) fn fix_up(frame: &mut TrapFrame) -> bool {
    let at = |symbol: *const u8| frame.rip == symbol as u64;
    if at(&raw const selftest_probe_read_at) || at(&raw const selftest_probe_write_at) {
        frame.rip = &raw const selftest_probe_done as u64;
    } else if frame.vector == PAGE_FAULT && frame.rip == frame.fault_address && was_called(frame) {
        frame.rip = &raw const selftest_probe_executed as u64;
        frame.rsp += 8;
    } else {
        return false;
    }
    frame.rax = frame.error;
    frame.rdx = (frame.vector & 0xff) + 1;
    frame.rcx = frame.fault_address;
    true
}

/// Whether the instruction that could not be fetched was called by the probe.
fn was_called(frame: &TrapFrame) -> bool {
    // SAFETY: the CPU has just pushed on this stack, without a fault.
    let return_address = unsafe { *(frame.rsp as *const u64) };
    return_address == &raw const selftest_probe_executed as u64
}
