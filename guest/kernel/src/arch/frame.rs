//! The registers that a trap saves.

/// What the entry code leaves on the stack, lowest address first. `arch::entry` depends on this order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrapFrame {
    /// CR2: the faulting address, if this is a page fault.
    pub(crate) fault_address: u64,
    /// TSC at trap entry.
    pub(crate) tsc: u64,
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
    pub(crate) rax: u64,
    pub(crate) vector: u64,
    /// Error code; 0 where the CPU pushes none.
    pub(crate) error: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

const _: () = assert!(size_of::<TrapFrame>() == 24 * 8);

impl TrapFrame {
    /// Whether ring 3 was interrupted.
    pub(crate) fn is_user(&self) -> bool {
        self.cs & 3 == 3
    }
}
