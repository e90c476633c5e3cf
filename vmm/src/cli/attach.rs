//! `pagelab attach`: records what KVM tells of a VM that is running already.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;

use super::{default_path, progress::Spinner, signals, values};
use crate::{
    analysis::RunFile,
    attach::{AttachConfig, Target, attach},
    report,
    run::{Start, stop_pair},
    trace::RunFileError,
};

const HELP: &str = "\
The process is a VMM's: QEMU's, Firecracker's, pagelab's own. It is not changed, and never waits. Recorded are KVM's \
tracepoints on the threads of its vCPUs (host faults one by one, with guest-physical address and instruction; exits \
and other events counted by reason) and KVM's statistics. What this host does not tell is listed as missing.

It ends after --seconds, at Ctrl-C, or when the process ends; all three are good ends.

Rights: root has all of it. Others need to be the VMM's user, and for tracepoints CAP_PERFMON or \
kernel.perf_event_paranoid below 0, and a readable tracefs.

Exit status: 0 for a recording; 1 if nothing could be recorded (no such process, no VM in it, no rights); 2 for a \
wrong command line.

Examples:
  pagelab attach $(pgrep -n qemu-system) --seconds 10
  sudo pagelab attach 1234 -o vm.pagelab --interval 100ms
  sqlite3 vm.pagelab \"SELECT * FROM stat_sample WHERE kind = 'exit'\"";

/// Records exits, host faults and statistics of a running VM, and reports.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct AttachArgs {
    /// The process that runs the VM.
    #[arg(value_name = "PID")]
    pid: u32,
    /// End after this long [default: at Ctrl-C, or when the process ends].
    #[arg(long, value_name = "N", value_parser = values::seconds)]
    seconds: Option<Duration>,
    /// Time between two looks at the counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::interval)]
    interval: Duration,
    /// Where the run file goes [default: a dated name in ./runs].
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the numbers as one JSON object instead of the report.
    #[arg(long)]
    json: bool,
}

impl AttachArgs {
    /// Records and reports.
    pub(super) fn execute(&self, start: Start) -> anyhow::Result<()> {
        let target = Target::find(self.pid)?;
        let run_file = match &self.output {
            Some(path) => path.clone(),
            None => default_path::run_file(&format!("attach-{}", self.pid), jiff::Timestamp::now())?,
        };
        let (stop, stopped) = stop_pair();
        signals::forward(stop).context("cannot catch signals")?;
        let spinner = Spinner::start(format!("watching process {}", self.pid), true);
        let config =
            AttachConfig { start, target, time: self.seconds, interval: self.interval, run_file, stop: stopped };
        let recorded = attach(config);
        drop(spinner);
        let run_file = recorded?;
        match self.print_report(&RunFile::open(&run_file)?) {
            Err(RunFileError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            result => result?,
        }
        if self.output.is_none() {
            eprintln!("run file: {}", run_file.display());
        }
        Ok(())
    }

    fn print_report(&self, run: &RunFile) -> Result<(), RunFileError> {
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            report::json(run, &mut out)?;
        } else {
            report::text(run, &mut out)?;
        }
        Ok(out.flush()?)
    }
}
