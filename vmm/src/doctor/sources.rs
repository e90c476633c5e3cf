//! The sources of host faults, and the witness of their counts.

use std::fs::File;

use super::Check;
use crate::faults::{self, Probe};

const PAGEMAP: (&str, &str) =
    ("pagemap", "without it the copies of a userfaultfd source have no second count to agree with");

pub(super) fn checks() -> Vec<Check> {
    let sources = faults::SOURCES.iter().map(|source| {
        let why = "without a source of host faults a run records the guest's dimension only";
        match source.probe() {
            Probe::Available => Check::ok(source.name(), why, source.limits().unwrap_or("can be used")),
            Probe::Missing(missing) => Check::missing(source.name(), why, missing.why, missing.remedy),
        }
    });
    let (name, why) = PAGEMAP;
    let pagemap = match File::open("/proc/self/pagemap") {
        Ok(_) => Check::ok(name, why, "/proc/self/pagemap is readable"),
        Err(error) => Check::missing(
            name,
            why,
            format!("/proc/self/pagemap cannot be opened: {error}"),
            "boot a kernel built with CONFIG_PROC_PAGE_MONITOR=y, and mount /proc",
        ),
    };
    sources.chain([pagemap]).collect()
}
