//! The program's map with what each VMA cost: its size, its resident pages, its faults.

use std::collections::BTreeMap;

use pagelab_abi::{
    code::{Moment, SnapshotKind, VmaOp},
    vm_flags::VmFlags,
};
use rusqlite::OptionalExtension;
use serde::Serialize;

use super::{RunFile, faults::kind_name};
use crate::trace::RunFileError;

/// Name of the row of faults that fell into no VMA, or into more unmapped ones than are told apart.
const ELSEWHERE: &str = "(no VMA)";
/// Unmapped VMAs that get a row of their own.
const MAX_UNMAPPED: usize = 64;

/// One VMA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VmaFaults {
    /// First byte, as hex text.
    pub start: String,
    /// First byte after it, as hex text.
    pub end: String,
    /// `rwxp`, as in `/proc/PID/maps`.
    pub perms: String,
    /// File, `[heap]`, `[stack]`; empty for anonymous memory.
    pub name: String,
    /// Size in kB.
    pub size_kb: u64,
    /// Resident in kB; the zero page does not count.
    pub rss_kb: u64,
    /// Mapped to the zero page, in kB.
    pub zero_kb: u64,
    /// Guest faults.
    pub faults: u64,
    /// Guest faults by kind.
    pub by_kind: BTreeMap<String, u64>,
}

/// When the map that [`faults`] shows was taken; `None` if there is none.
pub(super) fn moment(run: &RunFile) -> Result<Option<String>, RunFileError> {
    run.query(|conn| {
        let sql = "SELECT moment FROM counter_snapshot WHERE kind = 'mm' ORDER BY moment = 'exit' DESC, record DESC";
        conn.query_row(sql, [], |row| row.get(0)).optional()
    })
}

/// The map at the exit of the program (or the last one seen), each VMA with its faults; then the VMAs that were
/// unmapped before; last a row for the faults in no VMA.
pub(super) fn faults(run: &RunFile) -> Result<Vec<VmaFaults>, RunFileError> {
    let mut map = last_map(run)?;
    let mut unmapped: BTreeMap<u64, VmaFaults> = BTreeMap::new();
    let mut elsewhere = VmaFaults { name: ELSEWHERE.into(), ..Default::default() };
    run.query(|conn| {
        let mut rows = conn.prepare("SELECT gva, vma_start, kind FROM raw_guest_fault")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (gva, start) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
            let vma = match map.range_mut(..=gva).next_back() {
                Some((_, (end, vma))) if gva < *end => vma,
                _ if start != 0 && (unmapped.len() < MAX_UNMAPPED || unmapped.contains_key(&start)) => {
                    unmapped.entry(start).or_default()
                }
                _ => &mut elsewhere,
            };
            vma.faults += 1;
            *vma.by_kind.entry(kind_name(row.get(2)?)).or_default() += 1;
        }
        Ok(())
    })?;
    let mut vmas: Vec<_> = map.into_values().map(|(_, vma)| vma).collect();
    for (start, vma) in unmapped {
        vmas.push(as_it_was_mapped(run, start, vma)?);
    }
    if elsewhere.faults > 0 {
        vmas.push(elsewhere);
    }
    Ok(vmas)
}

/// VMAs by their start, with their end.
fn last_map(run: &RunFile) -> Result<BTreeMap<u64, (u64, VmaFaults)>, RunFileError> {
    run.query(|conn| {
        let sql = "SELECT start, end, bits, (SELECT text FROM raw_string s WHERE s.id = v.name), rss, zero
            FROM raw_vma_snapshot v WHERE record =
              (SELECT record FROM raw_counter WHERE kind = ? ORDER BY moment = ? DESC, record DESC LIMIT 1)";
        conn.prepare(sql)?
            .query_map([SnapshotKind::Mm.0, Moment::Exit.0], |row| {
                let (start, end) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
                let vma = VmaFaults {
                    start: format!("{start:#x}"),
                    end: format!("{end:#x}"),
                    perms: perms(VmFlags::from_bits_retain(row.get(2)?)),
                    name: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                    size_kb: end.saturating_sub(start) / 1024,
                    rss_kb: row.get::<_, u32>(4).map(u64::from)? * 4,
                    zero_kb: row.get::<_, u32>(5).map(u64::from)? * 4,
                    ..Default::default()
                };
                Ok((start, (end, vma)))
            })?
            .collect()
    })
}

/// Fills in what the VMA events say of a VMA that is gone.
fn as_it_was_mapped(run: &RunFile, start: u64, vma: VmaFaults) -> Result<VmaFaults, RunFileError> {
    let found: Option<(i64, u32, Option<String>)> = run.query(|conn| {
        let sql = "SELECT end, prot, (SELECT text FROM raw_string s WHERE s.id = v.file) FROM raw_vma_event v
            WHERE start = ? AND op <> ? ORDER BY id DESC LIMIT 1";
        conn.query_row(sql, (start.cast_signed(), VmaOp::Unmap.0), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
    })?;
    let (end, prot, file) = found.map_or((start, 0, None), |(end, prot, file)| (end.cast_unsigned(), prot, file));
    Ok(VmaFaults {
        start: format!("{start:#x}"),
        end: format!("{end:#x}"),
        // The three PROT bits are the three lowest bits of a VMA.
        perms: perms(VmFlags::from_bits_truncate(prot & 7)),
        name: file.map_or_else(|| "(unmapped)".into(), |file| format!("{file} (unmapped)")),
        size_kb: end.saturating_sub(start) / 1024,
        ..vma
    })
}

fn perms(bits: VmFlags) -> String {
    let show = |bit, yes, no| if bits.contains(bit) { yes } else { no };
    [
        show(VmFlags::READ, 'r', '-'),
        show(VmFlags::WRITE, 'w', '-'),
        show(VmFlags::EXEC, 'x', '-'),
        show(VmFlags::SHARED, 's', 'p'),
    ]
    .iter()
    .collect()
}
