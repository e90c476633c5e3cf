//! Starting a program: load its file, lay out its stack, and the registers it begins with.

mod loader;
mod stack;

use core::fmt;

use pagelab_abi::{code::ProcessOp, event, trap::TrapFrame};
use pagelab_mm::{errno::Errno, frame::OutOfMemory};

use crate::{
    arch::descriptors::{USER_CODE, USER_DATA},
    state::Kernel,
};

/// Why a program could not be started.
pub(crate) enum ExecError {
    /// The initramfs has no such file.
    NotFound(&'static [u8]),
    /// The file is not a program we can run.
    NotExecutable(&'static str),
    /// A part of it could not be mapped.
    Map { start: u64, end: u64, errno: Errno },
    /// Its first stack could not be written.
    Stack(Errno),
    /// The guest's memory does not suffice.
    OutOfMemory,
}

impl From<OutOfMemory> for ExecError {
    fn from(_: OutOfMemory) -> Self {
        ExecError::OutOfMemory
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecError::NotFound(path) => {
                let path = str::from_utf8(path).unwrap_or("(not UTF-8)");
                write!(f, "{path} is not in the initramfs")
            }
            ExecError::NotExecutable(why) => write!(f, "the program cannot be run: {why}"),
            ExecError::Map { start, end, errno } => {
                write!(f, "the segment {start:#x}-{end:#x} cannot be mapped (errno {})", errno.0)
            }
            ExecError::Stack(errno) => write!(f, "arguments and environment do not fit (errno {})", errno.0),
            ExecError::OutOfMemory => f.write_str("the guest has too little memory to start the program"),
        }
    }
}

/// What the loader found out about a program.
struct Image {
    /// First instruction.
    entry: u64,
    /// Where its program headers are in memory.
    headers: u64,
    /// How many there are.
    header_count: u64,
    /// First page after the image: the heap starts here.
    end: u64,
    /// Bytes of executable segments.
    text_bytes: u64,
    /// Bytes of initialised data.
    data_bytes: u64,
    /// The file asks for a stack that can be executed.
    executable_stack: bool,
}

/// Loads the program that the boot info names.
pub(crate) fn exec(kernel: &mut Kernel) -> Result<TrapFrame, ExecError> {
    let path = stack::nul_terminated(&kernel.boot.program);
    let index = kernel.files.find(path).ok_or(ExecError::NotFound(path))?;
    let file = *kernel.files.entry(index);

    kernel.process.program = path;
    kernel.process.name = file.name;

    let id = kernel.files.mappable(&mut kernel.mm, index)?;
    let image = loader::load(kernel, &file, id)?;
    kernel.process.text_bytes = image.text_bytes;
    kernel.process.space.set_brk_start(image.end);
    kernel.process.space.data_bytes = image.data_bytes;
    let rsp = stack::build(kernel, path, &image)?;

    let exec = event::Process {
        op: ProcessOp::Exec,
        padding: [0; 3],
        status: 0,
        program: file.name,
        padding2: 0,
        min_flt: 0,
        maj_flt: 0,
        entry: image.entry,
    };
    kernel.mm.trace.emit(exec, 0);
    Ok(registers(image.entry, rsp))
}

/// All registers zero but the ones that matter; ring 3 runs with interrupts on.
fn registers(rip: u64, rsp: u64) -> TrapFrame {
    const RFLAGS: u64 = 0x202;
    TrapFrame {
        fault_address: 0,
        tsc: 0,
        r15: 0,
        r14: 0,
        r13: 0,
        r12: 0,
        r11: 0,
        r10: 0,
        r9: 0,
        r8: 0,
        rdi: 0,
        rsi: 0,
        rbp: 0,
        rbx: 0,
        rcx: 0,
        rdx: 0,
        rax: 0,
        vector: 0,
        error: 0,
        rip,
        cs: u64::from(USER_CODE.0),
        rflags: RFLAGS,
        rsp,
        ss: u64::from(USER_DATA.0),
    }
}
