//! Binary snapshots of the guest into rows: counters and VMAs.

use pagelab_abi::{
    code::SnapshotKind,
    snapshot::{MemHeader, MissingSyscall, MmHeader, VmaEntry, ZoneEntry},
    vmstat,
};

use rusqlite::{Connection, params};
use zerocopy::FromBytes;

/// Where a snapshot comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    /// Position in the stream of the record that announced it.
    pub(super) record: i64,
    /// The process.
    pub(super) pid: u32,
    /// Its [`pagelab_abi::code::Moment`], as the guest gave it.
    pub(super) moment: u8,
}

/// What a snapshot of the guest says, or why it says nothing.
pub(super) enum Stored {
    /// Everything was there.
    Whole,
    /// It is shorter than it says it is, or of an unknown kind.
    Malformed(String),
}

/// Writes the rows of one snapshot.
pub(super) fn store(conn: &Connection, origin: Origin, kind: SnapshotKind, bytes: &[u8]) -> rusqlite::Result<Stored> {
    let rows = Rows { conn, origin, kind };
    let whole = match kind {
        SnapshotKind::Mm => rows.mm(bytes)?,
        SnapshotKind::Memory => rows.memory(bytes)?,
        SnapshotKind::VmStat => rows.vmstat(bytes)?,
        SnapshotKind::MissingSyscalls => rows.missing_syscalls(bytes)?,
        _ => false,
    };
    Ok(if whole {
        Stored::Whole
    } else {
        Stored::Malformed(format!("a {kind:?} snapshot of {} bytes is malformed", bytes.len()))
    })
}

struct Rows<'a> {
    conn: &'a Connection,
    origin: Origin,
    kind: SnapshotKind,
}

impl Rows<'_> {
    fn mm(&self, bytes: &[u8]) -> rusqlite::Result<bool> {
        let Ok((header, rest)) = MmHeader::read_from_prefix(bytes) else { return Ok(false) };
        let vmas: Vec<VmaEntry> = entries(rest, header.vma_count);
        let MmHeader { peak_vm, total_vm, locked_vm, hiwater_rss, rss_anon, rss_file, rss_shmem, data_vm, .. } = header;
        let MmHeader { stack_vm, exec_vm, pgtables_bytes, swap, text_bytes, min_flt, maj_flt, .. } = header;
        self.counters(&[
            ("peak_vm", peak_vm),
            ("total_vm", total_vm),
            ("locked_vm", locked_vm),
            ("hiwater_rss", hiwater_rss),
            ("rss_anon", rss_anon),
            ("rss_file", rss_file),
            ("rss_shmem", rss_shmem),
            ("data_vm", data_vm),
            ("stack_vm", stack_vm),
            ("exec_vm", exec_vm),
            ("pgtables_bytes", pgtables_bytes),
            ("swap", swap),
            ("text_bytes", text_bytes),
            ("min_flt", min_flt),
            ("maj_flt", maj_flt),
        ])?;
        let mut insert =
            self.conn.prepare_cached("INSERT INTO raw_vma_snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        let Origin { record, moment, pid, .. } = self.origin;
        for vma in &vmas {
            let VmaEntry { start, end, bits, name, rss, anonymous, zero, swap, .. } = *vma;
            insert.execute(params![
                record,
                moment,
                pid,
                start.cast_signed(),
                end.cast_signed(),
                bits,
                name,
                rss,
                anonymous,
                zero,
                swap
            ])?;
        }
        Ok(vmas.len() == header.vma_count as usize)
    }

    fn memory(&self, bytes: &[u8]) -> rusqlite::Result<bool> {
        let Ok((header, rest)) = MemHeader::read_from_prefix(bytes) else { return Ok(false) };
        let zones: Vec<ZoneEntry> = entries(rest, header.zone_count);
        let MemHeader { ram, managed, free, anon, file, mapped, shmem, slab, page_tables, .. } = header;
        let free_blocks = zones.iter().flat_map(|zone| zone.free_blocks.iter().enumerate());
        let in_blocks =
            free_blocks.fold(0u64, |sum, (order, &blocks)| sum.wrapping_add(blocks.wrapping_shl(order as u32)));
        self.counters(&[
            ("ram", ram),
            ("managed", managed),
            ("free", free),
            ("anon", anon),
            ("file", file),
            ("mapped", mapped),
            ("shmem", shmem),
            ("slab", slab),
            ("page_tables", page_tables),
            ("kernel_stack", header.kernel_stack),
            ("committed", header.committed),
            ("zones_managed", zones.iter().fold(0, |sum, zone| sum.wrapping_add(zone.managed))),
            ("zones_free", zones.iter().fold(0, |sum, zone| sum.wrapping_add(zone.free))),
            ("blocks_free", in_blocks),
        ])?;
        Ok(zones.len() == header.zone_count as usize)
    }

    fn vmstat(&self, bytes: &[u8]) -> rusqlite::Result<bool> {
        let values: Vec<u64> = entries(bytes, vmstat::COUNT as u32);
        let named: Vec<_> = vmstat::NAMES.iter().copied().zip(values.iter().copied()).collect();
        self.counters(&named)?;
        Ok(bytes.len() == vmstat::COUNT * size_of::<u64>())
    }

    fn missing_syscalls(&self, bytes: &[u8]) -> rusqlite::Result<bool> {
        let mut insert = self.conn.prepare_cached("INSERT INTO raw_missing_syscall VALUES (?, ?, ?)")?;
        for call in entries::<MissingSyscall>(bytes, u32::MAX) {
            insert.execute(params![self.origin.record, call.number, call.count])?;
        }
        Ok(bytes.len().is_multiple_of(size_of::<MissingSyscall>()))
    }

    fn counters(&self, values: &[(&str, u64)]) -> rusqlite::Result<()> {
        let mut insert = self.conn.prepare_cached("INSERT INTO raw_counter VALUES (?, ?, ?, ?, ?, ?)")?;
        let Origin { record, moment, pid, .. } = self.origin;
        for (name, value) in values {
            insert.execute(params![record, moment, self.kind.0, pid, name, value.cast_signed()])?;
        }
        Ok(())
    }
}

/// At most `count` structures from the front of `bytes`; fewer if the bytes end before.
fn entries<T: FromBytes>(bytes: &[u8], count: u32) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).take(count as usize).filter_map(|chunk| T::read_from_bytes(chunk).ok()).collect()
}
