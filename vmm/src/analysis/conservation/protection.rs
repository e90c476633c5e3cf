//! Identities about pages that were kept from KVM and opened at their first touch.

use rusqlite::OptionalExtension;

use super::Checker;

const NAMES: [&str; 2] = ["opened_pages", "opened_rows"];

impl Checker<'_> {
    /// The rows of the source memory-fault against what it opened and what became resident.
    pub(super) fn protection(&self) -> rusqlite::Result<()> {
        if !self.has_source("memory-fault")? {
            return Ok(());
        }
        let mut facts = [0i64; 3];
        for (value, key) in facts.iter_mut().zip(["preloaded_pages", "present_at_end", "opened_pages"]) {
            let key = format!("memory-fault.{key}");
            let found =
                self.conn.query_row("SELECT value FROM raw_run WHERE key = ?", [key], |row| row.get(0)).optional()?;
            let Some(found) = found else {
                let reason = "the source memory-fault did not come to its end";
                return NAMES.iter().try_for_each(|name| self.skip(name, reason));
            };
            *value = found;
        }
        let [preloaded, at_end, opened] = facts;
        self.result(NAMES[0], at_end.wrapping_sub(preloaded), opened, "present at the end - preloaded = pages opened")?;
        let rows = self.number("SELECT sum(bytes) / 4096 FROM host_fault WHERE source = 'memory-fault'", [])?;
        self.result(NAMES[1], opened, rows, "pages opened = pages of host faults")
    }
}
