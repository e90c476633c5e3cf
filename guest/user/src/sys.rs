//! Linux system calls, x86-64 convention, as far as the built-in programs need them.
#![expect(unsafe_code, reason = "a system call is an instruction")]

use core::{arch::asm, ffi::CStr, fmt};

/// PROT_NONE, PROT_READ, PROT_WRITE of mmap(2).
pub const PROT_NONE: usize = 0;
/// See [`PROT_NONE`].
pub const PROT_READ: usize = 1;
/// See [`PROT_NONE`].
pub const PROT_WRITE: usize = 2;

const SYS_READ: usize = 0;
const SYS_WRITE: usize = 1;
const SYS_OPEN: usize = 2;
const SYS_CLOSE: usize = 3;
const SYS_MMAP: usize = 9;
const SYS_MPROTECT: usize = 10;
const SYS_MUNMAP: usize = 11;
const SYS_BRK: usize = 12;
const SYS_PIPE: usize = 22;
const SYS_MSYNC: usize = 26;
const SYS_MADVISE: usize = 28;
const SYS_GETRUSAGE: usize = 98;
const SYS_EXIT_GROUP: usize = 231;

const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
const MADV_DONTNEED: usize = 4;
const MADV_NOHUGEPAGE: usize = 15;
const MS_ASYNC: usize = 1;
const O_RDONLY: usize = 0;
const O_WRONLY: usize = 1;
const RUSAGE_SELF: usize = 0;
const MAX_ERRNO: isize = 4095;

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

fn call(number: usize, args: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: no call made below lets the kernel write to memory that Rust owns, but for the buffers of read, pipe and
    // getrusage, which their callers pass by exclusive reference. RCX and R11 are what the instruction itself destroys.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-MAX_ERRNO..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// write(2): bytes written, which may be fewer than given.
pub fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    call(SYS_WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
}

/// read(2): bytes read, 0 at the end.
pub fn read(fd: i32, bytes: &mut [u8]) -> Result<usize, Errno> {
    call(SYS_READ, [fd as usize, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0])
}

/// open(2) for reading.
pub fn open(path: &CStr) -> Result<i32, Errno> {
    call(SYS_OPEN, [path.as_ptr() as usize, O_RDONLY, 0, 0, 0, 0]).map(|fd| fd as i32)
}

/// open(2) for writing to a file that exists.
pub fn open_to_write(path: &CStr) -> Result<i32, Errno> {
    call(SYS_OPEN, [path.as_ptr() as usize, O_WRONLY, 0, 0, 0, 0]).map(|fd| fd as i32)
}

/// close(2).
pub fn close(fd: i32) -> Result<(), Errno> {
    call(SYS_CLOSE, [fd as usize, 0, 0, 0, 0, 0]).map(drop)
}

/// pipe(2): its reading and its writing end.
pub fn pipe() -> Result<(i32, i32), Errno> {
    let mut ends = [0i32; 2];
    call(SYS_PIPE, [(&raw mut ends) as usize, 0, 0, 0, 0, 0])?;
    Ok((ends[0], ends[1]))
}

/// madvise(2) with MADV_DONTNEED: gives the range's pages back.
pub fn dont_need(address: usize, length: usize) -> Result<(), Errno> {
    call(SYS_MADVISE, [address, length, MADV_DONTNEED, 0, 0, 0]).map(drop)
}

/// Maps `length` bytes of private anonymous memory; the kernel chooses the address, which is returned.
pub fn map_anonymous(length: usize, protection: usize) -> Result<usize, Errno> {
    call(SYS_MMAP, [0, length, protection, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0])
}

/// mprotect(2).
pub fn protect(address: usize, length: usize, protection: usize) -> Result<(), Errno> {
    call(SYS_MPROTECT, [address, length, protection, 0, 0, 0]).map(drop)
}

/// munmap(2).
pub fn unmap(address: usize, length: usize) -> Result<(), Errno> {
    call(SYS_MUNMAP, [address, length, 0, 0, 0, 0]).map(drop)
}

/// brk(2) as the kernel has it: the break after the call, unchanged if it could not be moved.
pub fn brk(address: usize) -> usize {
    call(SYS_BRK, [address, 0, 0, 0, 0, 0]).unwrap_or(0)
}

/// Asks for 4 KiB pages only. A kernel without huge pages may refuse: it then gives what was asked for anyway.
pub fn no_huge_pages(address: usize, length: usize) -> Result<(), Errno> {
    call(SYS_MADVISE, [address, length, MADV_NOHUGEPAGE, 0, 0, 0]).map(drop)
}

/// msync(2) with MS_ASYNC, which starts nothing on Linux: the range is only checked.
pub fn sync(address: usize, length: usize) -> Result<(), Errno> {
    call(SYS_MSYNC, [address, length, MS_ASYNC, 0, 0, 0]).map(drop)
}

/// Page faults of this process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// ru_minflt: resolved without input or output.
    pub minor: i64,
    /// ru_majflt: waited for input or output.
    pub major: i64,
}

/// getrusage(2) of the process: its fault counters.
pub fn faults() -> Result<Faults, Errno> {
    // struct rusage is 18 words; ru_minflt is the ninth, ru_majflt the tenth.
    let mut usage = [0i64; 18];
    call(SYS_GETRUSAGE, [RUSAGE_SELF, (&raw mut usage) as usize, 0, 0, 0, 0])?;
    Ok(Faults { minor: usage[8], major: usage[9] })
}

/// exit_group(2).
pub fn exit(status: u8) -> ! {
    loop {
        // A kernel that knows Linux's calls does not come back from this one.
        let _ = call(SYS_EXIT_GROUP, [usize::from(status), 0, 0, 0, 0, 0]);
    }
}
