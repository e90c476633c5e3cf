//! System calls: Linux's numbers, arguments, results and errno values.

mod at;
mod attributes;
mod descriptor;
mod directory;
mod futex;
mod identity;
mod info;
mod io;
mod limit;
mod memory;
mod missing;
mod open;
mod poll;
mod prctl;
mod process;
mod sched;
mod signal;
mod stat;
mod time;
mod timer;
mod tree;

pub(crate) use identity::{Identity, Ids};
pub(crate) use io::Buffers;
pub(crate) use limit::{Limits, all_limits};
pub(crate) use missing::MissingSyscalls;
use pagelab_abi::{event, syscall::Syscall, trap::TrapFrame};
use pagelab_mm::errno::Errno;
pub(crate) use prctl::Controls;
pub(crate) use sched::Scheduling;

use identity::Kind;

use crate::{arch::cpu, fault::oom, state::Kernel};

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

    let result = call(kernel, frame, number, &args);
    let result = match result {
        Ok(value) => value as i64,
        Err(errno) => {
            kernel.process.failed_syscall = number;
            -i64::from(errno.0)
        }
    };
    frame.rax = result as u64;
    kernel.mm.trace.event(event::SyscallExit { result, arg6, reserved: [0; 3] }, cpu::tsc(), 0, number);
    if kernel.mm.slabs.has_report() {
        kernel.say_slab_report();
    }
    if kernel.mm.refused.is_some() {
        oom::kill(kernel, frame, 0);
    }
}

fn call(kernel: &mut Kernel, frame: &mut TrapFrame, number: u32, args: &Args) -> Result {
    let Some(syscall) = Syscall::from_number(number) else {
        kernel.missing.count(number);
        return Err(Errno::ENOSYS);
    };
    match syscall {
        Syscall::Read => io::read(kernel, args),
        Syscall::Write => io::write(kernel, args),
        Syscall::Open => open::open(kernel, args),
        Syscall::Close => open::close(kernel, args),
        Syscall::Stat => stat::stat(kernel, args),
        Syscall::Fstat => stat::fstat(kernel, args),
        Syscall::Lstat => stat::lstat(kernel, args),
        Syscall::Poll => poll::poll(kernel, args),
        Syscall::Lseek => descriptor::lseek(kernel, args),
        Syscall::Ioctl => descriptor::ioctl(kernel, args),
        Syscall::Pread64 => io::pread64(kernel, args),
        Syscall::Pwrite64 => io::pwrite64(kernel, args),
        Syscall::Readv => io::readv(kernel, args),
        Syscall::Writev => io::writev(kernel, args),
        Syscall::Access => stat::access(kernel, args),
        Syscall::Pipe => open::pipe(kernel, args),
        Syscall::Select => poll::select(kernel, args),
        Syscall::Dup => descriptor::dup(kernel, args),
        Syscall::Dup2 => descriptor::dup2(kernel, args),
        Syscall::Sendfile => io::sendfile(kernel, args),
        Syscall::Fcntl => descriptor::fcntl(kernel, args),
        Syscall::Flock => descriptor::flock(kernel, args),
        Syscall::Fsync | Syscall::Fdatasync => descriptor::fsync(kernel, args),
        Syscall::Truncate => attributes::truncate(kernel, args),
        Syscall::Ftruncate => attributes::ftruncate(kernel, args),
        Syscall::Getdents => directory::getdents(kernel, args),
        Syscall::Getcwd => tree::getcwd(kernel, args),
        Syscall::Chdir => tree::chdir(kernel, args),
        Syscall::Fchdir => tree::fchdir(kernel, args),
        Syscall::Rename => tree::rename(kernel, args),
        Syscall::Mkdir => tree::mkdir(kernel, args),
        Syscall::Rmdir => tree::rmdir(kernel, args),
        Syscall::Creat => open::creat(kernel, args),
        Syscall::Link => tree::link(kernel, args),
        Syscall::Unlink => tree::unlink(kernel, args),
        Syscall::Symlink => tree::symlink(kernel, args),
        Syscall::Readlink => stat::readlink(kernel, args),
        Syscall::Chmod => attributes::chmod(kernel, args),
        Syscall::Fchmod => attributes::fchmod(kernel, args),
        Syscall::Chown => attributes::chown(kernel, args),
        Syscall::Fchown => attributes::fchown(kernel, args),
        Syscall::Lchown => attributes::lchown(kernel, args),
        Syscall::Umask => attributes::umask(kernel, args),
        Syscall::Mknod => tree::mknod(kernel, args),
        Syscall::Statfs => stat::statfs(kernel, args),
        Syscall::Fstatfs => stat::fstatfs(kernel, args),
        Syscall::Sync => Ok(0),
        Syscall::Getdents64 => directory::getdents64(kernel, args),
        Syscall::Fadvise64 => descriptor::fadvise64(kernel, args),
        Syscall::Openat => open::openat(kernel, args),
        Syscall::Mkdirat => tree::mkdirat(kernel, args),
        Syscall::Mknodat => tree::mknodat(kernel, args),
        Syscall::Fchownat => attributes::fchownat(kernel, args),
        Syscall::Newfstatat => stat::newfstatat(kernel, args),
        Syscall::Unlinkat => tree::unlinkat(kernel, args),
        Syscall::Renameat => tree::renameat(kernel, args),
        Syscall::Linkat => tree::linkat(kernel, args),
        Syscall::Symlinkat => tree::symlinkat(kernel, args),
        Syscall::Readlinkat => stat::readlinkat(kernel, args),
        Syscall::Fchmodat => attributes::fchmodat(kernel, args),
        Syscall::Faccessat => stat::faccessat(kernel, args),
        Syscall::Pselect6 => poll::pselect6(kernel, args),
        Syscall::Ppoll => poll::ppoll(kernel, args),
        Syscall::Utimensat => attributes::utimensat(kernel, args),
        Syscall::Fallocate => attributes::fallocate(kernel, args),
        Syscall::Dup3 => descriptor::dup3(kernel, args),
        Syscall::Pipe2 => open::pipe2(kernel, args),
        Syscall::Preadv => io::preadv(kernel, args),
        Syscall::Pwritev => io::pwritev(kernel, args),
        Syscall::Syncfs => descriptor::syncfs(kernel, args),
        Syscall::Renameat2 => tree::renameat2(kernel, args),
        Syscall::MemfdCreate => open::memfd_create(kernel, args),
        Syscall::CopyFileRange => io::copy_file_range(kernel, args),
        Syscall::Preadv2 => io::preadv2(kernel, args),
        Syscall::Pwritev2 => io::pwritev2(kernel, args),
        Syscall::Statx => stat::statx(kernel, args),
        Syscall::CloseRange => open::close_range(kernel, args),
        Syscall::Faccessat2 => stat::faccessat2(kernel, args),
        Syscall::Fchmodat2 => attributes::fchmodat2(kernel, args),
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
        Syscall::Prlimit64 => limit::prlimit64(kernel, args),
        Syscall::Getrusage => info::getrusage(kernel, args),
        Syscall::Uname => info::uname(kernel, args),
        Syscall::RtSigaction => signal::rt_sigaction(kernel, args),
        Syscall::RtSigprocmask => signal::rt_sigprocmask(kernel, args),
        Syscall::RtSigreturn => signal::rt_sigreturn(kernel, frame),
        Syscall::RtSigpending => signal::rt_sigpending(kernel, args),
        Syscall::RtSigtimedwait => signal::rt_sigtimedwait(kernel, args),
        Syscall::RtSigqueueinfo => signal::rt_sigqueueinfo(kernel, args),
        Syscall::RtTgsigqueueinfo => signal::rt_tgsigqueueinfo(kernel, args),
        Syscall::RtSigsuspend => signal::rt_sigsuspend(kernel, args),
        Syscall::Sigaltstack => signal::sigaltstack(kernel, frame, args),
        Syscall::Pause => signal::pause(kernel),
        Syscall::Getitimer => timer::getitimer(kernel, args),
        Syscall::Setitimer => timer::setitimer(kernel, args),
        Syscall::Alarm => timer::alarm(kernel, args),
        Syscall::Nanosleep => time::nanosleep(kernel, args),
        Syscall::ClockNanosleep => time::clock_nanosleep(kernel, args),
        Syscall::Times => time::times(kernel, args),
        Syscall::Sysinfo => info::sysinfo(kernel, args),
        Syscall::Personality => info::personality(kernel, args),
        Syscall::Membarrier => info::membarrier(args),
        Syscall::Getrlimit => limit::getrlimit(kernel, args),
        Syscall::Setrlimit => limit::setrlimit(kernel, args),
        Syscall::Prctl => prctl::prctl(kernel, args),
        Syscall::Futex => futex::futex(kernel, args),
        Syscall::Wait4 => process::wait4(args),
        Syscall::Waitid => process::waitid(kernel, args),
        Syscall::Getppid => Ok(u64::from(Identity::PARENT)),
        Syscall::Getuid => identity::real(kernel, Kind::User),
        Syscall::Getgid => identity::real(kernel, Kind::Group),
        Syscall::Geteuid => identity::effective(kernel, Kind::User),
        Syscall::Getegid => identity::effective(kernel, Kind::Group),
        Syscall::Setuid => identity::set(kernel, Kind::User, args),
        Syscall::Setgid => identity::set(kernel, Kind::Group, args),
        Syscall::Setreuid => identity::set_two(kernel, Kind::User, args),
        Syscall::Setregid => identity::set_two(kernel, Kind::Group, args),
        Syscall::Setresuid => identity::set_three(kernel, Kind::User, args),
        Syscall::Setresgid => identity::set_three(kernel, Kind::Group, args),
        Syscall::Getresuid => identity::get_three(kernel, Kind::User, args),
        Syscall::Getresgid => identity::get_three(kernel, Kind::Group, args),
        Syscall::Setfsuid => identity::set_file_system(kernel, Kind::User, args),
        Syscall::Setfsgid => identity::set_file_system(kernel, Kind::Group, args),
        Syscall::Getgroups => identity::getgroups(args),
        Syscall::Getpgrp => Ok(u64::from(kernel.process.identity.group)),
        Syscall::Getpgid => identity::getpgid(kernel, args),
        Syscall::Getsid => identity::getsid(kernel, args),
        Syscall::Setpgid => identity::setpgid(kernel, args),
        // The leader of a process group cannot leave it.
        Syscall::Setsid => Err(Errno::EPERM),
        Syscall::SchedYield => Ok(0),
        Syscall::SchedSetparam => sched::setparam(kernel, args),
        Syscall::SchedGetparam => sched::getparam(kernel, args),
        Syscall::SchedSetscheduler => sched::setscheduler(kernel, args),
        Syscall::SchedGetscheduler => sched::getscheduler(kernel, args),
        Syscall::SchedGetPriorityMax => sched::get_priority_max(args),
        Syscall::SchedGetPriorityMin => sched::get_priority_min(args),
        Syscall::SchedSetaffinity => sched::setaffinity(kernel, args),
        Syscall::SchedGetaffinity => sched::getaffinity(kernel, args),
        Syscall::Getcpu => sched::getcpu(kernel, args),
        Syscall::Getpriority => sched::getpriority(kernel, args),
        Syscall::Setpriority => sched::setpriority(kernel, args),
        Syscall::ClockGettime => time::clock_gettime(kernel, args),
        Syscall::ClockGetres => time::clock_getres(kernel, args),
        Syscall::Gettimeofday => time::gettimeofday(kernel, args),
        Syscall::Time => time::time(kernel, args),
    }
}
