//! The guest's page tables on the way to an address, and what both sides know of each frame on it.

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::RunFile;
use crate::{
    trace::{RunFileError, is_ram},
    vm::walk::{Step, is_canonical, steps_in},
};

/// The walk of one address through the tables as the run's end left them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// The address, as hex text.
    pub gva: String,
    /// CR3 at the end, as hex text.
    pub cr3: String,
    /// The entries on the way, from the top table down.
    pub entries: Vec<WalkEntry>,
    /// What the address leads to; `None` if it is not mapped.
    pub page: Option<WalkPage>,
    /// Why it is not mapped.
    pub unmapped: Option<String>,
    /// The VMA that covers it in the last map of the program; `None` for addresses of the kernel, or without one.
    pub vma: Option<String>,
    /// The last guest fault on the page.
    pub guest_fault: Option<WalkFault>,
}

/// An entry, and the table that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalkEntry {
    /// `PML4E`, `PDPTE`, `PDE`, `PTE`.
    pub name: &'static str,
    /// Its place in the table.
    pub index: u64,
    /// The entry, as hex text.
    pub value: String,
    /// Its flags, as `P W U A D PS G NX`; empty if nothing is set.
    pub flags: String,
    /// The table's frame.
    pub table: Frame,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalkPage {
    /// The guest-physical address behind the address, as hex text.
    pub gpa: String,
    /// Bytes of the page: 4096, or more for a large one.
    pub bytes: u64,
    /// The frame of 4 KiB that the address is in.
    pub frame: Frame,
}

/// A frame of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Its number.
    pub pfn: u64,
    /// Who has it by the guest's last event; `None` if it told of none.
    pub owner: Option<String>,
    /// The guest's event that gave it to its owner.
    pub frame_event: Option<i64>,
    /// The file and line in the guest that asked for it.
    pub call_site: Option<String>,
    /// What the host had behind it.
    pub backing: Backing,
    /// The last host fault that brought a page there.
    pub host_fault: Option<BackingFault>,
    /// Host faults that did, the last one included.
    pub host_faults: u64,
}

/// What the host had behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// A page since before the start.
    Preloaded,
    /// A page since a host fault.
    Faulted,
    /// A page, by no fault that was recorded: KVM's own touch, or a neighbour's fault.
    Present,
    /// A page, once; at the end it was gone.
    TakenAway,
    /// Never a page.
    Never,
    /// It is no RAM.
    OutsideRam,
    /// The host's side was not recorded.
    NotRecorded,
}

/// A host fault that brought a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackingFault {
    /// Its id.
    pub id: i64,
    /// Who saw it.
    pub source: String,
    /// When, in nanoseconds since the guest's kernel began to tell; negative before.
    pub at_ns: i64,
    /// The guest fault around it.
    pub guest_fault_id: Option<i64>,
}

/// A guest fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalkFault {
    /// Its id.
    pub id: i64,
    /// Its kind.
    pub kind: String,
}

impl Walk {
    /// Walks to `gva`.
    ///
    /// # Errors
    /// The run has no page tables; or as [`RunFile::query`].
    pub fn read(run: &RunFile, gva: u64) -> Result<Walk, RunFileError> {
        let Some(cr3) = run.fact("cr3")? else {
            let reason = run.fact("page_tables")?;
            let reason = reason.unwrap_or_else(|| "the run's end is missing, or nothing was recorded of it".to_owned());
            return Err(RunFileError::NoPageTables { path: run.path().to_owned(), reason });
        };
        let top = u64::from_str_radix(cr3.trim_start_matches("0x"), 16).unwrap_or_default();
        let facts = Facts::read(run)?;
        run.query(|conn| {
            let mut entry =
                conn.prepare("SELECT value FROM raw_page_table_entry WHERE level = ? AND pfn = ? AND idx = ?")?;
            let mut failed = Ok(());
            let read = |level, gpa| {
                if !is_ram(gpa, facts.ram) {
                    return None;
                }
                let (pfn, index) = (gpa / PAGE_SIZE, gpa % PAGE_SIZE / 8);
                let value =
                    entry.query_row((level, pfn.cast_signed(), index.cast_signed()), |row| row.get(0)).optional();
                value
                    .map_err(|error| failed = Err(error))
                    .ok()
                    .map(|value: Option<i64>| value.map_or(0, i64::cast_unsigned))
            };
            let steps = steps_in(read, top, gva);
            failed?;
            facts.walk(conn, &cr3, gva, &steps)
        })
    }
}

/// What the `run` view says of both sides.
struct Facts {
    /// Bytes of RAM.
    ram: u64,
    /// Whether the host's pages were looked at.
    host: bool,
    /// Why entries may be missing.
    cut_off: Option<String>,
    /// TSC of the first word of the guest's kernel.
    begin: i64,
    tsc_hz: u64,
}

impl Facts {
    fn read(run: &RunFile) -> Result<Facts, RunFileError> {
        let number = |key| run.number(key).map(Option::unwrap_or_default);
        Ok(Facts {
            ram: number("guest_memory_bytes")?.cast_unsigned(),
            host: run.fact("present_at_end_pages")?.is_some(),
            cut_off: run.fact("page_tables")?,
            begin: number("guest_boot_tsc")?,
            tsc_hz: number("tsc_hz")?.cast_unsigned(),
        })
    }

    fn walk(&self, conn: &Connection, cr3: &str, gva: u64, steps: &[Step]) -> rusqlite::Result<Walk> {
        let entries = steps.iter().map(|step| {
            Ok(WalkEntry {
                name: step.name(),
                index: step.index,
                value: format!("{:#018x}", step.entry),
                flags: step.flags(),
                table: self.frame(conn, step.gpa / PAGE_SIZE)?,
            })
        });
        let page = match steps.last() {
            Some(last) if last.is_page() => {
                let gpa = last.target() | (gva & (last.covers() - 1));
                let frame = self.frame(conn, gpa / PAGE_SIZE)?;
                Some(WalkPage { gpa: format!("{gpa:#018x}"), bytes: last.covers(), frame })
            }
            _ => None,
        };
        Ok(Walk {
            gva: format!("{gva:#018x}"),
            cr3: cr3.to_owned(),
            entries: entries.collect::<rusqlite::Result<_>>()?,
            unmapped: page.is_none().then(|| self.unmapped(gva, steps)),
            page,
            vma: vma(conn, gva)?,
            guest_fault: conn
                .query_row(
                    "SELECT id, kind FROM guest_fault WHERE id =
                       (SELECT max(id) FROM raw_guest_fault WHERE gva BETWEEN ?1 AND ?1 + 4095)",
                    [(gva & !(PAGE_SIZE - 1)).cast_signed()],
                    |row| Ok(WalkFault { id: row.get(0)?, kind: row.get(1)? }),
                )
                .optional()?,
        })
    }

    fn unmapped(&self, gva: u64, steps: &[Step]) -> String {
        match steps.last() {
            _ if !is_canonical(gva) => "the address is not canonical: bits 48-63 do not repeat bit 47".to_owned(),
            None => "CR3 leads out of RAM".to_owned(),
            Some(last) if last.is_present() => format!("the {} leads to a table outside RAM", last.name()),
            Some(last) if last.entry == 0 && self.cut_off.is_some() => {
                format!(
                    "the {} is not in the run file; page tables are {}",
                    last.name(),
                    self.cut_off.as_deref().unwrap_or_default()
                )
            }
            Some(last) => format!("the {} is not present", last.name()),
        }
    }

    /// What is known of a frame.
    fn frame(&self, conn: &Connection, pfn: u64) -> rusqlite::Result<Frame> {
        let key = pfn.cast_signed();
        let event: Option<(i64, u8, String, Option<String>)> = conn
            .query_row(
                "SELECT id, r.owner, v.owner, v.call_site FROM raw_frame_event r JOIN frame_event v USING (id)
                 WHERE r.pfn <= ?1 AND r.pfn + r.frames > ?1 ORDER BY id DESC LIMIT 1",
                [key],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .optional()?;
        let (frame_event, owner, call_site) = match event {
            Some((id, code, owner, site)) => (Some(id), (code != Owner::None.0).then_some(owner), site),
            None => (None, None, None),
        };
        let present = |moment: &str| -> rusqlite::Result<bool> {
            conn.query_row(
                "SELECT EXISTS(SELECT 1 FROM present WHERE moment = ?1 AND pfn <= ?2 AND pfn + frames > ?2)",
                params![moment, key],
                |row| row.get(0),
            )
        };
        // A fault brings the whole unit of its backing; one whose source cannot tell its size counts as a page.
        let host_fault = conn
            .query_row(
                "SELECT v.id, v.source, v.tsc_begin, v.guest_fault_id FROM raw_host_fault h JOIN host_fault v USING (id)
                 WHERE v.counted AND h.gpa / max(h.bytes, 4096) = ?1 * 4096 / max(h.bytes, 4096)
                 ORDER BY v.tsc_begin DESC LIMIT 1",
                [key],
                |row| self.backing_fault(row),
            )
            .optional()?;
        let host_faults: i64 = conn.query_row(
            "SELECT count(*) FROM raw_host_fault h JOIN host_fault v USING (id)
             WHERE v.counted AND h.gpa / max(h.bytes, 4096) = ?1 * 4096 / max(h.bytes, 4096)",
            [key],
            |row| row.get(0),
        )?;
        let backing = if !is_ram(pfn * PAGE_SIZE, self.ram) {
            Backing::OutsideRam
        } else if !self.host {
            Backing::NotRecorded
        } else {
            match (present("end")?, present("start")?, host_fault.is_some()) {
                (true, _, true) => Backing::Faulted,
                (true, true, false) => Backing::Preloaded,
                (true, false, false) => Backing::Present,
                (false, false, false) => Backing::Never,
                (false, _, _) => Backing::TakenAway,
            }
        };
        Ok(Frame { pfn, owner, frame_event, call_site, backing, host_fault, host_faults: host_faults.cast_unsigned() })
    }

    fn backing_fault(&self, row: &Row<'_>) -> rusqlite::Result<BackingFault> {
        let ticks = i128::from(row.get::<_, i64>(2)?) - i128::from(self.begin);
        let at_ns = ticks * 1_000_000_000 / i128::from(self.tsc_hz.max(1));
        Ok(BackingFault {
            id: row.get(0)?,
            source: row.get(1)?,
            at_ns: i64::try_from(at_ns).unwrap_or_default(),
            guest_fault_id: row.get(3)?,
        })
    }
}

/// The VMA that covers an address in the last map of the program that was taken.
fn vma(conn: &Connection, gva: u64) -> rusqlite::Result<Option<String>> {
    conn.query_row(
        "SELECT start || '-' || end || ' ' || perms || COALESCE(' ' || name, '') FROM vma_snapshot
         WHERE record = (SELECT max(record) FROM raw_vma_snapshot) AND start <= ?1 AND end > ?1",
        [format!("{gva:#018x}")],
        |row| row.get(0),
    )
    .optional()
}
