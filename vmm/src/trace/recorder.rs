//! The recorder: a channel for inputs and the thread that writes them to the run file, off the fault path.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use rusqlite::{Connection, OpenFlags};

use super::{
    error::RunFileError,
    input::{Ending, Input},
    schema,
    writer::Writer,
};

/// Inputs that may wait. Beyond it senders wait too: the stream is lossless.
const CHANNEL_INPUTS: usize = 1024;
/// Longest time between an input's arrival and its commit.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// Rows after which a batch is committed without waiting for the interval.
const COMMIT_ROWS: usize = 50_000;
/// Niceness of the writer thread: where CPUs are scarce, the guest and who answers its faults come first.
const NICE: i32 = 10;
/// How long a commit waits for another reader of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Records one run.
///
/// Dropped without [`Recorder::finish`], it leaves what it has seen in the file, marked incomplete.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    inputs: Sender<Input>,
    end: Option<Sender<Ending>>,
    thread: Option<JoinHandle<rusqlite::Result<()>>>,
}

impl Recorder {
    /// Creates the run file at `path` and starts the writer thread. A run file that is there is replaced, anything
    /// else is not. `facts` are rows of the `run` view; `sources` among them says what is recorded: `none`, or names
    /// separated by commas.
    ///
    /// # Errors
    /// The file cannot be created there.
    pub fn create(path: &Path, facts: &[(&str, String)]) -> Result<Recorder, RunFileError> {
        make_room(path)?;
        let conn = open_new(path).map_err(|error| create_error(path, error))?;
        Self::start(path, conn, facts)
    }

    fn start(path: &Path, conn: Connection, facts: &[(&str, String)]) -> Result<Recorder, RunFileError> {
        let writer = Writer::create(conn, facts).map_err(|error| create_error(path, error))?;
        let (inputs, input_queue) = bounded(CHANNEL_INPUTS);
        let (end, end_queue) = bounded(1);
        let thread = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                let this = rustix::thread::gettid();
                if let Err(error) = rustix::process::setpriority_process(Some(this), NICE) {
                    log::debug!("the recorder keeps its priority: {error}");
                }
                write(writer, &input_queue, &end_queue)
            })
            .map_err(|error| create_error(path, error))?;
        Ok(Recorder { path: path.to_owned(), inputs, end: Some(end), thread: Some(thread) })
    }

    /// Where observations go. Sending waits when the writer is behind, and never fails before the end.
    pub fn sender(&self) -> Sender<Input> {
        self.inputs.clone()
    }

    /// The run file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the run: everything sent before is written, both streams are joined and the conservation check is made.
    ///
    /// # Errors
    /// Something could not be written, now or before; the file keeps what was written until then.
    pub fn finish(mut self, ending: Ending) -> Result<(), RunFileError> {
        if let Some(end) = self.end.take() {
            // The thread outlives `self`, so it takes the ending; if it has died, joining tells why.
            let _ = end.send(ending);
        }
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(RunFileError::write(&self.path, &error)),
            Some(Err(_)) => Err(RunFileError::Write {
                path: self.path.clone(),
                reason: "the writer thread died".into(),
                remedy: "this is a bug of pagelab, please report it",
            }),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // Nobody is left to tell; what was written is readable.
            let _ = thread.join();
        }
    }
}

fn create_error(path: &Path, reason: impl ToString) -> RunFileError {
    RunFileError::Create { path: path.to_owned(), reason: reason.to_string() }
}

/// Removes an old run file; refuses to remove anything else.
fn make_room(path: &Path) -> Result<(), RunFileError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(create_error(path, error)),
        Ok(metadata) if metadata.is_dir() => return Err(create_error(path, "it is a directory")),
        Ok(metadata) if !metadata.is_file() => return Err(RunFileError::Occupied { path: path.to_owned() }),
        Ok(metadata) if metadata.len() > 0 => {
            let id = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .and_then(|conn| conn.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0)));
            if id != Ok(schema::APPLICATION_ID) {
                return Err(RunFileError::Occupied { path: path.to_owned() });
            }
        }
        Ok(_) => {}
    }
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    match fs::remove_file(&journal) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(create_error(path, error)),
        _ => {}
    }
    fs::remove_file(path).map_err(|error| create_error(path, error))
}

fn open_new(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    // A rollback journal keeps a run in one file and protects it against the death of this process. Against the
    // machine's death it is not protected: waiting for the disk would slow the run that is measured.
    conn.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY")?;
    Ok(conn)
}

/// The writer thread. After an error it goes on taking inputs, so that the VM never waits for it.
fn write(mut writer: Writer, inputs: &Receiver<Input>, end: &Receiver<Ending>) -> rusqlite::Result<()> {
    let mut batches = Batches { since: None };
    let mut result = Ok(());
    let mut inputs = inputs.clone();
    let ending = loop {
        let wait = batches.since.map_or(COMMIT_INTERVAL, |since| COMMIT_INTERVAL.saturating_sub(since.elapsed()));
        select! {
            recv(inputs) -> input => match input {
                Ok(input) if result.is_ok() => result = batches.take(&mut writer, input),
                Ok(_) => {}
                Err(_) => inputs = never(),
            },
            recv(end) -> ending => break ending.ok(),
            default(wait) => {}
        }
        if result.is_ok() {
            result = batches.commit_if_due(&mut writer);
        }
    };
    while let Ok(input) = inputs.try_recv() {
        if result.is_ok() {
            result = batches.take(&mut writer, input);
        }
    }
    result?;
    batches.commit(&mut writer)?;
    let Some(ending) = ending else { return Ok(()) };
    writer.begin()?;
    writer.end(&ending)?;
    writer.commit()
}

/// Groups inputs into transactions.
struct Batches {
    since: Option<Instant>,
}

impl Batches {
    fn take(&mut self, writer: &mut Writer, input: Input) -> rusqlite::Result<()> {
        if self.since.is_none() {
            writer.begin()?;
            self.since = Some(Instant::now());
        }
        writer.take(input)
    }

    fn commit_if_due(&mut self, writer: &mut Writer) -> rusqlite::Result<()> {
        match self.since {
            Some(since) if since.elapsed() >= COMMIT_INTERVAL || writer.rows() >= COMMIT_ROWS => self.commit(writer),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, writer: &mut Writer) -> rusqlite::Result<()> {
        if self.since.take().is_some() { writer.commit() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_what_fitted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("run");
        let conn = open_new(&path).expect("writable");
        conn.execute_batch("PRAGMA max_page_count = 100").expect("a limit that stands in for the disk's end");
        let recorder = Recorder::start(&path, conn, &[]).expect("the schema fits");
        let sender = recorder.sender();
        let text = "x".repeat(1000);
        for number in 0..3000 {
            sender
                .send_timeout(Input::ProtocolError(text.clone()), Duration::from_secs(10))
                .expect("the writer keeps taking inputs");
            if number == 20 {
                thread::sleep(3 * COMMIT_INTERVAL);
            }
        }
        let ending = Ending {
            exit_status: 0,
            complete: true,
            diagnosis: None,
            wall_ns: 0,
            clock_error_ns: 0,
            tsc_hz: 1,
            copies: None,
            facts: Vec::new(),
        };
        let error = recorder.finish(ending).expect_err("it does not fit").to_string();
        assert!(error.contains("full") && error.contains("free some space"), "{error}");
        let conn = Connection::open(&path).expect("readable");
        let kept: i64 = conn.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).expect("readable");
        assert!((21..3000).contains(&kept), "{kept}");
    }
}
