//! Identities about host faults: what a source says against what became resident.

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use rusqlite::params;

use super::{Checker, NO_STREAM};
use crate::trace::{CopyTally, OWNER_UNKNOWN};

impl Checker<'_> {
    /// Host faults against what userfaultfd did and what became resident.
    pub(super) fn host_faults(&self, copies: Option<&CopyTally>) -> rusqlite::Result<()> {
        let Some(copies) = copies else {
            let reason = "host faults were not recorded by userfaultfd";
            return ["uffd_pages", "uffd_bytes", "host_fault_rows", "host_fault_owners"]
                .iter()
                .try_for_each(|name| self.skip(name, reason));
        };
        self.result(
            "uffd_pages",
            copies.present_at_end.wrapping_sub(copies.present_at_start).cast_signed(),
            (copies.copied + copies.continued).wrapping_sub(copies.evicted).cast_signed(),
            "present at the end - preloaded = userfaultfd copies + continued - evicted pages",
        )?;
        let bytes = "SELECT sum(bytes) FROM host_fault WHERE source = 'uffd' AND kind <> 'write_protect'";
        self.result(
            "uffd_bytes",
            ((copies.copied + copies.continued) * PAGE_SIZE).cast_signed(),
            self.number(bytes, [])?,
            "bytes of pages copied and continued = bytes that host faults brought in",
        )?;
        let rows = self.number("SELECT count(*) FROM host_fault WHERE source = 'uffd'", [])?;
        self.result(
            "host_fault_rows",
            copies.faults.cast_signed(),
            rows,
            "faults that userfaultfd answered = host faults",
        )?;
        if !self.stream_is_on()? {
            return self.skip("host_fault_owners", NO_STREAM);
        }
        let all = self.number("SELECT count(*) FROM raw_host_fault", [])?;
        let unowned = params![Owner::None.0, OWNER_UNKNOWN];
        let owned = self.number("SELECT count(*) FROM raw_host_fault WHERE owner NOT IN (?, ?)", unowned)?;
        self.result("host_fault_owners", all, owned, "host faults = host faults whose frame has an owner")
    }
}
