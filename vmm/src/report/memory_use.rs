//! The report's section on how the guest used its memory over time.

use super::{
    format::{count, time},
    sections::{heading, line},
    table::Rows,
};
use crate::analysis::Summary;

/// Pages written per interval; empty where that was not recorded.
pub(super) fn dirty(summary: &Summary) -> String {
    let Some(dirty) = &summary.dirty else { return String::new() };
    let mut text =
        heading("Pages written", &dirty.interval_ns.map_or(String::new(), |ns| format!("every {}", time(ns))));
    let mut rows = Rows::new(&[">intervals", ">min", ">median", ">max", ">distinct pages"]);
    rows.add([
        count(dirty.intervals),
        count(dirty.min),
        count(dirty.median),
        count(dirty.max),
        dirty.distinct.map_or("unknown".into(), count),
    ]);
    text += &rows.render();
    line(&mut text, &["  · ", "the guest kernel's own pages and page tables are among them"]);
    text
}
