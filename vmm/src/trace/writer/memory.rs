//! Rows about the guest's memory as a whole: which pages the host had, and what the guest's page tables held.

use std::ops::Range;

use rusqlite::params;

use super::Writer;
use crate::{
    trace::input::RunBound,
    vm::tables::{PageTables, TableEntry},
};

impl Writer {
    /// Writes which frames the host had a page behind; the number of pages is a fact, and says that it was looked at.
    pub(super) fn present(&mut self, bound: RunBound, ranges: &[Range<u64>]) -> rusqlite::Result<()> {
        for range in ranges {
            self.insert(
                "INSERT INTO raw_present VALUES (?, ?, ?)",
                params![bound as u8, range.start.cast_signed(), range.end.cast_signed()],
            )?;
        }
        let pages: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.fact(&format!("present_at_{}_pages", bound.name()), pages.cast_signed())
    }

    /// Writes the entries of the guest's page tables; `cr3` says that they were read.
    pub(super) fn page_tables(&mut self, tables: &PageTables) -> rusqlite::Result<()> {
        for entry in &tables.entries {
            let TableEntry { step, gva } = entry;
            self.insert(
                "INSERT INTO raw_page_table_entry VALUES (?, ?, ?, ?, ?)",
                params![
                    step.level,
                    entry.table().cast_signed(),
                    step.index.cast_signed(),
                    gva.cast_signed(),
                    step.entry.cast_signed()
                ],
            )?;
        }
        self.fact("cr3", format!("{:#018x}", tables.cr3))?;
        if tables.truncated {
            self.fact("page_tables", "cut off: they had more entries than are kept".to_owned())?;
        }
        Ok(())
    }
}
