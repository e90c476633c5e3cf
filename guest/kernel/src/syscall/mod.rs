//! System calls: Linux's numbers, arguments, results and errno values.

mod file;
mod info;
mod io;
mod memory;
mod missing;
mod path;
mod process;
mod signal;
mod time;

pub(crate) use io::Buffers;
pub(crate) use missing::MissingSyscalls;
use pagelab_abi::{event, syscall::Syscall, trap::TrapFrame};
use pagelab_mm::errno::Errno;

use crate::{arch::cpu, fault, state::Kernel};

/// The six arguments.
type Args = [u64; 6];
type Result = core::result::Result<u64, Errno>;

/// Bytes of the `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;

/// Serves the system call in a frame and puts its result there.
pub(crate) fn dispatch(kernel: &mut Kernel, frame: &mut TrapFrame) {
    let number = frame.rax as u32;
    let args = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
    kernel.process.syscall_rip = frame.rip.wrapping_sub(SYSCALL_LENGTH);
    let [a, b, c, d, e, arg6] = args;
    kernel.mm.trace.event(event::SyscallEnter { args: [a, b, c, d, e] }, frame.tsc, 0, number);

    let result = call(kernel, number, &args);
    let result = match result {
        Ok(value) => value as i64,
        Err(errno) => -i64::from(errno.0),
    };
    frame.rax = result as u64;
    kernel.mm.trace.event(event::SyscallExit { result, arg6, reserved: [0; 3] }, cpu::tsc(), 0, number);
    if kernel.process.dying_of != 0 {
        fault::signal::sent(kernel, frame);
    }
}

fn call(kernel: &mut Kernel, number: u32, args: &Args) -> Result {
    let Some(syscall) = Syscall::from_number(number) else {
        kernel.missing.count(number);
        return Err(Errno::ENOSYS);
    };
    match syscall {
        Syscall::Read => io::read(kernel, args),
        Syscall::Write => io::write(kernel, args),
        Syscall::Readv => io::readv(kernel, args),
        Syscall::Writev => io::writev(kernel, args),
        Syscall::Close => file::close(kernel, args),
        Syscall::Open => file::open(kernel, args),
        Syscall::Openat => file::openat(kernel, args),
        Syscall::Pread64 => io::pread64(kernel, args),
        Syscall::Lseek => file::lseek(kernel, args),
        Syscall::Fstat => path::fstat(kernel, args),
        Syscall::Newfstatat => path::newfstatat(kernel, args),
        Syscall::Readlink => path::readlink(kernel, args),
        Syscall::Readlinkat => path::readlinkat(kernel, args),
        Syscall::Mmap => memory::mmap(kernel, args),
        Syscall::Munmap => memory::munmap(kernel, args),
        Syscall::Mprotect => memory::mprotect(kernel, args),
        Syscall::Brk => memory::brk(kernel, args),
        Syscall::Madvise => memory::madvise(kernel, args),
        Syscall::Mincore => memory::mincore(kernel, args),
        Syscall::Mremap => memory::mremap(kernel, args),
        Syscall::Msync => memory::msync(kernel, args),
        Syscall::Mlock => memory::mlock(kernel, args),
        Syscall::Mlock2 => memory::mlock2(kernel, args),
        Syscall::Munlock => memory::munlock(kernel, args),
        Syscall::Mlockall => memory::mlockall(kernel, args),
        Syscall::Munlockall => memory::munlockall(kernel),
        Syscall::ArchPrctl => process::arch_prctl(kernel, args),
        Syscall::SetTidAddress => Ok(u64::from(kernel.process.pid)),
        Syscall::SetRobustList => process::set_robust_list(args),
        Syscall::Rseq => process::rseq(kernel, args),
        Syscall::Getpid | Syscall::Gettid => Ok(u64::from(kernel.process.pid)),
        Syscall::Kill => signal::kill(kernel, args),
        Syscall::Tkill => signal::tkill(kernel, args),
        Syscall::Tgkill => signal::tgkill(kernel, args),
        Syscall::Exit | Syscall::ExitGroup => process::exit(kernel, args),
        Syscall::Getrandom => process::getrandom(kernel, args),
        Syscall::Prlimit64 => info::prlimit64(kernel, args),
        Syscall::Getrusage => info::getrusage(kernel, args),
        Syscall::Uname => info::uname(kernel, args),
        Syscall::ClockGettime => time::clock_gettime(kernel, args),
        Syscall::ClockGetres => time::clock_getres(kernel, args),
        Syscall::Gettimeofday => time::gettimeofday(kernel, args),
        Syscall::Time => time::time(kernel, args),
    }
}
