//! The system calls that the guest has, each named once: the kernel's `match` is exhaustive over them, and
//! `pagelab doctor --syscalls` lists them.
//!
//! To add one: a line here, in the order of the numbers, and an arm in `guest/kernel/src/syscall/mod.rs`. What follows
//! the name is a note for users: in what the call falls short of Linux's.

/// Declares [`Syscall`] from lines `Variant = number => "name";` or `Variant = number => "name", "note";`.
macro_rules! syscalls {
    ($($variant:ident = $number:literal => $name:literal $(, $note:literal)?;)+) => {
        /// A system call of Linux x86-64 that the guest serves.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum Syscall {
            $(#[doc = concat!("`", $name, "`.")] $variant = $number,)+
        }

        impl Syscall {
            /// Every one, in the order of their numbers.
            pub const ALL: &'static [Syscall] = &[$(Syscall::$variant),+];

            /// The call with this number; `None` for one that is answered with ENOSYS.
            #[inline]
            pub const fn from_number(number: u32) -> Option<Syscall> {
                match number {
                    $($number => Some(Syscall::$variant),)+
                    _ => None,
                }
            }

            /// Linux's number on x86-64.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// Linux's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Syscall::$variant => $name,)+
                }
            }

            /// In what it differs from Linux's; empty where nothing is known to.
            pub const fn note(self) -> &'static str {
                match self {
                    $(Syscall::$variant => concat!($($note)?),)+
                }
            }
        }
    };
}

syscalls! {
    Read = 0 => "read";
    Write = 1 => "write";
    Open = 2 => "open";
    Close = 3 => "close";
    Stat = 4 => "stat";
    Fstat = 5 => "fstat";
    Lstat = 6 => "lstat";
    Poll = 7 => "poll";
    Lseek = 8 => "lseek";
    Mmap = 9 => "mmap", "no huge pages";
    Mprotect = 10 => "mprotect", "no protection keys, no PROT_GROWSDOWN";
    Munmap = 11 => "munmap";
    Brk = 12 => "brk";
    RtSigaction = 13 => "rt_sigaction";
    RtSigprocmask = 14 => "rt_sigprocmask";
    RtSigreturn = 15 => "rt_sigreturn", "no AVX state";
    Ioctl = 16 => "ioctl", "FIONREAD, FIONBIO, FIOCLEX and FIONCLEX; others answer ENOTTY";
    Pread64 = 17 => "pread64";
    Pwrite64 = 18 => "pwrite64";
    Readv = 19 => "readv";
    Writev = 20 => "writev";
    Access = 21 => "access";
    Pipe = 22 => "pipe";
    Select = 23 => "select", "the time that is left is not written back";
    SchedYield = 24 => "sched_yield";
    Mremap = 25 => "mremap";
    Msync = 26 => "msync", "checks only: nothing is written back";
    Mincore = 27 => "mincore";
    Madvise = 28 => "madvise", "no MADV_GUARD_*, MADV_HWPOISON, MADV_SOFT_OFFLINE; nothing is reclaimed or made huge";
    Dup = 32 => "dup";
    Dup2 = 33 => "dup2";
    Pause = 34 => "pause", "a wait that no timer ends ends the run";
    Nanosleep = 35 => "nanosleep", "passes time on the logical clock";
    Getitimer = 36 => "getitimer";
    Alarm = 37 => "alarm", "as setitimer";
    Setitimer = 38 => "setitimer", "on the logical clock; expiries are seen at the next system call or fault";
    Getpid = 39 => "getpid";
    Sendfile = 40 => "sendfile";
    Exit = 60 => "exit";
    Wait4 = 61 => "wait4", "there are no children: ECHILD";
    Kill = 62 => "kill", "to itself; a signal that stops the program ends the run";
    Uname = 63 => "uname";
    Fcntl = 72 => "fcntl", "no leases, no signals; a pipe keeps its size";
    Flock = 73 => "flock", "always granted: there is one process";
    Fsync = 74 => "fsync";
    Fdatasync = 75 => "fdatasync";
    Truncate = 76 => "truncate";
    Ftruncate = 77 => "ftruncate";
    Getdents = 78 => "getdents";
    Getcwd = 79 => "getcwd";
    Chdir = 80 => "chdir";
    Fchdir = 81 => "fchdir";
    Rename = 82 => "rename";
    Mkdir = 83 => "mkdir";
    Rmdir = 84 => "rmdir";
    Creat = 85 => "creat";
    Link = 86 => "link";
    Unlink = 87 => "unlink";
    Symlink = 88 => "symlink";
    Readlink = 89 => "readlink";
    Chmod = 90 => "chmod";
    Fchmod = 91 => "fchmod";
    Chown = 92 => "chown";
    Fchown = 93 => "fchown";
    Lchown = 94 => "lchown";
    Umask = 95 => "umask";
    Gettimeofday = 96 => "gettimeofday", "on the logical clock";
    Getrlimit = 97 => "getrlimit";
    Getrusage = 98 => "getrusage";
    Sysinfo = 99 => "sysinfo";
    Times = 100 => "times", "all time is user time";
    Getuid = 102 => "getuid";
    Getgid = 104 => "getgid";
    Setuid = 105 => "setuid";
    Setgid = 106 => "setgid";
    Geteuid = 107 => "geteuid";
    Getegid = 108 => "getegid";
    Setpgid = 109 => "setpgid";
    Getppid = 110 => "getppid";
    Getpgrp = 111 => "getpgrp";
    Setsid = 112 => "setsid", "EPERM: the process leads a group";
    Setreuid = 113 => "setreuid";
    Setregid = 114 => "setregid";
    Getgroups = 115 => "getgroups", "there are none";
    Setresuid = 117 => "setresuid";
    Getresuid = 118 => "getresuid";
    Setresgid = 119 => "setresgid";
    Getresgid = 120 => "getresgid";
    Getpgid = 121 => "getpgid";
    Setfsuid = 122 => "setfsuid";
    Setfsgid = 123 => "setfsgid";
    Getsid = 124 => "getsid";
    RtSigpending = 127 => "rt_sigpending";
    RtSigtimedwait = 128 => "rt_sigtimedwait";
    RtSigqueueinfo = 129 => "rt_sigqueueinfo", "to itself";
    RtSigsuspend = 130 => "rt_sigsuspend", "as pause";
    Sigaltstack = 131 => "sigaltstack";
    Mknod = 133 => "mknod", "regular files and pipes";
    Personality = 135 => "personality", "is kept, and changes nothing";
    Statfs = 137 => "statfs";
    Fstatfs = 138 => "fstatfs";
    Getpriority = 140 => "getpriority";
    Setpriority = 141 => "setpriority";
    SchedSetparam = 142 => "sched_setparam";
    SchedGetparam = 143 => "sched_getparam";
    SchedSetscheduler = 144 => "sched_setscheduler", "is kept, and changes nothing";
    SchedGetscheduler = 145 => "sched_getscheduler";
    SchedGetPriorityMax = 146 => "sched_get_priority_max";
    SchedGetPriorityMin = 147 => "sched_get_priority_min";
    Mlock = 149 => "mlock";
    Munlock = 150 => "munlock";
    Mlockall = 151 => "mlockall";
    Munlockall = 152 => "munlockall";
    Prctl = 157 => "prctl", "names, dumpable, keepcaps, timer slack, no_new_privs, pdeathsig";
    ArchPrctl = 158 => "arch_prctl", "FS and GS bases only";
    Setrlimit = 160 => "setrlimit", "CPU, NPROC and the like are kept, and bind nobody";
    Sync = 162 => "sync";
    Gettid = 186 => "gettid";
    Tkill = 200 => "tkill", "as kill";
    Time = 201 => "time", "on the logical clock";
    Futex = 202 => "futex", "WAIT, WAKE, REQUEUE and their kin; no priority inheritance, no WAKE_OP";
    SchedSetaffinity = 203 => "sched_setaffinity", "there is one CPU";
    SchedGetaffinity = 204 => "sched_getaffinity";
    Getdents64 = 217 => "getdents64";
    SetTidAddress = 218 => "set_tid_address", "nothing is cleared at the exit: nobody is left to see it";
    Fadvise64 = 221 => "fadvise64", "changes nothing";
    ClockGettime = 228 => "clock_gettime", "on the logical clock";
    ClockGetres = 229 => "clock_getres";
    ClockNanosleep = 230 => "clock_nanosleep", "passes time on the logical clock";
    ExitGroup = 231 => "exit_group";
    Tgkill = 234 => "tgkill", "as kill";
    Waitid = 247 => "waitid", "there are no children: ECHILD";
    Openat = 257 => "openat";
    Mkdirat = 258 => "mkdirat";
    Mknodat = 259 => "mknodat", "regular files and pipes";
    Fchownat = 260 => "fchownat";
    Newfstatat = 262 => "newfstatat";
    Unlinkat = 263 => "unlinkat";
    Renameat = 264 => "renameat";
    Linkat = 265 => "linkat";
    Symlinkat = 266 => "symlinkat";
    Readlinkat = 267 => "readlinkat";
    Fchmodat = 268 => "fchmodat";
    Faccessat = 269 => "faccessat";
    Pselect6 = 270 => "pselect6", "the time that is left is not written back";
    Ppoll = 271 => "ppoll";
    SetRobustList = 273 => "set_robust_list", "the list is only checked: there are no threads";
    Utimensat = 280 => "utimensat";
    Fallocate = 285 => "fallocate", "mode 0, KEEP_SIZE and PUNCH_HOLE, of tmpfs and memfds";
    Dup3 = 292 => "dup3";
    Pipe2 = 293 => "pipe2", "packets (O_DIRECT) are a stream";
    Preadv = 295 => "preadv";
    Pwritev = 296 => "pwritev";
    RtTgsigqueueinfo = 297 => "rt_tgsigqueueinfo", "to itself";
    Prlimit64 = 302 => "prlimit64", "CPU, NPROC and the like are kept, and bind nobody";
    Syncfs = 306 => "syncfs";
    Getcpu = 309 => "getcpu", "there is one";
    Renameat2 = 316 => "renameat2", "no RENAME_WHITEOUT";
    Getrandom = 318 => "getrandom", "the same bytes for the same --seed";
    MemfdCreate = 319 => "memfd_create", "no huge pages";
    Membarrier = 324 => "membarrier", "QUERY answers that there are no commands";
    Mlock2 = 325 => "mlock2";
    CopyFileRange = 326 => "copy_file_range";
    Preadv2 = 327 => "preadv2", "no RWF_NOWAIT, RWF_APPEND";
    Pwritev2 = 328 => "pwritev2", "no RWF_NOWAIT, RWF_APPEND";
    Statx = 332 => "statx";
    Rseq = 334 => "rseq", "the area never changes: there is one CPU, and nothing preempts";
    CloseRange = 436 => "close_range";
    Faccessat2 = 439 => "faccessat2";
    Fchmodat2 = 452 => "fchmodat2";
}
