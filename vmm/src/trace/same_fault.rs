//! Finds the rows of one host fault that several sources saw, once a run has ended.
//!
//! One source stands for the faults, the others are witnesses. A vCPU that waits for its page can take no other fault, so
//! what a witness saw of a fault is the last thing it saw of that vCPU before the source saw the fault.

use std::collections::HashMap;

use pagelab_abi::layout::PAGE_SIZE;
use rusqlite::{Connection, OptionalExtension, params};

/// The source that stands for the host's faults: the first of the run's `sources`, which are in the order of preference,
/// that told any. The others are witnesses of the same faults.
pub(crate) fn primary_source(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let told: Vec<String> = conn
        .prepare("SELECT name FROM code_source s WHERE EXISTS(SELECT 1 FROM raw_host_fault h WHERE h.source = s.code)")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let sources: Option<String> =
        conn.query_row("SELECT value FROM raw_run WHERE key = 'sources'", [], |row| row.get(0)).optional()?;
    let named = sources.iter().flat_map(|sources| sources.split(','));
    let first = named.map(str::trim).find(|name| told.iter().any(|there| there == name)).map(str::to_owned);
    Ok(first.or_else(|| told.into_iter().next()))
}

/// Fills in `same_as` of the rows of the source `primary` and of its witnesses.
pub(super) fn link(conn: &Connection, primary: &str) -> rusqlite::Result<()> {
    let sources: i64 = conn.query_row("SELECT count(*) FROM code_source", [], |row| row.get(0))?;
    if sources < 2 {
        return Ok(());
    }
    // By this much a witness's clock may be ahead.
    let slack: i64 = conn.query_row(
        "SELECT COALESCE(max(CAST(value AS INTEGER)), 0) FROM raw_run WHERE key LIKE '%.clock_error_ticks'",
        [],
        |row| row.get(0),
    )?;
    let mut rows = conn.prepare(
        "SELECT id, vcpu, gpa, bytes, source = (SELECT code FROM code_source WHERE name = ?1) AS counted
         FROM raw_host_fault WHERE vcpu IS NOT NULL
         ORDER BY CASE WHEN counted THEN tsc_begin + ?2 ELSE tsc_begin END, counted, id",
    )?;
    let mut rows = rows.query(params![primary, slack])?;
    let mut seen: HashMap<u16, Attempts> = HashMap::new();
    let mut links: Vec<(i64, i64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, vcpu): (i64, u16) = (row.get(0)?, row.get(1)?);
        let (gpa, bytes) = (row.get::<_, i64>(2)?.cast_unsigned(), row.get::<_, i64>(3)?.cast_unsigned());
        if !row.get::<_, bool>(4)? {
            seen.entry(vcpu).or_default().add(id, gpa / PAGE_SIZE, bytes > 0);
            continue;
        }
        let unit = bytes.max(PAGE_SIZE) / PAGE_SIZE;
        if let Some(attempts) = seen.get_mut(&vcpu)
            && !attempts.rows.is_empty()
            && attempts.page / unit == gpa / PAGE_SIZE / unit
        {
            let witnesses = std::mem::take(&mut attempts.rows);
            links.extend(witnesses.iter().map(|witness| (*witness, id)));
            links.extend(witnesses.last().map(|witness| (id, *witness)));
        }
    }
    let mut update = conn.prepare("UPDATE raw_host_fault SET same_as = ?2 WHERE id = ?1")?;
    for (id, other) in links {
        update.execute(params![id, other])?;
    }
    Ok(())
}

/// What a witness saw last of a vCPU: attempts at one page. A fault whose resolution is interrupted is taken again.
#[derive(Default)]
struct Attempts {
    page: u64,
    rows: Vec<i64>,
    mapped: bool,
}

impl Attempts {
    /// `mapped`: the witness says that this one ended with a translation, so that what follows is another fault.
    fn add(&mut self, id: i64, page: u64, mapped: bool) {
        if self.page != page || self.mapped {
            self.rows.clear();
        }
        self.rows.push(id);
        (self.page, self.mapped) = (page, mapped);
    }
}
