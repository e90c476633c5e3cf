//! What a witness's host faults were, one by one: the named terms by which its count differs from that of the source that
//! resolved the faults.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    ops::Range,
};

use pagelab_abi::layout::{PAGE_SIZE, TRACE_WINDOW_PHYS};
use rusqlite::{Connection, params};

use crate::trace::is_ram;

/// The witness's faults by what they were. Each is counted once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// Faults of the guest that the resolver saw too.
    pub(super) twins: i64,
    /// Attempts at these that were interrupted, and made again.
    pub(super) attempts: i64,
    /// First touches of pages that the VMM loaded.
    pub(super) preloaded: i64,
    /// First touches of pages that came with another fault: of a thread of the host's, or of the same large page.
    pub(super) brought: i64,
    /// First touches of the trace window.
    pub(super) window: i64,
    /// First touches of what is no memory.
    pub(super) outside: i64,
    /// Where nothing resolves: first touches of pages that the host did not have before and has at the end.
    pub(super) gained: i64,
    /// Pages touched before: rights raised, a translation taken away, a fault of another's resolution taken again.
    pub(super) again: i64,
    /// What no term explains.
    pub(super) unexplained: i64,
    /// Pages of the trace window that the faults cover.
    pub(super) window_pages: HashSet<u64>,
}

impl Terms {
    /// All that have a name.
    pub(super) fn explained(&self) -> i64 {
        let first_touches = self.preloaded + self.brought + self.gained + self.window + self.outside;
        self.twins + self.attempts + first_touches + self.again
    }

    /// The terms with their numbers, those that are not zero.
    pub(super) fn describe(&self, resolver: Option<&str>) -> String {
        let twins = format!("{} faults", resolver.unwrap_or("resolved"));
        let named: [(i64, &str); 8] = [
            (self.twins, &twins),
            (self.attempts, "interrupted attempts at these"),
            (self.preloaded, "preloaded pages"),
            (self.brought, "pages brought by another fault"),
            (self.gained, "pages the host gained"),
            (self.window, "trace window pages"),
            (self.outside, "outside RAM"),
            (self.again, "again on a page"),
        ];
        let mut text = String::new();
        for (number, name) in named.iter().filter(|(number, _)| *number != 0) {
            let plus = if text.is_empty() { "" } else { " + " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{plus}{number} {name}");
        }
        if text.is_empty() { "nothing".to_owned() } else { text }
    }
}

/// Sorts the faults that `witness` saw. `resolver` is the source that stands for the faults, if it is another one.
pub(super) fn sort(conn: &Connection, witness: &str, resolver: Option<&str>, ram: u64) -> rusqlite::Result<Terms> {
    let (at_start, at_end) = (present(conn, "start")?, present(conn, "end")?);
    let mut terms = Terms::default();
    let mut touched: HashSet<u64> = HashSet::new();
    // Pages that the resolver brought, by the size of the unit they came in.
    let mut brought: HashMap<u64, HashSet<u64>> = HashMap::new();
    let mut rows = conn.prepare(
        "SELECT h.gpa, h.bytes, h.same_as IS NOT NULL, s.name = ?1, t.same_as = h.id
         FROM raw_host_fault h JOIN code_source s ON s.code = h.source LEFT JOIN raw_host_fault t ON t.id = h.same_as
         WHERE s.name IN (?1, ?2) ORDER BY h.tsc_begin, h.id",
    )?;
    let mut rows = rows.query(params![witness, resolver])?;
    while let Some(row) = rows.next()? {
        let (gpa, bytes) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
        let (page, unit) = (gpa / PAGE_SIZE, bytes.max(PAGE_SIZE) / PAGE_SIZE);
        if !row.get::<_, bool>(3)? {
            brought.entry(unit).or_default().insert(page / unit);
            continue;
        }
        let first = touched.insert(page);
        let window = gpa >= TRACE_WINDOW_PHYS;
        if window {
            terms.window_pages.extend(page / unit * unit..page / unit * unit + unit);
        }
        let term = if row.get(2)? {
            if row.get(4)? { &mut terms.twins } else { &mut terms.attempts }
        } else if !first {
            &mut terms.again
        } else if window {
            &mut terms.window
        } else if !is_ram(gpa, ram) {
            &mut terms.outside
        } else if holds(&at_start, page) {
            &mut terms.preloaded
        } else if brought.iter().any(|(unit, units)| units.contains(&(page / unit))) {
            &mut terms.brought
        } else if resolver.is_none() && holds(&at_end, page) {
            &mut terms.gained
        } else {
            &mut terms.unexplained
        };
        *term += 1;
    }
    Ok(terms)
}

/// The frames that the host had, in rising order.
fn present(conn: &Connection, moment: &str) -> rusqlite::Result<Vec<Range<u64>>> {
    conn.prepare("SELECT pfn, pfn + frames FROM present WHERE moment = ? ORDER BY 1")?
        .query_map([moment], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()..row.get::<_, i64>(1)?.cast_unsigned()))?
        .collect()
}

fn holds(ranges: &[Range<u64>], page: u64) -> bool {
    let after = ranges.partition_point(|range| range.start <= page);
    after.checked_sub(1).is_some_and(|at| ranges[at].contains(&page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_pages() {
        let ranges = [3..6, 9..10];
        let held: Vec<u64> = (0..12).filter(|page| holds(&ranges, *page)).collect();
        assert_eq!(held, [3, 4, 5, 9]);
        assert!(!holds(&[], 0));
    }

    #[test]
    fn terms_that_are_nothing_are_not_named() {
        let terms = Terms { twins: 4, again: 2, ..Terms::default() };
        assert_eq!(terms.describe(Some("uffd")), "4 uffd faults + 2 again on a page");
        assert_eq!(Terms::default().describe(None), "nothing");
    }
}
