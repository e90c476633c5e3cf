//! A run file as any tool sees it: SQLite, and the views that every reader may rely on.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, types::ValueRef};

/// An open run file.
#[derive(Debug)]
pub struct RunRows(Connection);

impl RunRows {
    /// Opens it, read-only.
    pub fn open(path: &Path) -> RunRows {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        RunRows(connection.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The rows of a query, as text; NULL is empty.
    pub fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let mut statement = self.0.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Null => String::new(),
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Real(number) => number.to_string(),
                        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
                    })
                })
                .collect()
        });
        rows.and_then(Iterator::collect).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The first column of a query.
    pub fn column(&self, query: &str) -> Vec<String> {
        self.rows(query).into_iter().map(|row| row.into_iter().next().expect("a column")).collect()
    }

    /// A value of the `run` view.
    pub fn fact(&self, key: &str) -> String {
        self.column(&format!("SELECT value FROM run WHERE key = '{key}'")).pop().unwrap_or_default()
    }
}

/// Number of the page (or frame) of an address that a view shows in hexadecimal.
pub fn page(address: &str) -> u64 {
    let digits = address.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{address:?}: {error}")) >> 12
}
