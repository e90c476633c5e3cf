//! Where a program runs: on this machine's Linux, or in the lab; or what it said on another machine's Linux.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{exit_status, text};

/// Where Linux has a tmpfs.
const SHARED_MEMORY: &str = "/dev/shm";

/// What a program said, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Standard output.
    pub text: String,
    /// Exit status as a shell sees it.
    pub status: i32,
    /// Everything else there is to know, for messages only.
    pub more: String,
}

/// A place to run programs in.
#[derive(Debug)]
pub enum Side {
    /// The Linux that this runs on.
    Native,
    /// The same, and what is said is written into this folder.
    Recording(PathBuf),
    /// What a [`Side::Recording`] has written into this folder, perhaps on another machine.
    Recorded(PathBuf),
    /// The lab: the command `pagelab`, its options before the program, and the longest time a run may take, in seconds.
    Lab {
        /// The command.
        pagelab: PathBuf,
        /// Options of `pagelab run`.
        options: Vec<String>,
        /// Limit in seconds.
        timeout: u32,
    },
}

impl Side {
    /// Runs a program to its end in a folder of its own; `stdin` is a file, or nothing.
    ///
    /// # Errors
    /// What could not be started.
    pub fn run(&self, program: &Path, stdin: Option<&Path>) -> Result<Said, String> {
        match self {
            Side::Recorded(answers) => return recorded(&answers.join(key(program, stdin)?)),
            Side::Recording(answers) => {
                let said = Side::Native.run(program, stdin)?;
                let file = answers.join(key(program, stdin)?);
                let text = format!("{}\n{}", said.status, said.text);
                fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
                return Ok(said);
            }
            Side::Native | Side::Lab { .. } => {}
        }
        // Files lie on the same kind of file system on both sides: tmpfs.
        let folder = match self {
            Side::Lab { .. } => TempDir::new(),
            _ => TempDir::new_in(SHARED_MEMORY),
        };
        let folder = folder.map_err(|error| format!("a temporary folder: {error}"))?;
        let mut command = match self {
            Side::Native | Side::Recording(_) | Side::Recorded(_) => Command::new(program),
            Side::Lab { pagelab, options, timeout } => {
                let mut command = Command::new(pagelab);
                command.args(["run", "--console", "--record", "none", "-o", "oracle.pagelab"]);
                command.args(["--cwd", "/tmp", "--timeout", &timeout.to_string()]).args(options).arg(program);
                command.env_remove("PAGELAB_LOG");
                command
            }
        };
        let input = match stdin {
            Some(file) => File::open(file).map_err(|error| format!("{}: {error}", file.display()))?.into(),
            None => Stdio::null(),
        };
        let output = command.current_dir(folder.path()).stdin(input).output();
        let output = output.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        Ok(Said {
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            status: exit_status(&output),
            more: text(&output),
        })
    }

    /// How messages call it.
    pub fn name(&self) -> &'static str {
        match self {
            Side::Native | Side::Recording(_) | Side::Recorded(_) => "Linux",
            Side::Lab { .. } => "lab",
        }
    }
}

/// The file of what a program says to an input.
fn key(program: &Path, stdin: Option<&Path>) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    if let Some(file) = stdin {
        fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?.hash(&mut hasher);
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name}-{:016x}", hasher.finish()))
}

fn recorded(file: &Path) -> Result<Said, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("not recorded: {}: {error}", file.display()))?;
    let (status, text) = text.split_once('\n').ok_or_else(|| format!("{}: cut short", file.display()))?;
    let status = status.parse().map_err(|_| format!("{}: no status", file.display()))?;
    Ok(Said { text: text.to_owned(), status, more: format!("as recorded in {}", file.display()) })
}
