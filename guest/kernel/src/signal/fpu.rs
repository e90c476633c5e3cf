//! The state of x87 and SSE, which stays in the CPU while the kernel runs: it goes to memory only for a handler's frame.
#![expect(unsafe_code, reason = "FXSAVE and FXRSTOR read and write memory")]

use core::arch::asm;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::take_once::TakeOnce;

/// Control words after FNINIT, and MXCSR as programs start with it: all exceptions masked.
const INITIAL_CONTROL: u16 = 0x37f;
const INITIAL_MXCSR: u32 = 0x1f80;
/// MXCSR bits that exist where FXSAVE does not say which (SDM vol. 1, 11.6.6).
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;

static IMAGE: TakeOnce<FxImage> = TakeOnce::new(zerocopy::transmute!([0u8; size_of::<FxImage>()]));

/// What FXSAVE64 writes. The last 48 bytes are software's: zero says to programs that nothing more follows.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(super) struct FxImage {
    control: u16,
    status: u16,
    tag: u8,
    reserved: u8,
    opcode: u16,
    instruction: u64,
    operand: u64,
    mxcsr: u32,
    mxcsr_mask: u32,
    registers: [[u8; 16]; 8 + 16],
    rest: [u8; 96],
}

const _: () = assert!(size_of::<FxImage>() == 512);

impl FxImage {
    /// Exceptions that are raised and not masked, as a set of x87's flag bits: from the x87 state.
    pub(super) fn x87_exceptions(&self) -> u16 {
        self.status & !(self.control & 0x3f)
    }

    /// The same from SSE's.
    pub(super) fn sse_exceptions(&self) -> u16 {
        (self.mxcsr & !(self.mxcsr >> 7)) as u16 & 0x3f
    }
}

/// The buffer that the state goes through.
pub(super) struct Fpu(&'static mut FxImage);

impl Fpu {
    /// The one buffer.
    pub(super) fn new() -> Fpu {
        Fpu(IMAGE.take())
    }

    /// The program's state.
    pub(super) fn save(&mut self) -> &FxImage {
        let to: *mut FxImage = self.0;
        // SAFETY: the image is 512 bytes, aligned to 16, and nobody else has it.
        unsafe { asm!("fxsave64 [{}]", in(reg) to, options(nostack, preserves_flags)) };
        self.0
    }

    /// What a handler starts with.
    pub(super) fn reset(&mut self) {
        self.0.as_mut_bytes().fill(0);
        self.0.control = INITIAL_CONTROL;
        self.0.mxcsr = INITIAL_MXCSR;
        self.load();
    }

    /// Takes a state from a program. One that the CPU would refuse, with bits of MXCSR that do not exist, leaves the
    /// state of a fresh program, and false is the answer.
    pub(super) fn restore(&mut self, image: &FxImage) -> bool {
        let mask = match self.save().mxcsr_mask {
            0 => DEFAULT_MXCSR_MASK,
            mask => mask,
        };
        if image.mxcsr & !mask != 0 {
            self.reset();
            return false;
        }
        *self.0 = *image;
        self.load();
        self.0.rest.fill(0);
        true
    }

    fn load(&mut self) {
        let from: *const FxImage = self.0;
        // SAFETY: as in `save`; MXCSR has no bit that the CPU lacks.
        unsafe { asm!("fxrstor64 [{}]", in(reg) from, options(nostack, preserves_flags, readonly)) };
    }
}
