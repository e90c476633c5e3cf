//! System calls about the process itself.
#![expect(unsafe_code, reason = "FS and GS bases are MSRs")]

use pagelab_abi::layout::TASK_SIZE;
use pagelab_mm::errno::Errno;
use x86_64::{
    VirtAddr,
    registers::model_specific::{FsBase, Msr},
};

use super::{Args, Result};
use crate::{process::Process, state::Kernel, user_copy};

const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
/// IA32_GS_BASE: the kernel leaves GS to the program.
const GS_BASE: u32 = 0xc000_0101;

pub(super) fn arch_prctl(kernel: &mut Kernel, &[code, address, ..]: &Args) -> Result {
    match code {
        ARCH_SET_FS | ARCH_SET_GS if address >= TASK_SIZE => Err(Errno::EPERM),
        ARCH_SET_FS => {
            FsBase::write(VirtAddr::new(address));
            Ok(0)
        }
        ARCH_SET_GS => {
            // SAFETY: the address is canonical, and the kernel does not use GS.
            unsafe { Msr::new(GS_BASE).write(address) };
            Ok(0)
        }
        ARCH_GET_FS => user_copy::put(kernel, address, &FsBase::read().as_u64()).map(|()| 0),
        ARCH_GET_GS => {
            // SAFETY: reading this MSR has no effect.
            let base = unsafe { Msr::new(GS_BASE).read() };
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
pub(super) fn rseq(kernel: &mut Kernel, &[area, length, flags, ..]: &Args) -> Result {
    const UNREGISTER: u64 = 1;
    const SIZE: u64 = 32;
    const CPU_ID_UNINITIALIZED: u32 = u32::MAX;
    let registered = kernel.process.rseq;
    match flags {
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
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn exit(kernel: &mut Kernel, &[status, ..]: &Args) -> Result {
    Process::end(kernel, ((status & 0xff) as u32) << 8)
}

pub(super) fn getrandom(kernel: &mut Kernel, &[buffer, length, flags, ..]: &Args) -> Result {
    const KNOWN: u64 = 1 | 2 | 4;
    const RANDOM_AND_INSECURE: u64 = 2 | 4;
    if flags & !KNOWN != 0 || flags & RANDOM_AND_INSECURE == RANDOM_AND_INSECURE {
        return Err(Errno::EINVAL);
    }
    let length = length.min(i32::MAX as u64);
    user_copy::pieces(kernel, buffer, length, true, |kernel, pfn, offset, length, _| {
        let mut bytes = [0; 64];
        let mut done = 0;
        while done < length {
            let piece = &mut bytes[..(length - done).min(64)];
            kernel.random.fill(piece);
            kernel.mm.machine.write(pfn, offset + done, piece);
            done += piece.len();
        }
        Ok(())
    })?;
    Ok(length)
}
