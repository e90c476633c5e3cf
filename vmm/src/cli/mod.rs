//! The command line: one file a subcommand, each thin.

mod attach;
mod bench;
mod default_path;
mod doctor;
mod guest_memory;
mod host_memory;
mod kernel;
mod list;
mod progress;
pub mod report;
mod run;
mod signals;
mod test;
mod values;
mod walk;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::run::{LAB_STATUS, Start};

const HELP: &str = "\
Examples:
  pagelab doctor                            what this host can do, how to fix what it cannot
  pagelab list                              the built-in programs
  pagelab run demand-paging                 boot a VM, run a program, print the report
  pagelab run demand-paging -- --pages 64   arguments for the program follow --
  pagelab run ./my-program                  your own static Linux program (gcc -static)
  pagelab test frames/                      the kernel's own tests, each in a fresh VM
  pagelab bench                             what its operations cost, in instructions
  pagelab attach PID --seconds 10           what KVM tells of a VM that is running already
  pagelab report FILE --json                the numbers of a recorded run
  pagelab walk FILE 0x7ffff0000000          the page tables on the way to an address
  sqlite3 FILE 'SELECT * FROM guest_fault'  everything that was recorded

Exit status: of `run`, `test` and `bench`, see their --help; of the others 0, 1 for a failure, 2 for a wrong command \
line.

Environment: PAGELAB_LOG=debug says on standard error what the lab does (error, warn, info, debug, trace).";

/// A laboratory for guest memory: boots a small Linux-shaped kernel under KVM, runs a static Linux program in it, and
/// records every page fault in both dimensions, the guest's own and the host's.
#[derive(Debug, Parser)]
#[command(name = "pagelab", version, after_help = HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Test(Box<test::TestArgs>),
    Bench(Box<bench::BenchArgs>),
    Attach(attach::AttachArgs),
    List(list::ListArgs),
    Report(report::ReportArgs),
    Walk(walk::WalkArgs),
    Doctor(doctor::DoctorArgs),
}

/// Does what the command line says. `start` is when the process began.
pub fn main(start: Start) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("PAGELAB_LOG", "warn"))
        .format_timestamp(None)
        .init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match &cli.command {
        Command::Run(args) => return args.execute(start),
        Command::Test(args) => return args.execute(start),
        Command::Bench(args) => return args.execute(start),
        Command::Attach(args) => args.execute(start).map(|()| true),
        Command::List(args) => args.execute().map(|()| true).map_err(anyhow::Error::from),
        Command::Report(args) => args.execute().map(|()| true).map_err(anyhow::Error::from),
        Command::Walk(args) => args.execute().map_err(anyhow::Error::from),
        Command::Doctor(args) => args.execute().map_err(anyhow::Error::from),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pagelab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, or helps. `run` answers 125, because 1 and 2 may be its program's.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to say it to if this fails.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ if std::env::args_os().nth(1).is_some_and(|command| command == "run") => status(LAB_STATUS),
        _ => ExitCode::from(2),
    }
}

/// An exit status as the shell sees it.
fn status(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Prints on standard output. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
