//! Run files from anywhere: damaged ones, and sound databases with numbers that no pagelab writes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use pagelab::{
    analysis::{RunFile, Walk},
    report,
    trace::RunFileError,
};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;

use super::synthetic::Guest;
use crate::{Target, ensure, mutate};

/// First byte of an input that is the file itself.
const FILE: u8 = 0;
/// First byte of an input that is a list of changes to a sound file: two bytes table and column, two bytes row, one of
/// the value's kind, eight of the value.
const CHANGES: u8 = 1;
const CHANGE: usize = 13;

/// See the module.
pub struct RunFiles {
    corpus: Vec<Vec<u8>>,
    folder: TempDir,
    sound: PathBuf,
}

impl RunFiles {
    /// With a run file of a few faults.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    pub fn new() -> RunFiles {
        let folder = super::folder();
        let sound = folder.path().join("sound.pagelab");
        fs::rename(Guest::sound(5).record_run(folder.path()), &sound).expect("it can be renamed");
        let corpus = vec![fs::read(&sound).expect("it can be read")];
        RunFiles { corpus, folder, sound }
    }

    fn write(&self, input: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.path().join("fuzzed.pagelab");
        let Some((&kind, rest)) = input.split_first() else {
            fs::write(&path, input)?;
            return Ok(path);
        };
        if kind == FILE {
            fs::write(&path, rest)?;
        } else {
            fs::copy(&self.sound, &path)?;
            change(&path, rest).map_err(io::Error::other)?;
        }
        Ok(path)
    }
}

impl Default for RunFiles {
    fn default() -> RunFiles {
        RunFiles::new()
    }
}

/// Makes the changes that the database allows.
fn change(path: &Path, changes: &[u8]) -> rusqlite::Result<()> {
    let conn = Connection::open(path)?;
    conn.execute_batch("PRAGMA ignore_check_constraints = 1; PRAGMA foreign_keys = 0; PRAGMA synchronous = 0")?;
    let tables: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let transaction = conn.unchecked_transaction()?;
    for change in changes.chunks_exact(CHANGE) {
        let table = &tables[usize::from(change[0]) % tables.len()];
        let columns: Vec<String> = transaction
            .prepare("SELECT name FROM pragma_table_info(?)")?
            .query_map([table], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let column = &columns[usize::from(change[1]) % columns.len()];
        let row = u16::from_le_bytes([change[2], change[3]]) % 16;
        let number = i64::from_le_bytes(change[5..CHANGE].try_into().expect("eight bytes"));
        let value = match change[4] % 4 {
            0 | 1 => Value::Integer(number),
            2 => Value::Null,
            _ => Value::Text(String::from_utf8_lossy(&change[5..]).into_owned()),
        };
        // What the table's types or keys forbid stays as it was.
        let place = format!("(SELECT rowid FROM \"{table}\" ORDER BY rowid LIMIT 1 OFFSET {row})");
        let _ = match change[4] / 4 % 8 {
            0 => transaction.execute(&format!("DELETE FROM \"{table}\" WHERE rowid = {place}"), []),
            _ => transaction
                .execute(&format!("UPDATE OR IGNORE \"{table}\" SET \"{column}\" = ? WHERE rowid = {place}"), [value]),
        };
    }
    transaction.commit()
}

impl Target for RunFiles {
    fn name(&self) -> &'static str {
        "run-file"
    }

    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        if random.u8(..4) == 0 {
            return [vec![FILE], mutate::mutated(&self.corpus, random)].concat();
        }
        let mut input = vec![CHANGES];
        for _ in 0..random.u32(1..12) {
            input.extend([random.u8(..), random.u8(..), random.u8(..), 0, random.u8(..)]);
            input.extend(mutate::number(random).to_le_bytes());
        }
        input
    }

    fn check(&mut self, input: &[u8]) -> Result<(), String> {
        let path = self.write(input).map_err(|error| format!("the case cannot be made\n{error}"))?;
        let result = read(&path);
        for suffix in ["", "-journal"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
        match result {
            Err(error) => {
                let words = error.to_string();
                ensure!(words.contains("fuzzed.pagelab"), "an error that names no file\n{words}");
                Ok(())
            }
            Ok(text) => {
                ensure!(str::from_utf8(&text).is_ok(), "a report that is no text");
                Ok(())
            }
        }
    }
}

/// Everything that reads a run file.
fn read(path: &Path) -> Result<Vec<u8>, RunFileError> {
    let run = RunFile::open(path)?;
    let mut out = Vec::new();
    // Each is tried, whatever became of the others.
    let results = [
        report::text(&run, &mut out),
        report::json(&run, &mut out),
        report::events(&run, &mut out),
        report::snapshot(&run, "smaps", &mut out),
        Walk::read(&run, 0x7fff_f000_0000).map(|walk| out.extend(report::walk(&walk).into_bytes())),
    ];
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(out)
}
