//! `/proc/PID/stat` and `/proc/PID/statm`: the same facts as `status`, for programs that read.

use core::fmt;

use pagelab_abi::{layout::PAGE_SIZE, snapshot::MmHeader};

use super::{
    Sink, Task,
    out::Out,
    status::{comm, rss, text_pages},
};

/// The signal a parent gets at the end: SIGCHLD.
const EXIT_SIGNAL: u64 = 17;

/// `/proc/PID/stat`: proc_pid_stat(5) has the fields.
///
/// # Errors
/// The sink's.
pub fn stat(sink: &mut dyn Sink, mm: &MmHeader, task: &Task) -> fmt::Result {
    // This old interface has the first 31 signals only.
    let signals = |mask: u64| mask & 0x7fff_ffff;
    let mut out = Out::new(sink);
    out.decimal(mm.pid.into());
    out.text(" (");
    out.bytes(comm(mm));
    out.text(") R ");
    out.decimal(task.ppid.into());
    out.byte(b' ');
    out.decimal(task.pgrp.into());
    out.byte(b' ');
    out.decimal(task.session.into());
    // tty_nr, tpgid: no terminal; flags.
    out.text(" 0 -1 0");
    numbers(&mut out, &[mm.min_flt, 0, mm.maj_flt, 0, task.user_ticks, 0, 0, 0]);
    out.byte(b' ');
    out.signed(i64::from(task.nice) + 20);
    out.byte(b' ');
    out.signed(task.nice.into());
    let fields = [
        // threads, itrealvalue
        1,
        0,
        task.start_ticks,
        mm.total_vm.saturating_mul(PAGE_SIZE),
        rss(mm),
        task.rss_limit,
        task.code[0],
        task.code[1],
        task.start_stack,
        // kstkesp, kstkeip
        0,
        0,
        signals(task.signals.pending),
        signals(task.signals.blocked),
        signals(task.signals.ignored),
        signals(task.signals.caught),
        // wchan, nswap, cnswap
        0,
        0,
        0,
        EXIT_SIGNAL,
        // processor, rt_priority, policy, delayacct_blkio_ticks, guest_time, cguest_time
        0,
        0,
        0,
        0,
        0,
        0,
        task.data[0],
        task.data[1],
        mm.brk[0],
        task.arguments[0],
        task.arguments[1],
        task.environment[0],
        task.environment[1],
        // exit_code
        0,
    ];
    numbers(&mut out, &fields);
    out.byte(b'\n');
    out.finish()
}

fn numbers(out: &mut Out<'_>, values: &[u64]) {
    for value in values {
        out.byte(b' ');
        out.decimal(*value);
    }
}

/// `/proc/PID/statm`: size, resident, shared, text, 0, data, 0 in pages.
///
/// # Errors
/// The sink's.
pub fn statm(sink: &mut dyn Sink, mm: &MmHeader) -> fmt::Result {
    let mut out = Out::new(sink);
    let shared = mm.rss_file.saturating_add(mm.rss_shmem);
    let data = mm.data_vm.saturating_add(mm.stack_vm);
    for (index, value) in [mm.total_vm, rss(mm), shared, text_pages(mm), 0, data, 0].into_iter().enumerate() {
        if index > 0 {
            out.byte(b' ');
        }
        out.decimal(value);
    }
    out.byte(b'\n');
    out.finish()
}
