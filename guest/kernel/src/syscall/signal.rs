//! System calls about signals: arguments in, `crate::signal` does the work.

use pagelab_abi::trap::TrapFrame;
use pagelab_mm::errno::Errno;

use super::{Args, Result, time};
use crate::{
    signal::{self, Action, Restart, SigInfo, SignalSet, StackT, Target, Woken, code},
    state::Kernel,
    user_copy,
};

/// Bytes of a signal set.
const SET_SIZE: u64 = 8;

pub(super) fn kill(kernel: &mut Kernel, &[pid, number, ..]: &Args) -> Result {
    let own = kernel.process.pid as i32;
    let group = kernel.process.identity.group as i32;
    // 0 is the caller's process group, which has one member; -1 is all but the caller.
    match pid as i32 {
        0 => {}
        pid if pid == own || pid == group.wrapping_neg() && pid != -1 => {}
        _ => return Err(Errno::ESRCH),
    }
    send(kernel, number, code::SI_USER, Target::Process)
}

pub(super) fn tkill(kernel: &mut Kernel, &[tid, number, ..]: &Args) -> Result {
    let group = u64::from(kernel.process.pid);
    tgkill(kernel, &[group, tid, number, 0, 0, 0])
}

pub(super) fn tgkill(kernel: &mut Kernel, &[group, tid, number, ..]: &Args) -> Result {
    if group as i32 <= 0 || tid as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let pid = kernel.process.pid;
    if group as u32 != pid || tid as u32 != pid {
        return Err(Errno::ESRCH);
    }
    send(kernel, number, code::SI_TKILL, Target::Thread)
}

/// Sends a signal from the program to itself; 0 only asks whether that could be done.
fn send(kernel: &mut Kernel, number: u64, code: i32, target: Target) -> Result {
    if number as u32 == 0 {
        return Ok(0);
    }
    let number = signal::number(number)?;
    let info = SigInfo::sent(number, code, kernel.process.pid, kernel.process.identity.user.real);
    kernel.signals.queue(&info, target).map(|()| 0)
}

pub(super) fn rt_sigqueueinfo(kernel: &mut Kernel, &[pid, number, info, ..]: &Args) -> Result {
    let info = user_copy::get(kernel, info)?;
    forgeable(kernel, pid, &info)?;
    if pid as u32 != kernel.process.pid {
        return Err(Errno::ESRCH);
    }
    queue(kernel, number, info, Target::Process)
}

pub(super) fn rt_tgsigqueueinfo(kernel: &mut Kernel, &[group, tid, number, info, ..]: &Args) -> Result {
    let info = user_copy::get(kernel, info)?;
    if group as i32 <= 0 || tid as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    forgeable(kernel, tid, &info)?;
    if group as u32 != kernel.process.pid || tid as u32 != kernel.process.pid {
        return Err(Errno::ESRCH);
    }
    queue(kernel, number, info, Target::Thread)
}

/// Only to itself may a process pretend that `kill`, `tkill` or the kernel sent a signal.
fn forgeable(kernel: &Kernel, pid: u64, info: &SigInfo) -> core::result::Result<(), Errno> {
    let pretends = info.code >= 0 || info.code == code::SI_TKILL;
    if pretends && pid as u32 != kernel.process.pid { Err(Errno::EPERM) } else { Ok(()) }
}

fn queue(kernel: &mut Kernel, number: u64, mut info: SigInfo, target: Target) -> Result {
    if number as u32 == 0 {
        return Ok(0);
    }
    info.signo = signal::number(number)? as i32;
    kernel.signals.queue(&info, target).map(|()| 0)
}

pub(super) fn rt_sigaction(kernel: &mut Kernel, &[number, new, old, size, ..]: &Args) -> Result {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let new = if new == 0 { None } else { Some(user_copy::get::<Action>(kernel, new)?) };
    let number = signal::number(number)?;
    if new.is_some() && SignalSet::ALWAYS_OBEYED.contains(number) {
        return Err(Errno::EINVAL);
    }
    let before = kernel.signals.action(number);
    if let Some(new) = new {
        kernel.signals.set_action(number, new);
    }
    if old != 0 {
        user_copy::put(kernel, old, &before)?;
    }
    Ok(0)
}

pub(super) fn rt_sigprocmask(kernel: &mut Kernel, &[how, new, old, size, ..]: &Args) -> Result {
    const SIG_BLOCK: u32 = 0;
    const SIG_UNBLOCK: u32 = 1;
    const SIG_SETMASK: u32 = 2;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let before = kernel.signals.blocked();
    if new != 0 {
        let set = SignalSet(user_copy::get(kernel, new)?);
        kernel.signals.set_blocked(match how as u32 {
            SIG_BLOCK => before.or(set),
            SIG_UNBLOCK => before.without(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        });
    }
    if old != 0 {
        user_copy::put(kernel, old, &before.0)?;
    }
    Ok(0)
}

pub(super) fn rt_sigpending(kernel: &mut Kernel, &[set, size, ..]: &Args) -> Result {
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    if size == 0 {
        return Ok(0);
    }
    let signals = &kernel.signals;
    let pending = signals.pending(Target::Thread).or(signals.pending(Target::Process)).and(signals.blocked());
    user_copy::write(kernel, set, &pending.0.to_le_bytes()[..size as usize]).map(|()| 0)
}

pub(super) fn rt_sigsuspend(kernel: &mut Kernel, &[set, size, ..]: &Args) -> Result {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let set = SignalSet(user_copy::get(kernel, set)?);
    kernel.signals.set_blocked_for_wait(set);
    Err(signal::wait(kernel, format_args!("a signal (rt_sigsuspend)"), Restart::Never))
}

pub(super) fn pause(kernel: &mut Kernel) -> Result {
    Err(signal::wait(kernel, format_args!("a signal (pause)"), Restart::Never))
}

pub(super) fn rt_sigtimedwait(kernel: &mut Kernel, &[set, info, timeout, size, ..]: &Args) -> Result {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let set = SignalSet(user_copy::get(kernel, set)?).without(SignalSet::ALWAYS_OBEYED);
    let timeout = time::optional_duration(kernel, timeout)?;
    let taken = match kernel.signals.take(set) {
        Some(taken) => taken,
        None if timeout == Some(0) => return Err(Errno::EAGAIN),
        None => {
            let deadline = timeout.map(|timeout| kernel.clock.read().saturating_add(timeout));
            let woken = signal::wait_for(kernel, set, deadline);
            let none = if woken == Woken::Time { Errno::EAGAIN } else { Errno::EINTR };
            kernel.signals.take(set).ok_or(none)?
        }
    };
    let (number, told) = taken;
    if info != 0 {
        user_copy::put(kernel, info, &told)?;
    }
    Ok(u64::from(number))
}

pub(super) fn sigaltstack(kernel: &mut Kernel, registers: &TrapFrame, &[new, old, ..]: &Args) -> Result {
    let new = if new == 0 { None } else { Some(user_copy::get::<StackT>(kernel, new)?) };
    let before = kernel.signals.stack.told(registers.rsp);
    if let Some(new) = new {
        kernel.signals.stack.set(new, registers.rsp)?;
    }
    if old != 0 {
        user_copy::put(kernel, old, &before)?;
    }
    Ok(0)
}

/// Answers with what RAX was, so that it stays.
pub(super) fn rt_sigreturn(kernel: &mut Kernel, registers: &mut TrapFrame) -> Result {
    signal::go_back(kernel, registers);
    Ok(registers.rax)
}
