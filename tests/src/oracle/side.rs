//! Where a program runs: on this machine's Linux, or in the lab.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{exit_status, text};

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
        let folder = TempDir::new().map_err(|error| format!("a temporary folder: {error}"))?;
        let mut command = match self {
            Side::Native => Command::new(program),
            Side::Lab { pagelab, options, timeout } => {
                let mut command = Command::new(pagelab);
                command.args(["run", "--console", "--record", "none", "-o", "oracle.pagelab"]);
                command.args(["--timeout", &timeout.to_string()]).args(options).arg(program);
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
            Side::Native => "Linux",
            Side::Lab { .. } => "lab",
        }
    }
}
