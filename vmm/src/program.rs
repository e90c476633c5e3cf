//! Finds the program to run, and says before the boot why it could not run.

use std::{borrow::Cow, fs, io, os::unix::fs::PermissionsExt, path::Path};

use pagelab_mm::exec;

use crate::{builtin, initramfs::Initramfs};

/// Exit status of a run whose program is there but cannot be executed, as shells have it.
pub const CANNOT_EXECUTE_STATUS: i32 = 126;
/// Exit status of a run whose program was not found, as shells have it.
pub const NOT_FOUND_STATUS: i32 = 127;

/// How a path in the guest is told from one of the host.
const GUEST: &str = "guest:";

/// A program that the lab can run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its base name.
    pub name: String,
    /// Its path in the guest.
    pub guest_path: String,
    /// The file: a static x86-64 Linux executable.
    pub elf: Cow<'static, [u8]>,
}

impl Program {
    /// One that comes from outside: it goes into `/bin`.
    fn from_outside(name: &str, elf: Cow<'static, [u8]>) -> Program {
        Program { name: name.to_owned(), guest_path: format!("/bin/{name}"), elf }
    }
}

/// Why there is no program to run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Neither a built-in program nor a file.
    #[error(
        "{name:?} is neither a built-in program ({builtins}) nor a file; for a file in this directory write ./NAME"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names of the built-in programs.
        builtins: String,
    },
    /// A path in the guest where nothing is.
    #[error("{name}: there is no such file in the guest; put it there with --file or --dir")]
    NotInGuest {
        /// The program.
        name: String,
    },
    /// The file cannot be read.
    #[error("{name}: {source}; {}", remedy(.source))]
    Read {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no name in UTF-8.
    #[error("{name}: the file's name is not text; give the program another name")]
    Name {
        /// The path, as far as it can be shown.
        name: String,
    },
    /// A directory, a device, a pipe.
    #[error("{name}: it is {kind}; give a program")]
    NotAFile {
        /// The path.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// Nobody may execute it.
    #[error("{name}: its mode {mode:04o} does not let it be executed; run: chmod +x {name}")]
    NotExecutable {
        /// The file.
        name: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not one that the lab can run.
    #[error("{name}: {why}")]
    Unfit {
        /// The program.
        name: String,
        /// Why it is not.
        why: String,
    },
}

impl ProgramError {
    /// The exit status it gives a run.
    pub fn status(&self) -> i32 {
        match self {
            ProgramError::Unknown { .. } | ProgramError::NotInGuest { .. } => NOT_FOUND_STATUS,
            ProgramError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND_STATUS,
            _ => CANNOT_EXECUTE_STATUS,
        }
    }
}

/// The built-in program of that name, or else the host's file at that path.
pub fn find(name: &str) -> Result<Program, ProgramError> {
    if let Some(program) = builtin::program(name) {
        return Ok(Program::from_outside(name, Cow::Borrowed(program.elf)));
    }
    let path = Path::new(name);
    if !name.contains('/') && !path.exists() {
        let names: Vec<&str> = builtin::programs().iter().map(|program| program.name).collect();
        return Err(ProgramError::Unknown { name: name.to_owned(), builtins: names.join(", ") });
    }
    let bytes = read(path, name)?;
    check(name, &bytes)?;
    let base = path.file_name().and_then(|base| base.to_str()).ok_or(ProgramError::Name { name: name.to_owned() })?;
    Ok(Program::from_outside(base, Cow::Owned(bytes)))
}

/// The program at a path in the guest: one written `guest:/PATH`, or an absolute path that only the guest has.
pub fn find_in_guest(name: &str, files: &Initramfs<'_>) -> Result<Option<Program>, ProgramError> {
    let path = match name.strip_prefix(GUEST) {
        Some(path) => path,
        None if name.starts_with('/') && !Path::new(name).exists() && files.file(name).is_some() => name,
        None => return Ok(None),
    };
    let elf = files.file(path).ok_or_else(|| ProgramError::NotInGuest { name: name.to_owned() })?;
    check(name, elf)?;
    let base = path.rsplit('/').next().unwrap_or_default();
    Ok(Some(Program { name: base.to_owned(), guest_path: path.to_owned(), elf: Cow::Owned(elf.to_vec()) }))
}

/// Checks that the bytes of the program `name` are those of one that the lab can run, by the guest's own rules.
pub fn check(name: &str, bytes: &[u8]) -> Result<(), ProgramError> {
    match exec::Program::read(bytes) {
        Ok(_) => Ok(()),
        Err(why) => Err(ProgramError::Unfit { name: name.to_owned(), why: why.to_string() }),
    }
}

/// Reads a regular file that may be executed.
fn read(path: &Path, name: &str) -> Result<Vec<u8>, ProgramError> {
    const ANY_EXECUTE: u32 = 0o111;
    const SET_ID: u32 = 0o6000;
    let name = || name.to_owned();
    let problem = |source| ProgramError::Read { name: name(), source };
    let metadata = fs::metadata(path).map_err(problem)?;
    if metadata.is_dir() {
        return Err(ProgramError::NotAFile { name: name(), kind: "a directory" });
    }
    if !metadata.is_file() {
        return Err(ProgramError::NotAFile { name: name(), kind: "not a regular file" });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & ANY_EXECUTE == 0 {
        return Err(ProgramError::NotExecutable { name: name(), mode });
    }
    if mode & SET_ID != 0 {
        log::warn!("{}: its set-ID bits change nothing: in the guest all files and the program are root's", name());
    }
    fs::read(path).map_err(problem)
}

/// What to do about a file that cannot be read.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "check the path; `pagelab list` has the built-in programs"
        }
        io::ErrorKind::PermissionDenied => "make it readable (chmod +r), or run as one who may read it",
        _ => "check the file and the disk it is on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_programs_pass_and_are_found() {
        for builtin in builtin::programs() {
            check(builtin.name, builtin.elf).expect(builtin.name);
            let program = find(builtin.name).expect(builtin.name);
            assert_eq!(program.guest_path, format!("/bin/{}", builtin.name));
        }
    }

    #[test]
    fn a_file_is_found_by_its_path_and_runs_under_its_base_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mine");
        fs::write(&path, builtin::programs()[0].elf).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        let program = find(path.to_str().expect("text")).expect("a program");
        assert_eq!(program.guest_path, "/bin/mine");
    }

    #[test]
    fn what_cannot_run_is_said() {
        let error = check("./x", b"#!/bin/sh\n").expect_err("a script");
        assert!(error.to_string().starts_with("./x: it is a script for /bin/sh; "), "{error}");
        assert_eq!(error.status(), CANNOT_EXECUTE_STATUS);
    }

    #[test]
    fn an_unknown_name_lists_the_programs() {
        let error = find("no-such-program").expect_err("unknown");
        assert!(error.to_string().contains("demand-paging"), "{error}");
        assert_eq!(error.status(), NOT_FOUND_STATUS);
        let error = find("/no/such/program").expect_err("missing");
        assert!(error.to_string().starts_with("/no/such/program: No such file"), "{error}");
    }
}
