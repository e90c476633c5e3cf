//! The sources of host faults, and the witness of their counts.

use std::fs::File;

use super::Check;
use crate::faults::{self, Missing, Probe};

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
    sources.chain(uffd_modes()).chain([pagemap]).collect()
}

/// What userfaultfd offers beyond its basic use, if it is there at all.
fn uffd_modes() -> Vec<Check> {
    let why = "without it uffd cannot watch every --backing, nor first writes (--protect)";
    let Ok(modes) = faults::uffd_modes() else { return Vec::new() };
    let check = |(name, lack): (&'static str, Option<Missing>)| match lack {
        None => Check::ok(name, why, "there"),
        Some(missing) => Check::missing(name, why, missing.why, missing.remedy),
    };
    modes.into_iter().map(check).collect()
}
