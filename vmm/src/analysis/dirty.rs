//! Pages written per interval, as the dirty log told them.

use serde::Serialize;

use super::RunFile;
use crate::trace::RunFileError;

/// What the guest wrote. Counts are of pages of 4 KiB; a page counts once in each interval it was written in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirtyPages {
    /// Intervals, the last one as long as the run went on.
    pub intervals: u64,
    /// Length of an interval as it was asked for, nanoseconds.
    pub interval_ns: Option<u64>,
    /// Pages in the interval with the fewest.
    pub min: u64,
    /// Half of the intervals have at most this.
    pub median: u64,
    /// Pages in the interval with the most.
    pub max: u64,
    /// Pages that were written at all; `None` for a run whose end is missing.
    pub distinct: Option<u64>,
}

/// Reads them; `None` where no interval was recorded.
pub(super) fn read(run: &RunFile) -> Result<Option<DirtyPages>, RunFileError> {
    let pages: Vec<u64> = run.query(|conn| {
        conn.prepare("SELECT pages FROM dirty_interval ORDER BY pages")?.query_map([], |row| row.get(0))?.collect()
    })?;
    let (Some(min), Some(max)) = (pages.first().copied(), pages.last().copied()) else { return Ok(None) };
    let fact = |key| run.number(key).map(|value| value.map(i64::cast_unsigned));
    Ok(Some(DirtyPages {
        intervals: pages.len() as u64,
        interval_ns: fact("dirty.interval_ns")?,
        min,
        median: pages[(pages.len() - 1) / 2],
        max,
        distinct: fact("dirty.distinct_pages")?,
    }))
}
