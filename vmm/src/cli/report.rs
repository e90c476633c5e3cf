//! `pagelab report`: a run file as text, JSON or bare events.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;

use crate::{analysis::RunFile, report, trace::RunFileError};

/// Shows what a run recorded.
#[derive(Args, Debug)]
#[command(after_help = "The run file is an SQLite database: sqlite3 RUN 'SELECT * FROM guest_fault' asks it anything.")]
pub struct ReportArgs {
    /// The run file that `pagelab run` wrote.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Print the numbers as one JSON object.
    #[arg(long, conflicts_with_all = ["events", "snapshot"])]
    pub json: bool,
    /// Print the guest's events, one a line, without anything that depends on the host: two runs with the same seed
    /// print the same.
    #[arg(long, conflicts_with = "snapshot")]
    pub events: bool,
    /// Print a stored /proc text: maps, smaps, status, meminfo, buddyinfo, vmstat; with @exec or @exit the one of that
    /// moment.
    #[arg(long, value_name = "NAME[@MOMENT]")]
    pub snapshot: Option<String>,
}

impl ReportArgs {
    /// Prints the report on standard output. A reader that has seen enough (`| head`) is no error.
    ///
    /// # Errors
    /// The run file cannot be read, or standard output not written.
    pub fn execute(&self) -> Result<(), RunFileError> {
        let run = RunFile::open(&self.run)?;
        match self.print(&run, &mut BufWriter::new(io::stdout().lock())) {
            Err(RunFileError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    fn print(&self, run: &RunFile, out: &mut impl Write) -> Result<(), RunFileError> {
        match &self.snapshot {
            Some(name) => report::snapshot(run, name, out)?,
            None if self.events => report::events(run, out)?,
            None if self.json => report::json(run, out)?,
            None => report::text(run, out)?,
        }
        Ok(out.flush()?)
    }
}
