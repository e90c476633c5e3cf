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
use linux_raw_sys::general as nr;
pub(crate) use missing::MissingSyscalls;
use pagelab_abi::{event, trap::TrapFrame};
use pagelab_mm::errno::Errno;

use crate::{arch::cpu, state::Kernel};

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
}

fn call(kernel: &mut Kernel, number: u32, args: &Args) -> Result {
    match number {
        nr::__NR_read => io::read(kernel, args),
        nr::__NR_write => io::write(kernel, args),
        nr::__NR_readv => io::readv(kernel, args),
        nr::__NR_writev => io::writev(kernel, args),
        nr::__NR_close => file::close(kernel, args),
        nr::__NR_open => file::open(kernel, args),
        nr::__NR_openat => file::openat(kernel, args),
        nr::__NR_pread64 => io::pread64(kernel, args),
        nr::__NR_lseek => file::lseek(kernel, args),
        nr::__NR_fstat => path::fstat(kernel, args),
        nr::__NR_newfstatat => path::newfstatat(kernel, args),
        nr::__NR_readlink => path::readlink(kernel, args),
        nr::__NR_readlinkat => path::readlinkat(kernel, args),
        nr::__NR_mmap => memory::mmap(kernel, args),
        nr::__NR_munmap => memory::munmap(kernel, args),
        nr::__NR_mprotect => memory::mprotect(kernel, args),
        nr::__NR_brk => memory::brk(kernel, args),
        nr::__NR_madvise => memory::madvise(kernel, args),
        nr::__NR_mincore => memory::mincore(kernel, args),
        nr::__NR_arch_prctl => process::arch_prctl(kernel, args),
        nr::__NR_set_tid_address => Ok(u64::from(kernel.process.pid)),
        nr::__NR_set_robust_list => process::set_robust_list(args),
        nr::__NR_rseq => process::rseq(kernel, args),
        nr::__NR_getpid | nr::__NR_gettid => Ok(u64::from(kernel.process.pid)),
        nr::__NR_kill => signal::kill(kernel, args),
        nr::__NR_tkill => signal::tkill(kernel, args),
        nr::__NR_tgkill => signal::tgkill(kernel, args),
        nr::__NR_exit | nr::__NR_exit_group => process::exit(kernel, args),
        nr::__NR_getrandom => process::getrandom(kernel, args),
        nr::__NR_prlimit64 => info::prlimit64(kernel, args),
        nr::__NR_getrusage => info::getrusage(kernel, args),
        nr::__NR_uname => info::uname(kernel, args),
        nr::__NR_clock_gettime => time::clock_gettime(kernel, args),
        nr::__NR_clock_getres => time::clock_getres(kernel, args),
        nr::__NR_gettimeofday => time::gettimeofday(kernel, args),
        nr::__NR_time => time::time(kernel, args),
        _ => {
            kernel.missing.count(number);
            Err(Errno::ENOSYS)
        }
    }
}
