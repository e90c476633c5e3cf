//! What can go wrong with a run file, each with its remedy.

use std::path::PathBuf;

/// A run file could not be created, written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// The file could not be created.
    #[error("cannot create the run file {}: {reason}; give another place with -o FILE", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Something else is there, and it is not overwritten.
    #[error("{} exists and is not a pagelab run file, so it is not overwritten; give another name with -o FILE or remove it", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed on the way. What was written before stays readable.
    #[error("cannot write the run file {}: {reason}; {remedy}. What was recorded before is readable and marked incomplete", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the database said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The file could not be opened or read.
    #[error("cannot read the run file {}: {reason}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A part of the file is missing or makes no sense.
    #[error("the run file {} is damaged or cut off: {reason}; copy it again, or record the run again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// The file is something else.
    #[error("{} is not a pagelab run file; give a file that `pagelab run` wrote", path.display())]
    NotARunFile {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer pagelab.
    #[error("{} has run-file schema version {found}, this pagelab reads up to version {known}; read it with the pagelab that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file holds no page tables.
    #[error("{} has no page tables of the guest: {reason}", path.display())]
    NoPageTables {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file holds no such snapshot.
    #[error("{} has no snapshot {name}; it has: {available}", path.display())]
    NoSnapshot {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// The report could not be written out.
    #[error("cannot write the report: {0}")]
    Output(#[from] std::io::Error),
}

impl RunFileError {
    /// A read error with the remedy that fits it.
    pub(crate) fn read(path: &std::path::Path, error: &rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode};
        let (path, reason) = (path.to_owned(), error.to_string());
        let system = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied
                    | ErrorCode::ReadOnly
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
            )
        );
        // What the database itself refuses to read, and values that no pagelab writes.
        if system || matches!(error, Error::InvalidPath(_)) {
            RunFileError::Read { path, reason }
        } else {
            RunFileError::Damaged { path, reason }
        }
    }

    /// A write error with the remedy that fits it.
    pub(crate) fn write(path: &std::path::Path, error: &rusqlite::Error) -> Self {
        let remedy = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "free some space there or give another place with -o FILE",
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::PermissionDenied) => {
                "make it writable or give another place with -o FILE"
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                "close the program that holds it open"
            }
            Some(rusqlite::ErrorCode::SystemIoFailure) => {
                "check the disk, its quota and `ulimit -f`, or give another place with -o FILE"
            }
            _ => "give another place with -o FILE",
        };
        RunFileError::Write { path: path.to_owned(), reason: error.to_string(), remedy }
    }
}
