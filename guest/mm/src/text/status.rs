//! `/proc/PID/status`.

use core::fmt::{self, Write};

use pagelab_abi::{layout::PAGE_SIZE, snapshot::MmHeader};

use super::kb;

/// `/proc/PID/status`: who the process is (as far as a snapshot knows) and every line about its memory.
pub fn status(w: &mut dyn Write, mm: &MmHeader) -> fmt::Result {
    let comm = mm.comm.split(|byte| *byte == 0).next().unwrap_or_default();
    w.write_str("Name:\t")?;
    for part in comm.utf8_chunks() {
        w.write_str(part.valid())?;
    }
    writeln!(w, "\nState:\tR (running)\nTgid:\t{0}\nPid:\t{0}", mm.pid)?;

    let rss = mm.rss_anon.saturating_add(mm.rss_file).saturating_add(mm.rss_shmem);
    let text = mm.text_bytes.div_ceil(PAGE_SIZE).min(mm.exec_vm);
    let table: [(&str, u64); 16] = [
        ("VmPeak", kb(mm.peak_vm.max(mm.total_vm))),
        ("VmSize", kb(mm.total_vm)),
        ("VmLck", kb(mm.locked_vm)),
        ("VmPin", 0),
        ("VmHWM", kb(mm.hiwater_rss.max(rss))),
        ("VmRSS", kb(rss)),
        ("RssAnon", kb(mm.rss_anon)),
        ("RssFile", kb(mm.rss_file)),
        ("RssShmem", kb(mm.rss_shmem)),
        ("VmData", kb(mm.data_vm)),
        ("VmStk", kb(mm.stack_vm)),
        ("VmExe", kb(text)),
        ("VmLib", kb(mm.exec_vm - text)),
        ("VmPTE", mm.pgtables_bytes / 1024),
        ("VmSwap", kb(mm.swap)),
        ("HugetlbPages", 0),
    ];
    for (name, value) in table {
        writeln!(w, "{name}:\t{value:>8} kB")?;
    }
    w.write_str("Threads:\t1\n")
}
