//! `/proc/PID/status`.

use core::fmt;

use pagelab_abi::{layout::PAGE_SIZE, snapshot::MmHeader};

use super::{Sink, Task, kb, out::Out};

/// Every capability that Linux 6.12 has: the program is root.
const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

/// `/proc/PID/status`. Without a task only what a snapshot knows is told: the name, the ids and every line about memory.
///
/// # Errors
/// The sink's.
pub fn status(sink: &mut dyn Sink, mm: &MmHeader, task: Option<&Task>) -> fmt::Result {
    let mut out = Out::new(sink);
    out.text("Name:\t");
    out.bytes(comm(mm));
    if let Some(task) = task {
        out.text("\nUmask:\t");
        for shift in [9, 6, 3, 0] {
            out.byte(b'0' + (task.umask >> shift) as u8 % 8);
        }
    }
    out.text("\nState:\tR (running)\n");
    let pid = u64::from(mm.pid);
    number(&mut out, "Tgid", pid);
    if let Some(task) = task {
        number(&mut out, "Ngid", 0);
        number(&mut out, "Pid", pid);
        number(&mut out, "PPid", task.ppid.into());
        out.text("TracerPid:\t0\n");
        for (name, ids) in [("Uid:", task.uids), ("Gid:", task.gids)] {
            out.text(name);
            for id in ids {
                out.byte(b'\t');
                out.decimal(id.into());
            }
            out.byte(b'\n');
        }
        number(&mut out, "FDSize", task.fd_size.into());
        out.text("Groups:\t \n");
        number(&mut out, "NStgid", pid);
        number(&mut out, "NSpid", pid);
        number(&mut out, "NSpgid", task.pgrp.into());
        number(&mut out, "NSsid", task.session.into());
        out.text("Kthread:\t0\n");
    } else {
        number(&mut out, "Pid", pid);
    }
    memory(&mut out, mm);
    if task.is_some() {
        out.text("CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff\n");
    }
    out.text("Threads:\t1\n");
    if let Some(task) = task {
        rest(&mut out, task);
    }
    out.finish()
}

/// The program's base name.
pub(super) fn comm(mm: &MmHeader) -> &[u8] {
    mm.comm.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Resident pages.
pub(super) fn rss(mm: &MmHeader) -> u64 {
    mm.rss_anon.saturating_add(mm.rss_file).saturating_add(mm.rss_shmem)
}

/// Pages of the program's text.
pub(super) fn text_pages(mm: &MmHeader) -> u64 {
    mm.text_bytes.div_ceil(PAGE_SIZE)
}

fn number(out: &mut Out<'_>, name: &str, value: u64) {
    out.text(name);
    out.text(":\t");
    out.decimal(value);
    out.byte(b'\n');
}

fn mask(out: &mut Out<'_>, name: &str, value: u64) {
    out.text(name);
    out.text(":\t");
    out.hex(value, 16);
    out.byte(b'\n');
}

fn memory(out: &mut Out<'_>, mm: &MmHeader) {
    let rss = rss(mm);
    let text = text_pages(mm).min(mm.exec_vm);
    let table: [(&str, u64); 16] = [
        ("VmPeak:\t", kb(mm.peak_vm.max(mm.total_vm))),
        ("VmSize:\t", kb(mm.total_vm)),
        ("VmLck:\t", kb(mm.locked_vm)),
        ("VmPin:\t", 0),
        ("VmHWM:\t", kb(mm.hiwater_rss.max(rss))),
        ("VmRSS:\t", kb(rss)),
        ("RssAnon:\t", kb(mm.rss_anon)),
        ("RssFile:\t", kb(mm.rss_file)),
        ("RssShmem:\t", kb(mm.rss_shmem)),
        ("VmData:\t", kb(mm.data_vm)),
        ("VmStk:\t", kb(mm.stack_vm)),
        ("VmExe:\t", kb(text)),
        ("VmLib:\t", kb(mm.exec_vm - text)),
        ("VmPTE:\t", mm.pgtables_bytes / 1024),
        ("VmSwap:\t", kb(mm.swap)),
        ("HugetlbPages:\t", 0),
    ];
    for (name, value) in table {
        out.text(name);
        out.decimal_right(value, 8);
        out.text(" kB\n");
    }
}

fn rest(out: &mut Out<'_>, task: &Task) {
    let signals = &task.signals;
    out.text("SigQ:\t");
    out.decimal((signals.pending | signals.shared_pending).count_ones().into());
    out.byte(b'/');
    out.decimal(task.sigpending_limit);
    out.byte(b'\n');
    for (name, value) in [
        ("SigPnd", signals.pending),
        ("ShdPnd", signals.shared_pending),
        ("SigBlk", signals.blocked),
        ("SigIgn", signals.ignored),
        ("SigCgt", signals.caught),
        ("CapInh", 0),
        ("CapPrm", ALL_CAPABILITIES),
        ("CapEff", ALL_CAPABILITIES),
        ("CapBnd", ALL_CAPABILITIES),
        ("CapAmb", 0),
    ] {
        mask(out, name, value);
    }
    out.text(
        "NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\nSpeculation_Store_Bypass:\tvulnerable\n\
         SpeculationIndirectBranch:\talways enabled\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n\
         Mems_allowed:\t1\nMems_allowed_list:\t0\n\
         voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
    );
}
