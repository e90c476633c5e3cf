//! The guest's event stream as text, one event a line: the same for two runs with the same seed.
//!
//! Left out is what depends on the host: time stamps, host faults, spurious guest faults, and of a crash the registers,
//! where a program may have put the time. Fault addresses are shown by page.

use std::io::Write;

use pagelab_abi::code::FaultKind;
use rusqlite::types::ValueRef;

use crate::{analysis::RunFile, trace::RunFileError};

/// Each part answers with the event's position, its line, and bytes that are shown quoted behind it.
const EVENTS: &str = "
SELECT f.id, printf('fault   pid %d page 0x%x %s code 0x%x vma %s pfn %s order %d rip 0x%x%s%s', f.pid, f.gva & ~4095,
    v.kind, f.error_code, iif(f.vma_start, printf('0x%x', f.vma_start), '-'), iif(f.pfn, f.pfn, '-'), f.frame_order,
    f.rip, iif(v.major, ' major', ''), iif(v.in_kernel, ' in_kernel', '')), NULL
  FROM raw_guest_fault f JOIN guest_fault v USING (id) WHERE f.kind <> ?1
UNION ALL
SELECT id, printf('frame   pid %d %s pfn %d frames %d order %d %s %s gfp %s %s %s', pid, op, pfn, frames, frame_order,
    zone, migratetype, gfp, owner, COALESCE(call_site, '-')), NULL FROM frame_event
UNION ALL
SELECT r.id, printf('vma     pid %d %s 0x%x-0x%x %s %s offset 0x%x %s', r.pid, v.op, r.start, r.end, v.prot, v.flags,
    r.file_offset, COALESCE(v.file, '-')), NULL FROM raw_vma_event r JOIN vma_event v USING (id)
UNION ALL
SELECT id, printf('syscall pid %d %s(%s) = %s', pid, name, COALESCE(args, '?'), COALESCE(result, '?')), NULL
  FROM syscall
UNION ALL
SELECT p.id, CASE p.op
    WHEN 1 THEN printf('exec    pid %d %s entry 0x%x', p.pid, COALESCE(s.text, '-'), p.entry)
    WHEN 2 THEN printf('exit    pid %d status 0x%x min_flt %d maj_flt %d', p.pid, p.status, p.min_flt, p.maj_flt)
    ELSE printf('process pid %d op %d', p.pid, p.op) END, NULL
  FROM raw_process p LEFT JOIN raw_string s ON s.id = p.program
UNION ALL
SELECT id, printf('console pid %d stream %d ', pid, stream), bytes FROM raw_console
UNION ALL
SELECT record, printf('message %s ', kind), text FROM raw_message
  WHERE record IS NOT NULL AND NOT (kind = 'diagnosis' AND record IN (SELECT id FROM raw_crash))
UNION ALL
SELECT id, printf('crash   pid %d signal %d code %d %s address %s instruction %s', pid, signal, code, cause,
    COALESCE(address, '-'), instruction), NULL FROM crash
UNION ALL
SELECT id, printf('unknown record kind %d', kind), NULL FROM raw_unknown
ORDER BY 1";

/// Writes the events in the order of the stream.
///
/// # Errors
/// The run file cannot be read, or `out` not written.
pub fn events(run: &RunFile, out: &mut impl Write) -> Result<(), RunFileError> {
    let written = run.query(|conn| {
        let mut rows = conn.prepare(EVENTS)?;
        let mut rows = rows.query([FaultKind::Spurious.0])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(1)?;
            let quoted = match row.get_ref(2)? {
                ValueRef::Blob(bytes) | ValueRef::Text(bytes) => format!("\"{}\"", bytes.escape_ascii()),
                _ => String::new(),
            };
            if let Err(error) = writeln!(out, "{line}{quoted}") {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    })?;
    Ok(written?)
}
