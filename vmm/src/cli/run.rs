//! `pagelab run`: boots a VM, runs a program in it, records, reports.

use std::{
    fs,
    io::{self, BufWriter, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;

use super::{
    default_path,
    guest_memory::GuestMemoryArgs,
    host_memory::HostMemoryArgs,
    kernel::KernelArgs,
    progress::Spinner,
    signals, status,
    values::{self, FileSpec},
};
use crate::{
    analysis::RunFile,
    builtin,
    faults::SourceOptions,
    initramfs::{DIRECTORY_PATH, Initramfs, STDIN_PATH},
    kernel_file::{KernelFile, Protocol},
    program::{self, ProgramError},
    report,
    run::{LAB_STATUS, RunConfig, RunOutcome, Sources, Start, run, stop_pair},
    trap::{StopAt, StopHook, TrapConfig, TrapMethod},
    vm::{
        Image,
        foreign::{Entry, Foreign},
        symbols::Symbols,
        vcpu::ConsoleHook,
    },
};

/// What every program finds in its environment: never the host's, so that a run does not depend on who starts it.
const ENVIRONMENT: [&str; 4] = ["PATH=/bin", "HOME=/", "TERM=dumb", "LANG=C"];

const HELP: &str = "\
What is recorded: every page fault of the guest with its cause, address, instruction and time; every \
host-side fault (EPT violation, nested page fault or shadow-paging fault) with the owner of its frame; \
frames taken and given back; VMA changes; system calls; the texts of maps, smaps, status, meminfo, \
buddyinfo, zoneinfo and vmstat at the program's start and end. It goes into one SQLite file, which \
`pagelab report FILE` and any SQLite tool can read.

The same command with the same seed records the same events: addresses, pids, random numbers, \
environment and, where the host can fault CPUID (see `pagelab doctor`), the CPU model are fixed.

Other kernels: --kernel FILE boots an x86-64 ELF file, linked to fixed addresses from 1 MiB on. If its ELF \
note (owner pagelab, type 1) says that it speaks this pagelab's ABI, it replaces the built-in kernel. Any other \
runs by itself, without PROGRAM, and only its host faults are recorded. One with a PVH note (Linux's vmlinux) \
starts as that protocol says, with an interrupt controller and a timer where KVM has them; one without starts at \
its ELF entry in 64-bit mode: interrupts off, RDI = the PVH start info, a 64 KiB stack, the first 4 GiB mapped \
one to one and the first GiB also at 0xffffffff80000000. Both have a serial port at 3f8h (--console shows it), \
a keyboard controller that can reset, and an exit port: writing V to F4h ends the run with status (V << 1) | 1, \
as with QEMU's isa-debug-exit. HLT with interrupts off and a reset end it with status 0, a triple fault with 125. \
There are no ACPI or MP tables: Linux needs nolapic on its command line, or it waits for its timer.

Exit status: the program's own; 128+N if signal N ended the program or the lab; 124 if the timeout \
passed; 123 if --stop-at ended the run; 125 if the lab failed; 126 if PROGRAM cannot be executed, 127 if it was not \
found, as shells have it.

Guest faults trapped: with --trap the host stops the guest at each page fault and counts it beside the guest's \
own record. With --stop-at it looks for one and prints its state on standard error: registers, instruction, \
page-table walk before and after, VMA, the faults before. CONDITIONS, separated by commas, must all hold: \
kind=NAME (as reports show it; not by breakpoint), gva=0xADDRESS or gva=0xSTART-0xEND (by page), rip=0xADDRESS \
or a range, count=N (the Nth fault that matches; 1 if not given). then=end, which is the default, ends the run \
with status 123; then=go prints every match from the Nth on and lets the guest go on.

Examples:
  pagelab run hello
  pagelab run demand-paging -o faults.pagelab -- --pages 1000 --pattern random
  pagelab run demand-paging --trap port --stop-at kind=anon_write,count=3 -- --pages 10
  pagelab run ./sort --stdin words.txt --console > sorted.txt
  pagelab run --dir rootfs:/ --cwd /tmp guest:/bin/ls --console -- -l
  pagelab run ./server --env PORT=80 --memory 256M --timeout 10 --json
  pagelab run --kernel vmlinux --memory 256M --append 'console=ttyS0 panic=-1 nolapic'";

/// Runs a program in a fresh VM, records its page faults, and reports.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct RunArgs {
    /// A built-in program (see `pagelab list`), the path of a static x86-64 Linux executable, or guest:/PATH for one that
    /// --file or --dir puts into the guest (guest: may be left out where the host has no such file).
    #[arg(value_name = "PROGRAM", required_unless_present = "kernel")]
    program: Option<String>,
    /// Arguments of the program.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    kernel: KernelArgs,
    /// Where the run file goes [default: a dated name in ./runs].
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to record: uffd (host faults by userfaultfd), memory-fault (host faults by exits of protected memory, instead
    /// of uffd), tracepoint (host faults and exits as KVM's tracepoints tell them), stats (KVM's counters before the
    /// start; those of the end are in every run), dirty (pages written per interval), guest (the guest's own events; in
    /// every list unless it says no-guest), or none [default: guest,uffd,stats, as far as this host has them].
    #[arg(long, value_name = "SOURCE[,SOURCE]")]
    record: Option<Sources>,
    /// How often the source dirty reads which pages the guest wrote, with its unit, such as 100ms or 2s.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = values::interval)]
    dirty_interval: Duration,
    /// Room for KVM's events that the source tracepoint has not read yet, with suffix K, M or G. What does not fit is lost
    /// and counted.
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = values::buffer)]
    tracepoint_buffer: u64,
    /// Fill guest memory before the start, and KVM's translations where KVM can: a baseline without host faults.
    #[arg(long)]
    prefault: bool,
    /// Stop the guest at each of its page faults: port (the guest's kernel tells the host once it has handled it) or
    /// breakpoint (a hardware breakpoint on the kernel's page-fault entry, before it is handled).
    #[arg(long, value_name = "METHOD", value_parser = values::trap_method)]
    trap: Option<TrapMethod>,
    /// Print the state at a trapped fault, and end the run there or go on; see below.
    #[arg(long, value_name = "CONDITIONS", requires = "trap")]
    stop_at: Option<StopAt>,
    #[command(flatten)]
    guest_memory: GuestMemoryArgs,
    #[command(flatten)]
    host_memory: HostMemoryArgs,
    /// Seed of everything random in the guest.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// End the run after this long, with exit status 124.
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    timeout: Option<Duration>,
    /// Add a variable to the program's environment (repeatable).
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = values::variable)]
    environment: Vec<String>,
    /// Put a file of the host into the guest; its place is /NAME unless it is given (repeatable).
    #[arg(long = "file", value_name = "HOST[:GUEST]", value_parser = values::file)]
    files: Vec<FileSpec>,
    /// Put a directory of the host into the guest with all that is in it: links stay links, permission bits are kept
    /// (repeatable).
    #[arg(long = "dir", value_name = "HOST:GUEST", value_parser = values::directory)]
    directories: Vec<FileSpec>,
    /// The program's working directory in the guest.
    #[arg(long = "cwd", value_name = "DIR", default_value = "/")]
    directory: String,
    /// The program's standard input, read whole before the start [default: pagelab's own, unless that is a terminal].
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Print the numbers as one JSON object instead of the report.
    #[arg(long)]
    json: bool,
    /// Print no report, but the program's own output, as it is written.
    #[arg(long, conflicts_with = "json")]
    console: bool,
}

/// What the two kinds of runs differ in.
struct Launch<'a> {
    /// What to call the run.
    name: &'a str,
    kernel: Image<'a>,
    initramfs: &'a [u8],
    program: String,
    args: Vec<String>,
    /// For what `--stop-at` shows.
    symbols: Symbols,
    facts: Vec<(String, String)>,
}

impl RunArgs {
    /// Does the run; says the exit status.
    pub(super) fn execute(&self, start: Start) -> ExitCode {
        match self.run_and_report(start) {
            Ok(exit_status) => status(exit_status),
            Err(error) => {
                eprintln!("pagelab: {error:#}");
                status(error.downcast_ref::<ProgramError>().map_or(LAB_STATUS, ProgramError::status))
            }
        }
    }

    fn run_and_report(&self, start: Start) -> anyhow::Result<i32> {
        let kernel = self.kernel.open(self.guest_memory.memory())?;
        match kernel.as_ref().map(|kernel| (kernel, kernel.protocol)) {
            Some((kernel, Protocol::Foreign(entry))) => self.run_foreign(start, kernel, entry),
            _ => self.run_program(start, kernel.as_ref()),
        }
    }

    /// A kernel of pagelab's ABI with a program in it.
    fn run_program(&self, start: Start, kernel: Option<&KernelFile>) -> anyhow::Result<i32> {
        let Some(program) = &self.program else {
            anyhow::bail!(
                "{}: a kernel of pagelab's, which runs a program: name one",
                kernel.map_or("", |kernel| &kernel.path)
            );
        };
        self.kernel.refuse_foreign_options()?;
        let mut files = self.given_files()?;
        let program = match program::find_in_guest(program, &files)? {
            Some(program) => program,
            None => {
                let program = program::find(program)?;
                files.add(&program.guest_path, program.elf.to_vec(), 0o755)?;
                program
            }
        };
        if !files.is_directory(&self.directory) {
            anyhow::bail!("--cwd {}: there is no such directory in the guest; --dir puts one there", self.directory);
        }
        let initramfs = files.pack()?;
        self.launch(
            start,
            Launch {
                name: &program.name,
                kernel: Image::Elf(kernel.map_or(builtin::KERNEL, |kernel| &kernel.elf)),
                initramfs: &initramfs,
                program: program.guest_path.clone(),
                args: std::iter::once(program.guest_path.clone()).chain(self.args.iter().cloned()).collect(),
                symbols: self.symbols(|| Symbols::of_program(&program.elf)),
                facts: kernel.iter().map(|kernel| ("kernel".to_owned(), kernel.path.clone())).collect(),
            },
        )
    }

    /// A kernel that runs no programs of the lab's.
    fn run_foreign(&self, start: Start, kernel: &KernelFile, entry: Entry) -> anyhow::Result<i32> {
        let given = [
            ("PROGRAM", self.program.is_some()),
            ("ARGS", !self.args.is_empty()),
            ("--env", !self.environment.is_empty()),
            ("--file", !self.files.is_empty()),
            ("--dir", !self.directories.is_empty()),
            ("--cwd", self.directory != "/"),
            ("--stdin", self.stdin.is_some()),
        ];
        if let Some((what, _)) = given.iter().find(|(_, given)| *given) {
            anyhow::bail!(
                "{}: not a kernel of pagelab's (it has no note that says so), so it runs no program: leave out {what}",
                kernel.path
            );
        }
        let modules = self.kernel.modules()?;
        let command_line = self.kernel.command_line();
        let foreign =
            Foreign { elf: &kernel.elf, extent: kernel.extent.clone(), entry, command_line, modules: &modules };
        self.launch(
            start,
            Launch {
                name: kernel.name(),
                kernel: Image::Foreign(&foreign),
                initramfs: &[],
                program: kernel.path.clone(),
                args: vec![kernel.path.clone(), command_line.to_owned()],
                symbols: self.symbols(|| Symbols::from_elf(&kernel.elf)),
                facts: vec![
                    ("kernel".to_owned(), kernel.path.clone()),
                    ("boot_protocol".to_owned(), entry.name().to_owned()),
                ],
            },
        )
    }

    fn launch(&self, start: Start, launch: Launch<'_>) -> anyhow::Result<i32> {
        let (mut sources, mut facts) = self.sources();
        sources.guest &= !matches!(launch.kernel, Image::Foreign(_));
        facts.extend(launch.facts);
        facts.extend(self.stop_at.iter().map(|stop| ("stop_at".to_owned(), stop.to_string())));
        let run_file = match &self.output {
            Some(path) => path.clone(),
            None => default_path::run_file(launch.name, jiff::Timestamp::now())?,
        };
        let (stop, stopped) = stop_pair();
        signals::forward(stop).context("cannot catch signals")?;
        let spinner = Spinner::start(format!("running {}", launch.name), !self.console);
        let outcome = run(RunConfig {
            start,
            kernel: launch.kernel,
            initramfs: launch.initramfs,
            program: launch.program,
            args: launch.args,
            env: environment(&self.environment),
            memory: self.guest_memory.memory(),
            host_memory: self.host_memory.host_memory(),
            seed: self.seed,
            policy: self.guest_memory.policy()?,
            timeout: self.timeout,
            sources,
            source_options: SourceOptions {
                dirty_interval: self.dirty_interval,
                tracepoint_buffer: usize::try_from(self.tracepoint_buffer).unwrap_or(usize::MAX),
            },
            prefault: self.prefault,
            trap: self.trap_config(launch.symbols),
            run_file,
            console: self.console.then(|| Box::new(show) as ConsoleHook),
            stop: Some(stopped),
            facts,
        });
        drop(spinner);
        let outcome = outcome?;
        self.report(&outcome)?;
        Ok(outcome.ending.exit_status)
    }

    /// Names for the addresses that stops show: reading them takes time, so it is done only if there may be stops.
    fn symbols(&self, read: impl FnOnce() -> Symbols) -> Symbols {
        self.stop_at.as_ref().map(|_| read()).unwrap_or_default()
    }

    fn trap_config(&self, symbols: Symbols) -> Option<TrapConfig> {
        let show: StopHook = Box::new(|text| eprint!("pagelab: {text}"));
        Some(TrapConfig { method: self.trap?, stop: self.stop_at.clone(), symbols, show: Some(show) })
    }

    /// What to record, and what the run file must say of it: what was not asked for by name may be missing.
    fn sources(&self) -> (Sources, Vec<(String, String)>) {
        if let Some(sources) = &self.record {
            return (sources.clone(), Vec::new());
        }
        let (sources, missing) = Sources::best();
        for (name, missing) in &missing {
            log::warn!("host faults are not recorded by {name}: {}; {}", missing.why, missing.remedy);
        }
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        let facts = if names.is_empty() { Vec::new() } else { vec![("sources_missing".to_owned(), names.join(","))] };
        (sources, facts)
    }

    /// The files that the command line puts into the guest.
    fn given_files<'a>(&self) -> anyhow::Result<Initramfs<'a>> {
        let mut initramfs = Initramfs::default();
        for directory in &self.directories {
            initramfs.add_host_directory(&directory.host, &directory.guest)?;
        }
        for file in &self.files {
            initramfs.add_host_file(&file.host, &file.guest)?;
        }
        let stdin = self.standard_input()?;
        if !stdin.is_empty() {
            initramfs.add(STDIN_PATH, stdin, 0o400)?;
        }
        if self.directory != "/" {
            initramfs.add_link(DIRECTORY_PATH, &*self.directory)?;
        }
        Ok(initramfs)
    }

    fn standard_input(&self) -> anyhow::Result<Vec<u8>> {
        if let Some(path) = &self.stdin {
            return fs::read(path).with_context(|| format!("cannot read the standard input from {}", path.display()));
        }
        let mut bytes = Vec::new();
        if !io::stdin().is_terminal() {
            io::stdin().read_to_end(&mut bytes).context("cannot read the standard input")?;
        }
        Ok(bytes)
    }

    fn report(&self, outcome: &RunOutcome) -> anyhow::Result<()> {
        if self.console || self.json {
            self.tell_bad_end(outcome)?;
        }
        if !self.console {
            match self.print_report(&outcome.run_file) {
                Err(error) if is_broken_pipe(&error) => {}
                result => result?,
            }
        }
        if self.output.is_none() {
            eprintln!("run file: {}", outcome.run_file.display());
        }
        Ok(())
    }

    /// Says on standard error what the report would: why a program was ended by a signal, or what the host found.
    fn tell_bad_end(&self, outcome: &RunOutcome) -> anyhow::Result<()> {
        let told: Vec<String> = RunFile::open(&outcome.run_file)?.query(|connection| {
            let mut rows = connection.prepare("SELECT text FROM message WHERE kind = 'diagnosis' ORDER BY id")?;
            rows.query_map([], |row| row.get(0))?.collect()
        })?;
        for text in told.iter().chain(outcome.ending.diagnosis.as_ref().filter(|text| !told.contains(text))) {
            eprintln!("pagelab: {}", text.trim_end());
        }
        Ok(())
    }

    fn print_report(&self, run_file: &Path) -> anyhow::Result<()> {
        let run = RunFile::open(run_file)?;
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            report::json(&run, &mut out)?
        } else {
            report::text(&run, &mut out)?
        }
        Ok(out.flush()?)
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == io::ErrorKind::BrokenPipe)
}

/// The fixed environment, with `given` in it: a known name is replaced in its place, others follow in their order.
fn environment(given: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut all: Vec<String> = ENVIRONMENT.map(str::to_owned).into();
    for variable in given {
        match all.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => variable.clone_into(known),
            None => all.push(variable.clone()),
        }
    }
    all
}

/// Writes what the program wrote, where it wrote it.
fn show(stream: u8, bytes: &[u8]) {
    let written = match stream {
        2 => io::stderr().write_all(bytes),
        _ => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
    };
    if let Err(error) = written {
        log::debug!("the program's output is not shown: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_fixed_but_for_what_is_given() {
        assert_eq!(environment(&[]), ENVIRONMENT);
        let given = ["X=1", "HOME=/home", "X=2", "Y=a=b"].map(str::to_owned);
        assert_eq!(environment(&given), ["PATH=/bin", "HOME=/home", "TERM=dumb", "LANG=C", "X=2", "Y=a=b"]);
    }
}
