//! The end of a program by a signal: what it leaves behind goes to the host, which makes the diagnosis of it.

use pagelab_abi::{
    code::{BulkKind, Moment},
    crash::{Area, Crash, CrashCause, STACK_BYTES},
    layout::PAGE_SIZE,
    trap::TrapFrame,
};
use pagelab_mm::slab::Slot;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use crate::{process::Process, state::Kernel, take_once::TakeOnce, user_copy};

/// The vector of `int3`, whose trap comes behind the instruction.
const BREAKPOINT: u64 = 3;
/// Bytes of the `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;

/// What goes to the host, in one piece.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Remains {
    crash: Crash,
    stack: [u8; STACK_BYTES],
}

/// Far too large for the kernel's stack. The run ends with the one program, so that it is taken once at most.
static REMAINS: TakeOnce<Remains> = TakeOnce::new(transmute!([0u8; size_of::<Remains>()]));

/// Why a program ends: a signal as its handler would have been told of it.
#[derive(Clone, Copy)]
pub(crate) struct Death {
    /// The signal's number.
    pub(crate) signal: u32,
    /// Its `si_code`.
    pub(crate) code: i32,
    /// Its `si_addr`; 0 where the signal has none.
    pub(crate) address: u64,
    /// What brought it about.
    pub(crate) cause: CrashCause,
}

/// Ends the program by a signal. `frame` has the registers that it would have gone on with.
#[cold]
pub(crate) fn die(kernel: &mut Kernel, frame: &TrapFrame, death: Death) -> ! {
    let remains = REMAINS.take();
    let Remains { crash, stack } = remains;
    crash.signal = death.signal;
    crash.code = death.code;
    crash.address = death.address;
    crash.cause = death.cause;
    crash.frame = *frame;
    crash.instruction = match kernel.process.syscall_rip {
        syscall if death.cause == CrashCause::Sent && frame.rip == syscall + SYSCALL_LENGTH => syscall,
        _ if frame.vector == BREAKPOINT => frame.rip.wrapping_sub(1),
        _ => frame.rip,
    };
    crash.code_length = user_copy::peek(kernel, crash.instruction, &mut crash.code_bytes) as u8;
    places(kernel, crash);

    crash.stack_start = frame.rsp;
    let mut length = user_copy::peek(kernel, crash.stack_start, stack);
    if length == 0 {
        // Of a stack that has overflowed, the next page is there.
        crash.stack_start = (frame.rsp | (PAGE_SIZE - 1)).wrapping_add(1);
        length = user_copy::peek(kernel, crash.stack_start, stack);
    }
    crash.stack_length = length as u32;

    let bytes = &remains.as_bytes()[..size_of::<Crash>() + length];
    kernel.mm.trace.bulk(BulkKind::Crash, 0, Moment::Exit, false, bytes);
    Process::end(kernel, death.signal)
}

/// Finds what is mapped at the addresses of a crash, and around the one that the signal names.
fn places(kernel: &mut Kernel, crash: &mut Crash) {
    let vmas = &mut kernel.process.space.vmas;
    let mut at = |address| vmas.containing(&kernel.mm, address).unwrap_or(0);
    let [code, stack, place] = [crash.instruction, crash.frame.rsp, crash.address].map(&mut at);
    let (below, above) = match place {
        0 => vmas.neighbours(&kernel.mm, crash.address),
        _ => (0, 0),
    };
    crash.of_instruction = area(kernel, code);
    crash.of_stack = area(kernel, stack);
    crash.at = area(kernel, place);
    crash.below = area(kernel, below);
    crash.above = area(kernel, above);
}

/// The VMA in a slot; none in slot 0.
fn area(kernel: &Kernel, slot: Slot) -> Area {
    if slot == 0 {
        return Area::default();
    }
    let vma = kernel.mm.vma(slot);
    let name = kernel.process.space.name_of(&kernel.mm, vma);
    Area { start: vma.start, end: vma.end, flags: vma.flags().bits(), name }
}
