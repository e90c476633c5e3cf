//! The frame on the program's stack that a handler finds, and that `rt_sigreturn` takes back: Linux's `rt_sigframe`.

use pagelab_abi::{crash::CrashCause, trap::TrapFrame};
use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Raised,
    action::{Action, flags},
    exception,
    fpu::FxImage,
    info::SigInfo,
    set::{SIGSEGV, SignalSet},
    stack::StackT,
};
use crate::{
    arch::descriptors::{USER_CODE, USER_DATA},
    state::Kernel,
    user_copy,
};

/// What a function may use below its stack pointer (System V ABI for x86-64, 3.2.2).
const RED_ZONE: u64 = 128;
/// Flags of a context: it has the stack segment, and it counts (Linux's UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS).
const CONTEXT_FLAGS: u64 = 2 | 4;

const DIRECTION_FLAG: u64 = 1 << 10;
const RESUME_FLAG: u64 = 1 << 16;
const TRAP_FLAG: u64 = 1 << 8;
/// RFLAGS that a handler may change: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF.
const CHANGEABLE_FLAGS: u64 = 0x0005_0dd5;

/// Linux's `struct rt_sigframe`. The state of the FPU is above it.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Frame {
    /// Where the handler returns to.
    restorer: u64,
    context: Context,
    info: SigInfo,
}

/// Linux's `struct ucontext`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Context {
    flags: u64,
    link: u64,
    stack: StackT,
    registers: Registers,
    mask: u64,
}

/// Linux's `struct sigcontext`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Registers {
    r8_to_r15: [u64; 8],
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    error: u64,
    trap_number: u64,
    old_mask: u64,
    fault_address: u64,
    fpu: u64,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Registers>() == 256 && size_of::<Frame>() == 440);

/// Writes the frame for a handler, and lets the program go on in it. `mask` is what is blocked after the handler.
///
/// # Errors
/// The stack has no room, or the action no restorer: nothing was changed.
pub(super) fn push(
    kernel: &mut Kernel,
    registers: &mut TrapFrame,
    handler: u64,
    action: &Action,
    info: &SigInfo,
    mask: SignalSet,
) -> Result<(), Errno> {
    if !action.has(flags::RESTORER) {
        return Err(Errno::EFAULT);
    }
    let alternate = kernel.signals.stack;
    let nested = alternate.is_in_use(registers.rsp);
    let (top, entering) = match alternate.top() {
        Some(top) if action.has(flags::ONSTACK) && !nested => (top, true),
        _ => (registers.rsp.wrapping_sub(RED_ZONE), false),
    };
    let fpu = top.wrapping_sub(size_of::<FxImage>() as u64) & !63;
    let at = (fpu.wrapping_sub(size_of::<Frame>() as u64) & !15).wrapping_sub(8);
    if (nested || entering) && !alternate.holds(at) {
        return Err(Errno::EFAULT);
    }
    let frame = Frame {
        restorer: action.restorer,
        context: Context {
            flags: CONTEXT_FLAGS,
            link: 0,
            stack: alternate.saved(),
            registers: Registers::of(registers, kernel.signals.last_raised, mask, fpu),
            mask: mask.0,
        },
        info: *info,
    };
    let image = *kernel.signals.fpu.save();
    user_copy::put(kernel, fpu, &image)?;
    user_copy::put(kernel, at, &frame)?;

    kernel.signals.fpu.reset();
    let context = at + 8;
    registers.rdi = info.signo as u64;
    registers.rsi = context + size_of::<Context>() as u64;
    registers.rdx = context;
    registers.rax = 0;
    registers.rip = handler;
    registers.rsp = at;
    registers.rflags &= !(DIRECTION_FLAG | RESUME_FLAG | TRAP_FLAG);
    registers.cs = u64::from(USER_CODE.0);
    registers.ss = u64::from(USER_DATA.0);
    Ok(())
}

/// `rt_sigreturn`: goes back to what a handler has interrupted. Where no frame can be read, SIGSEGV says so.
pub(crate) fn go_back(kernel: &mut Kernel, registers: &mut TrapFrame) {
    if pop(kernel, registers).is_err() {
        registers.rax = 0;
        kernel.signals.force(&SigInfo::kernel(SIGSEGV), CrashCause::SignalFrame, None);
    }
}

/// Takes registers, mask, alternate stack and FPU state from the frame above the stack pointer.
///
/// # Errors
/// It cannot be read, or its FPU state is none.
fn pop(kernel: &mut Kernel, registers: &mut TrapFrame) -> Result<(), Errno> {
    // The handler's return has taken the restorer's address.
    let context: Context = user_copy::get(kernel, registers.rsp)?;
    kernel.signals.set_blocked(SignalSet(context.mask));
    // As in Linux since 6.12, while the stack pointer is still the handler's: a handler that has set up the stack it
    // runs on keeps that. One that cannot be put back is none of anybody's business.
    let _ = kernel.signals.stack.set(context.stack, registers.rsp);
    context.registers.put(registers);
    select(kernel, registers, &context);
    match context.registers.fpu {
        0 => kernel.signals.fpu.reset(),
        at => {
            let image = user_copy::get(kernel, at)?;
            if !kernel.signals.fpu.restore(&image) {
                return Err(Errno::EINVAL);
            }
        }
    }
    Ok(())
}

/// Loads the selectors: ring 3 has one for code and one for data, and others would fault on the way back.
fn select(kernel: &mut Kernel, registers: &mut TrapFrame, context: &Context) {
    /// Without it, Linux puts a bad stack segment right (UC_STRICT_RESTORE_SS).
    const STRICT: u64 = 4;
    let Registers { cs, ss, .. } = context.registers;
    if cs | 3 != USER_CODE.0 {
        exception::bad_selector(kernel, cs);
    } else if ss | 3 != USER_DATA.0 && context.flags & STRICT != 0 {
        exception::bad_selector(kernel, ss);
    }
    registers.cs = u64::from(USER_CODE.0);
    registers.ss = u64::from(USER_DATA.0);
}

impl Registers {
    fn of(frame: &TrapFrame, raised: Raised, mask: SignalSet, fpu: u64) -> Registers {
        Registers {
            r8_to_r15: [frame.r8, frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15],
            rdi: frame.rdi,
            rsi: frame.rsi,
            rbp: frame.rbp,
            rbx: frame.rbx,
            rdx: frame.rdx,
            rax: frame.rax,
            rcx: frame.rcx,
            rsp: frame.rsp,
            rip: frame.rip,
            rflags: frame.rflags,
            cs: frame.cs as u16,
            gs: 0,
            fs: 0,
            ss: frame.ss as u16,
            error: raised.error,
            trap_number: raised.vector,
            old_mask: mask.0,
            fault_address: raised.address,
            fpu,
            reserved: [0; 8],
        }
    }

    /// Puts all but the selectors where ring 3 gets them from.
    fn put(&self, frame: &mut TrapFrame) {
        [frame.r8, frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15] = self.r8_to_r15;
        frame.rdi = self.rdi;
        frame.rsi = self.rsi;
        frame.rbp = self.rbp;
        frame.rbx = self.rbx;
        frame.rdx = self.rdx;
        frame.rax = self.rax;
        frame.rcx = self.rcx;
        frame.rsp = self.rsp;
        frame.rip = self.rip;
        frame.rflags = frame.rflags & !CHANGEABLE_FLAGS | self.rflags & CHANGEABLE_FLAGS;
    }
}
