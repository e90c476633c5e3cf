//! Opens a run file for reading, after making sure that it is one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, types::Value};

use crate::trace::{APPLICATION_ID, RunFileError, SCHEMA_VERSION};

/// A run file, open for reading.
#[derive(Debug)]
pub struct RunFile {
    path: PathBuf,
    conn: Connection,
}

impl RunFile {
    /// Opens a run file.
    ///
    /// A file whose writer was killed in the middle of a batch is rolled back to the batch before, which needs the
    /// right to write it.
    ///
    /// # Errors
    /// The file cannot be read, is something else, or was written by a newer pagelab.
    pub fn open(path: &Path) -> Result<Self, RunFileError> {
        let read_error = |reason: String| RunFileError::Read { path: path.to_owned(), reason };
        match std::fs::metadata(path) {
            Err(error) => return Err(read_error(error.to_string())),
            Ok(metadata) if !metadata.is_file() => return Err(RunFileError::NotARunFile { path: path.to_owned() }),
            Ok(_) => {}
        }
        let (conn, id) = match open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) => {
                open_with(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            }
            opened => opened,
        }
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => RunFileError::NotARunFile { path: path.to_owned() },
            _ => RunFileError::read(path, &error),
        })?;
        if id != APPLICATION_ID {
            return Err(RunFileError::NotARunFile { path: path.to_owned() });
        }
        let run = RunFile { path: path.to_owned(), conn };
        let found = run.query(|conn| conn.pragma_query_value(None, "user_version", |row| row.get(0)))?;
        if found > SCHEMA_VERSION {
            return Err(RunFileError::Newer { path: run.path, found, known: SCHEMA_VERSION });
        }
        run.check_length()?;
        Ok(run)
    }

    /// A file whose end is missing can be read for long, until what was there is asked for.
    fn check_length(&self) -> Result<(), RunFileError> {
        let pragma = |name| self.query(|conn| conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0)));
        let whole = pragma("page_count")?.saturating_mul(pragma("page_size")?);
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() < whole => Err(RunFileError::Damaged {
                path: self.path.clone(),
                reason: format!("it has {} of {whole} bytes", metadata.len()),
            }),
            _ => Ok(()),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the database something.
    ///
    /// # Errors
    /// The database says that it cannot answer.
    pub fn query<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RunFileError> {
        ask(&self.conn).map_err(|error| RunFileError::read(&self.path, &error))
    }

    /// A row of the `run` view, as text.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn fact(&self, key: &str) -> Result<Option<String>, RunFileError> {
        let value = self.query(|conn| {
            conn.query_row("SELECT value FROM run WHERE key = ?", [key], |row| row.get::<_, Value>(0)).optional()
        })?;
        Ok(value.map(|value| match value {
            Value::Null => String::new(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        }))
    }

    /// A row of the `run` view that is a number.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn number(&self, key: &str) -> Result<Option<i64>, RunFileError> {
        Ok(self.fact(key)?.and_then(|value| value.parse().ok()))
    }

    /// The text of the last snapshot with this name (`maps`, `meminfo` ...) and moment (`exec`, `exit`, `request`;
    /// any if `None`).
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub fn snapshot(&self, name: &str, moment: Option<&str>) -> Result<Option<String>, RunFileError> {
        self.query(|conn| {
            conn.query_row(
                "SELECT text FROM snapshot WHERE name = ?1 AND (?2 IS NULL OR moment = ?2) ORDER BY id DESC LIMIT 1",
                (name, moment),
                |row| row.get(0),
            )
            .optional()
        })
    }
}

fn open_with(path: &Path, flags: OpenFlags) -> rusqlite::Result<(Connection, i64)> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    let id = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((conn, id))
}
