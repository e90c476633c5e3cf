//! What the frames of host faults had been taken for, closer than their owner: the cache of kernel objects, and the place in
//! the guest kernel's source that asked for the frame.

use std::collections::BTreeMap;

use super::RunFile;
use crate::trace::RunFileError;

/// Host faults by cache and by call site, of the source that stands for all.
pub(super) struct Takers {
    /// By the name of the cache whose slab the frame was part of.
    pub(super) by_cache: BTreeMap<String, u64>,
    /// By the place, `file:line`, that took the frame.
    pub(super) by_call_site: BTreeMap<String, u64>,
}

impl Takers {
    /// Reads a run file.
    ///
    /// # Errors
    /// As [`RunFile::query`].
    pub(super) fn read(run: &RunFile) -> Result<Takers, RunFileError> {
        let counts = |column: &str| {
            run.query(|conn| {
                conn.prepare(&format!(
                    "SELECT {column}, count(*) FROM host_fault WHERE counted AND {column} IS NOT NULL GROUP BY 1"
                ))?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()
            })
        };
        Ok(Takers { by_cache: counts("cache")?, by_call_site: counts("call_site")? })
    }
}
