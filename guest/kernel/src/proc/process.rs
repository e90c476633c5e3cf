//! The facts of the texts about the process.

use core::fmt;

use pagelab_abi::{layout::PAGE_SIZE, snapshot::MmHeader};
use pagelab_mm::{
    fault,
    text::{self, Rollup, Signals, Sink, Task},
};

use super::TICK_NS;
use crate::{
    fs::mapped,
    signal::{Action, LAST, Target},
    state::Kernel,
    syscall::{Identity, Ids, all_limits},
};

/// RLIMIT_RSS and RLIMIT_SIGPENDING.
const RSS: usize = 5;
const SIGPENDING: usize = 11;

/// Bytes of the program that are copied at once.
const PIECE: usize = 512;
/// Longest path.
const PATH_MAX: usize = 4096;
/// Largest oom_score.
const MAX_SCORE: i64 = 2000;

/// The process's memory as a whole.
pub(super) fn header(kernel: &Kernel) -> MmHeader {
    kernel.process.space.snapshot_header(kernel.process.comm, kernel.process.text_bytes)
}

/// Time in ring 3 in ticks. The logical clock knows no other.
pub(super) fn user_ticks(kernel: &Kernel) -> u64 {
    kernel.clock.running() / TICK_NS
}

fn task(kernel: &mut Kernel) -> Task {
    let limits = all_limits(kernel);
    let process = &kernel.process;
    let layout = &process.layout;
    let ids = |ids: &Ids| [ids.real, ids.effective, ids.saved, ids.file_system];
    Task {
        ppid: Identity::PARENT,
        pgrp: process.identity.group,
        session: Identity::PARENT,
        uids: ids(&process.identity.user),
        gids: ids(&process.identity.user_group),
        umask: process.umask,
        fd_size: fd_size(kernel),
        nice: process.scheduling.nice,
        signals: signals(kernel),
        sigpending_limit: limits[SIGPENDING][0],
        rss_limit: limits[RSS][0],
        code: layout.code,
        data: layout.data,
        start_stack: process.space.stack_start,
        arguments: layout.arguments,
        environment: layout.environment,
        user_ticks: user_ticks(kernel),
        start_ticks: 0,
    }
}

/// Descriptors that Linux's table would have room for: it begins with 64, and doubles.
fn fd_size(kernel: &Kernel) -> u32 {
    let mut size = 64;
    while kernel.process.descriptors.next_open(size).is_some() {
        size *= 2;
    }
    size as u32
}

fn signals(kernel: &Kernel) -> Signals {
    let signals = &kernel.signals;
    let mut masks = Signals {
        pending: signals.pending(Target::Thread).0,
        shared_pending: signals.pending(Target::Process).0,
        blocked: signals.blocked().0,
        ..Signals::default()
    };
    for number in 1..=LAST {
        let bit = 1 << (number - 1);
        match signals.action(number).handler {
            0 => {}
            Action::SIG_IGN => masks.ignored |= bit,
            _ => masks.caught |= bit,
        }
    }
    masks
}

pub(super) fn status(kernel: &mut Kernel, out: &mut dyn Sink) -> fmt::Result {
    let task = task(kernel);
    text::status(out, &header(kernel), Some(&task))
}

pub(super) fn stat(kernel: &mut Kernel, out: &mut dyn Sink) -> fmt::Result {
    let task = task(kernel);
    text::stat(out, &header(kernel), &task)
}

pub(super) fn comm(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    let comm = kernel.process.comm;
    out.put(comm.split(|&byte| byte == 0).next().unwrap_or_default())?;
    out.put(b"\n")
}

/// Calls `visit` with each VMA's slot, by address.
fn for_each_vma(kernel: &Kernel, mut visit: impl FnMut(u32) -> fmt::Result) -> fmt::Result {
    let mut slot = kernel.process.space.vmas.first;
    while slot != 0 {
        visit(slot)?;
        slot = kernel.mm.vma(slot).next;
    }
    Ok(())
}

pub(super) fn maps(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    let mut path = [0; PATH_MAX];
    for_each_vma(kernel, |slot| {
        let vma = kernel.process.space.vma_entry(&kernel.mm, slot);
        let length = mapped::name_of(kernel, vma.name, &mut path);
        text::maps(out, &[vma], &|_| Some(&path[..length]))
    })
}

pub(super) fn smaps(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    let mut path = [0; PATH_MAX];
    for_each_vma(kernel, |slot| {
        let vma = kernel.process.space.snapshot_vma(&kernel.mm, slot);
        let length = mapped::name_of(kernel, vma.name, &mut path);
        text::smaps(out, &[vma], &|_| Some(&path[..length]))
    })
}

pub(super) fn smaps_rollup(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    let mut sum = Rollup::default();
    for_each_vma(kernel, |slot| {
        sum.add(&kernel.process.space.snapshot_vma(&kernel.mm, slot));
        Ok(())
    })?;
    text::smaps_rollup(out, &sum)
}

/// What the program has in a range of its memory now, as far as it is there.
pub(super) fn memory(kernel: &mut Kernel, [start, end]: [u64; 2], out: &mut dyn Sink) -> fmt::Result {
    let mut bytes = [0; PIECE];
    let mut at = start;
    while at < end {
        let offset = at % PAGE_SIZE;
        let length = (end - at).min(PAGE_SIZE - offset).min(PIECE as u64) as usize;
        let Ok(pfn) = fault::resolve(&kernel.mm, &kernel.process.space, at, false) else { return Ok(()) };
        kernel.mm.read_frame(pfn, offset as usize, &mut bytes[..length]);
        out.put(&bytes[..length])?;
        at += length as u64;
    }
    Ok(())
}

/// `oom_score`: how much of memory it has, in thousandths, as Linux scales and shifts it for a user to read.
pub(super) fn oom_score(kernel: &Kernel, out: &mut dyn Sink) -> fmt::Result {
    let header = header(kernel);
    let total = kernel.mm.frames.managed().max(1);
    let pages = header.rss_anon + header.rss_file + header.rss_shmem + header.pgtables_bytes / PAGE_SIZE;
    let adjustment = i64::from(kernel.process.oom_score_adj);
    let points = pages as i64 + adjustment * (total as i64 / 1000);
    // 1000 + badness per mille, times two thirds.
    let score = if adjustment == -1000 { 0 } else { (1000 + points * 1000 / total as i64) * 2 / 3 };
    text::number(out, score.clamp(0, MAX_SCORE))
}
