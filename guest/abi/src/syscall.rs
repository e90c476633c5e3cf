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
    Write = 1 => "write", "to the console only";
    Open = 2 => "open", "for reading only";
    Close = 3 => "close";
    Fstat = 5 => "fstat";
    Lseek = 8 => "lseek";
    Mmap = 9 => "mmap", "no huge pages";
    Mprotect = 10 => "mprotect", "no protection keys, no PROT_GROWSDOWN";
    Munmap = 11 => "munmap";
    Brk = 12 => "brk";
    Pread64 = 17 => "pread64";
    Readv = 19 => "readv";
    Writev = 20 => "writev", "to the console only";
    Mremap = 25 => "mremap";
    Msync = 26 => "msync", "checks only: nothing is written back";
    Mincore = 27 => "mincore";
    Madvise = 28 => "madvise", "no MADV_GUARD_*, MADV_HWPOISON, MADV_SOFT_OFFLINE; nothing is reclaimed or made huge";
    Getpid = 39 => "getpid";
    Exit = 60 => "exit";
    Kill = 62 => "kill", "to itself; SIGSTOP and its kin answer ENOSYS";
    Uname = 63 => "uname";
    Readlink = 89 => "readlink", "/proc/self/exe; there are no other links";
    Gettimeofday = 96 => "gettimeofday", "on the logical clock";
    Getrusage = 98 => "getrusage";
    Mlock = 149 => "mlock";
    Munlock = 150 => "munlock";
    Mlockall = 151 => "mlockall";
    Munlockall = 152 => "munlockall";
    ArchPrctl = 158 => "arch_prctl", "FS and GS bases only";
    Gettid = 186 => "gettid";
    Tkill = 200 => "tkill", "as kill";
    Time = 201 => "time", "on the logical clock";
    SetTidAddress = 218 => "set_tid_address", "nothing is cleared at the exit: nobody is left to see it";
    ClockGettime = 228 => "clock_gettime", "on the logical clock";
    ClockGetres = 229 => "clock_getres";
    ExitGroup = 231 => "exit_group";
    Tgkill = 234 => "tgkill", "as kill";
    Openat = 257 => "openat", "for reading only";
    Newfstatat = 262 => "newfstatat";
    Readlinkat = 267 => "readlinkat", "/proc/self/exe; there are no other links";
    SetRobustList = 273 => "set_robust_list", "the list is only checked: there are no threads";
    Prlimit64 = 302 => "prlimit64", "AS, DATA and STACK can be changed; hard limits are not kept";
    Getrandom = 318 => "getrandom", "the same bytes for the same --seed";
    Mlock2 = 325 => "mlock2";
    Rseq = 334 => "rseq", "the area never changes: there is one CPU, and nothing preempts";
}
