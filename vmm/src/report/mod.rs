//! A run file as people and programs read it: text, JSON, the bare event stream, a stored `/proc` text.

mod events;
mod foreign;
mod format;
mod kvm;
mod memory_use;
mod sections;
mod table;
mod walk;

use std::io::Write;

use crate::{
    analysis::{RunFile, Summary, Walk},
    trace::RunFileError,
};

pub use events::events;

/// Writes the report for people.
///
/// # Errors
/// The run file cannot be read, or `out` not written.
pub fn text(run: &RunFile, out: &mut impl Write) -> Result<(), RunFileError> {
    let report = sections::render(&Summary::read(run)?);
    Ok(out.write_all(report.as_bytes())?)
}

/// Writes [`Summary`] as JSON, in one object.
///
/// # Errors
/// As [`text`].
pub fn json(run: &RunFile, out: &mut impl Write) -> Result<(), RunFileError> {
    let summary = Summary::read(run)?;
    serde_json::to_writer_pretty(&mut *out, &summary).map_err(std::io::Error::from)?;
    Ok(writeln!(out)?)
}

/// A walk of the guest's page tables, for people.
pub fn walk(walk: &Walk) -> String {
    walk::render(walk)
}

/// Writes a stored text: `name` is `maps`, `status`, `meminfo` ..., or one of them with `@exec`, `@exit`, `@request`.
/// Of several the last is taken.
///
/// # Errors
/// As [`text`], and [`RunFileError::NoSnapshot`].
pub fn snapshot(run: &RunFile, name: &str, out: &mut impl Write) -> Result<(), RunFileError> {
    let (text_name, moment) = name.split_once('@').map_or((name, None), |(name, moment)| (name, Some(moment)));
    if let Some(text) = run.snapshot(text_name, moment)? {
        return Ok(out.write_all(text.as_bytes())?);
    }
    let available: Vec<String> = run.query(|conn| {
        conn.prepare("SELECT DISTINCT name || '@' || moment FROM snapshot ORDER BY 1")?
            .query_map([], |row| row.get(0))?
            .collect()
    })?;
    let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
    Err(RunFileError::NoSnapshot { path: run.path().to_owned(), name: name.to_owned(), available })
}
