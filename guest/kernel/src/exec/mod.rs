//! Starting a program: read its file, map it, lay out its stack, and the registers it begins with.

mod stack;

use core::{fmt, ops::Range};

use pagelab_abi::{code::ProcessOp, event, trap::TrapFrame};
use pagelab_mm::{
    errno::Errno,
    exec::{self, LoadError, Loader, Program, Unfit},
    space::MmapRequest,
};

use crate::{
    arch::descriptors::{USER_CODE, USER_DATA},
    fs::{Inode, Kind, mapped, path},
    state::Kernel,
    user_copy,
};

/// Why a program could not be started.
pub(crate) struct ExecError {
    path: &'static [u8],
    why: Why,
}

enum Why {
    /// The guest has no such file.
    NotFound,
    /// It is a directory.
    Directory,
    /// Its mode lets nobody execute it.
    NotExecutable,
    /// The file is not a program we can run.
    Unfit(Unfit<'static>),
    /// It could not be mapped.
    Load(LoadError<'static>),
    /// Its first stack could not be written.
    Stack(Errno),
    /// The guest's memory does not suffice.
    OutOfMemory,
}

impl ExecError {
    /// The exit status that a shell gives such a program: 127 if it was not found, 126 if it cannot be executed.
    pub(crate) fn status(&self) -> u32 {
        if matches!(self.why, Why::NotFound) { 127 } else { 126 }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.escape_ascii())?;
        match &self.why {
            Why::NotFound => f.write_str("there is no such file in the guest; put it there with --file or --dir"),
            Why::Directory => f.write_str("it is a directory; give a program"),
            Why::NotExecutable => f.write_str("its mode does not let it be executed; chmod +x it on the host"),
            Why::Unfit(why) => why.fmt(f),
            Why::Load(error) => error.fmt(f),
            Why::Stack(Errno::EEXIST) => {
                f.write_str("its segments lie where its stack must be; link it to lower addresses")
            }
            Why::Stack(Errno::ENOMEM) => {
                f.write_str("there is no room for its stack (ENOMEM); give fewer arguments, or more with --memory")
            }
            Why::Stack(errno) => {
                write!(f, "its arguments and environment do not fit (errno {}); give fewer or shorter ones", errno.0)
            }
            Why::OutOfMemory => f.write_str("the guest has too little memory to start it; give more with --memory"),
        }
    }
}

/// Loads the program that the boot info names.
pub(crate) fn exec(kernel: &mut Kernel) -> Result<TrapFrame, ExecError> {
    let path = stack::nul_terminated(&kernel.boot.program);
    start(kernel, path).map_err(|why| ExecError { path, why })
}

fn start(kernel: &mut Kernel, path: &'static [u8]) -> Result<TrapFrame, Why> {
    let found = path::walk_text(kernel, path).map_err(|_| Why::NotFound)?;
    kernel.process.set_program(path);
    kernel.process.executable = found;
    kernel.hold(found.inode);
    kernel.hold_dentry(found.dentry);

    check_mode(kernel.inode(found.inode))?;
    let program = Program::read(kernel.archived(found.inode)).map_err(Why::Unfit)?;
    let id = mapped::file(kernel, found).map_err(|_| Why::OutOfMemory)?;
    kernel.process.name = kernel.mm.file(id).name;
    let image = exec::load(kernel, &program, id).map_err(Why::Load)?;
    kernel.process.text_bytes = image.text_bytes();
    kernel.process.layout.code = [image.code.start, image.code.end];
    kernel.process.layout.data = [image.data.start, image.data.end];
    kernel.process.space.set_brk_start(image.end);
    kernel.process.space.data_bytes = image.data_bytes();
    let rsp = stack::build(kernel, path, &image)?;

    let exec = event::Process {
        op: ProcessOp::Exec,
        padding: [0; 3],
        status: 0,
        program: kernel.process.name,
        padding2: 0,
        min_flt: 0,
        maj_flt: 0,
        entry: image.entry,
    };
    kernel.mm.trace.emit(exec, 0);
    Ok(registers(image.entry, rsp))
}

/// Root may execute what anybody may. Set-user-ID bits change nothing: every file is root's.
fn check_mode(file: &Inode) -> Result<(), Why> {
    const ANY_EXECUTE: u32 = 0o111;
    if file.is_directory() {
        return Err(Why::Directory);
    }
    if file.kind() != Kind::Regular || file.mode & ANY_EXECUTE == 0 {
        return Err(Why::NotExecutable);
    }
    Ok(())
}

impl Loader for Kernel {
    fn map(&mut self, request: &MmapRequest) -> Result<u64, Errno> {
        self.process.space.mmap(&mut self.mm, request)
    }

    fn unmap(&mut self, start: u64, length: u64) -> Result<(), Errno> {
        self.process.space.munmap(&mut self.mm, start, length)
    }

    fn clear(&mut self, range: Range<u64>) -> Result<(), Errno> {
        user_copy::clear(self, range.start, range.end - range.start)
    }
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
