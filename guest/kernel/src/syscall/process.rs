//! System calls about the process itself.
#![expect(unsafe_code, reason = "FS and GS bases are MSRs")]

use pagelab_abi::layout::TASK_SIZE;
use pagelab_mm::errno::Errno;
use x86_64::registers::model_specific::Msr;

use super::{Args, Result};
use crate::{process::Process, state::Kernel, user_copy};

const ARCH_SET_GS: u32 = 0x1001;
const ARCH_SET_FS: u32 = 0x1002;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;
/// IA32_FS_BASE and IA32_GS_BASE: the kernel leaves both to the program.
const FS_BASE: Msr = Msr::new(0xc000_0100);
const GS_BASE: Msr = Msr::new(0xc000_0101);

pub(super) fn arch_prctl(kernel: &mut Kernel, &[code, address, ..]: &Args) -> Result {
    let code = code as u32;
    let mut base = if matches!(code, ARCH_SET_FS | ARCH_GET_FS) { FS_BASE } else { GS_BASE };
    match code {
        ARCH_SET_FS | ARCH_SET_GS if address >= TASK_SIZE => Err(Errno::EPERM),
        ARCH_SET_FS | ARCH_SET_GS => {
            // SAFETY: the address is canonical, and the kernel uses neither FS nor GS.
            unsafe { base.write(address) };
            Ok(0)
        }
        ARCH_GET_FS | ARCH_GET_GS => {
            // A program with wrfsbase may have put any address there that its CPU takes.
            // SAFETY: reading these MSRs has no effect.
            let base = unsafe { base.read() };
            user_copy::put(kernel, address, &base).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// There are no threads whose robust futexes would have to be released: the list is only checked.
pub(super) fn set_robust_list(&[_, length, ..]: &Args) -> Result {
    const HEAD_SIZE: u64 = 24;
    if length == HEAD_SIZE { Ok(0) } else { Err(Errno::EINVAL) }
}

/// Registers a restartable-sequences area (Linux's `struct rseq`, 32 bytes). The one CPU is number 0 for ever, and
/// nothing preempts or migrates the program, so that the area never changes afterwards.
pub(super) fn rseq(kernel: &mut Kernel, &[area, length, flags, signature, ..]: &Args) -> Result {
    const UNREGISTER: u32 = 1;
    const SIZE: u64 = 32;
    const CPU_ID_UNINITIALIZED: u32 = u32::MAX;
    let (flags, length, signature) = (flags as u32, u64::from(length as u32), signature as u32);
    let registered = kernel.process.rseq;
    match flags {
        0 | UNREGISTER
            if registered != 0
                && registered == area
                && length == SIZE
                && kernel.process.rseq_signature != signature =>
        {
            Err(Errno::EPERM)
        }
        UNREGISTER if registered == 0 || registered != area || length != SIZE => Err(Errno::EINVAL),
        UNREGISTER => {
            user_copy::put(kernel, area, &[0, CPU_ID_UNINITIALIZED])?;
            kernel.process.rseq = 0;
            Ok(0)
        }
        0 if registered == area && registered != 0 => Err(Errno::EBUSY),
        0 if registered != 0 || !area.is_multiple_of(SIZE) || length != SIZE => Err(Errno::EINVAL),
        0 => {
            // cpu_id_start, cpu_id; then rseq_cs (64 bits), flags, node_id, mm_cid: all zero.
            user_copy::put(kernel, area, &[0u32, 0])?;
            user_copy::put(kernel, area + 20, &[0u32, 0])?;
            kernel.process.rseq = area;
            kernel.process.rseq_signature = signature;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// There are no children to wait for.
pub(super) fn wait4(&[_, _, options, ..]: &Args) -> Result {
    /// WNOHANG, WUNTRACED, WCONTINUED, __WNOTHREAD, __WALL, __WCLONE.
    const KNOWN: u64 = 1 | 2 | 8 | 0x2000_0000 | 0x4000_0000 | 0x8000_0000;
    if u64::from(options as u32) & !KNOWN != 0 { Err(Errno::EINVAL) } else { Err(Errno::ECHILD) }
}

/// As [`wait4`]. What it has to tell is written even where it fails: nothing.
pub(super) fn waitid(kernel: &mut Kernel, &[which, id, info, options, ..]: &Args) -> Result {
    /// WEXITED, WSTOPPED, WCONTINUED: one of them has to be asked for.
    const STATES: u64 = 4 | 2 | 8;
    /// WNOHANG, WNOWAIT, __WNOTHREAD, __WALL, __WCLONE.
    const KNOWN: u64 = STATES | 1 | 0x0100_0000 | 0x2000_0000 | 0x4000_0000 | 0x8000_0000;
    const P_ALL: u32 = 0;
    const P_PID: u32 = 1;
    const P_PGID: u32 = 2;
    let options = u64::from(options as u32);
    let asked = options & !KNOWN == 0 && options & STATES != 0;
    let errno = match which as u32 {
        P_ALL if asked => Errno::ECHILD,
        P_PID if asked && id as i32 > 0 => Errno::ECHILD,
        P_PGID if asked && id as i32 >= 0 => Errno::ECHILD,
        _ => Errno::EINVAL,
    };
    if info != 0 {
        // si_signo, si_errno, si_code; si_pid, si_uid, si_status.
        user_copy::put(kernel, info, &[0u32; 3])?;
        user_copy::put(kernel, info.wrapping_add(16), &[0u32; 3])?;
    }
    Err(errno)
}

pub(super) fn exit(kernel: &mut Kernel, &[status, ..]: &Args) -> Result {
    Process::end(kernel, ((status & 0xff) as u32) << 8)
}

pub(super) fn getrandom(kernel: &mut Kernel, &[buffer, length, flags, ..]: &Args) -> Result {
    /// Linux's MAX_RW_COUNT.
    const MAX_RANDOM: u64 = 0x7fff_f000;
    const KNOWN: u64 = 1 | 2 | 4;
    const RANDOM_AND_INSECURE: u64 = 2 | 4;
    let flags = u64::from(flags as u32);
    if flags & !KNOWN != 0 || flags & RANDOM_AND_INSECURE == RANDOM_AND_INSECURE {
        return Err(Errno::EINVAL);
    }
    let mut filled = 0;
    let outcome = user_copy::pieces(kernel, buffer, length.min(MAX_RANDOM), true, |kernel, pfn, offset, length, _| {
        let mut bytes = [0; 64];
        let mut done = 0;
        while done < length {
            let piece = &mut bytes[..(length - done).min(64)];
            kernel.random.fill(piece);
            kernel.mm.write_frame(pfn, offset + done, piece);
            done += piece.len();
        }
        filled += length as u64;
        Ok(())
    });
    user_copy::moved(outcome, filled)
}
