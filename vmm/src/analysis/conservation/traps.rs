//! Identities about guest faults that the host trapped (`--trap`) beside the guest's own record of them.

use pagelab_abi::event::GuestFault;
use rusqlite::OptionalExtension;

use super::{Checker, NO_STREAM};

impl Checker<'_> {
    /// Trapped faults against fault events: as many, and each like the event of the same rank. Nothing is said of a run
    /// without a trap.
    pub(super) fn traps(&self, complete: bool) -> rusqlite::Result<()> {
        let sql = "SELECT CAST(value AS INTEGER) FROM raw_run WHERE key = 'trapped'";
        let trapped: Option<i64> = self.conn.query_row(sql, [], |row| row.get(0)).optional()?;
        let Some(trapped) = trapped else { return Ok(()) };
        let skip = |reason| ["trapped", "trapped_faults"].iter().try_for_each(|name| self.skip(name, reason));
        if !self.stream_is_on()? {
            return skip(NO_STREAM);
        }
        if !complete {
            return skip("the run was cut short, perhaps between a trap and the event of the same fault");
        }
        let in_kernel = GuestFault::IN_KERNEL;
        let own = self.number("SELECT count(*) FROM raw_guest_fault WHERE flags & ? = 0", [in_kernel])?;
        self.result(
            "trapped",
            own,
            trapped,
            "fault events - those taken inside system calls = faults the host trapped",
        )?;
        let alike = self.number(
            "WITH event AS (SELECT row_number() OVER (PARTITION BY vcpu ORDER BY id) AS number, *
               FROM raw_guest_fault WHERE flags & ? = 0),
             trap AS (SELECT row_number() OVER (PARTITION BY vcpu ORDER BY id) AS number, * FROM raw_trap)
             SELECT count(*) FROM event JOIN trap ON event.vcpu = trap.vcpu AND event.number = trap.number
               WHERE event.gva = trap.gva AND event.rip = trap.rip AND event.error_code = trap.error_code & 0xffff
               AND event.kind = COALESCE(trap.kind, event.kind)",
            [in_kernel],
        )?;
        self.result("trapped_faults", trapped, alike, "faults the host trapped = those like the event of the same rank")
    }
}
