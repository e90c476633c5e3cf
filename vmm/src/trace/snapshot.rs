//! Binary snapshots of the guest into rows: counters, VMAs and the texts of `/proc`.

use pagelab_abi::{
    code::SnapshotKind,
    snapshot::{AreaFlags, CacheEntry, MemHeader, MissingSyscall, MmHeader, VmaEntry, VmallocEntry, ZoneEntry},
    vmstat,
};

use pagelab_mm::text::{self, Names, Sink};
use rusqlite::{Connection, params};
use zerocopy::FromBytes;

/// Longest text that is kept of one snapshot, in bytes.
const MAX_TEXT: usize = 32 << 20;

/// Where a snapshot comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    /// Position in the stream of the record that announced it.
    pub(super) record: i64,
    /// Its TSC.
    pub(super) tsc: u64,
    /// The process.
    pub(super) pid: u32,
    /// Its [`pagelab_abi::code::Moment`], as the guest gave it.
    pub(super) moment: u8,
}

/// What must wait for another snapshot: `/proc/vmstat` is made of two.
#[derive(Default)]
pub(super) struct Halves {
    memory: Option<(u8, MemHeader, Vec<ZoneEntry>)>,
    vmstat: Option<(u8, Vec<u64>)>,
}

/// Writes the rows of one snapshot. `name` finds the guest's strings. Answers whether the snapshot was as long as it
/// says it is, and of a known kind.
pub(super) fn store(
    conn: &Connection,
    origin: Origin,
    kind: SnapshotKind,
    bytes: &[u8],
    name: &Names<'_>,
    halves: &mut Halves,
) -> rusqlite::Result<bool> {
    let rows = Rows { conn, origin, kind };
    match kind {
        SnapshotKind::Mm => rows.mm(bytes, name),
        SnapshotKind::Memory => rows.memory(bytes, halves),
        SnapshotKind::VmStat => rows.vmstat(bytes, halves),
        SnapshotKind::MissingSyscalls => rows.missing_syscalls(bytes),
        SnapshotKind::Slab => rows.slab(bytes),
        SnapshotKind::Vmalloc => rows.vmalloc(bytes, name),
        _ => Ok(false),
    }
}

struct Rows<'a> {
    conn: &'a Connection,
    origin: Origin,
    kind: SnapshotKind,
}

impl Rows<'_> {
    fn mm(&self, bytes: &[u8], name: &Names<'_>) -> rusqlite::Result<bool> {
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
        self.text("maps", |w| text::maps(w, &vmas, name))?;
        self.text("smaps", |w| text::smaps(w, &vmas, name))?;
        self.text("status", |w| text::status(w, &header, None))?;
        Ok(vmas.len() == header.vma_count as usize)
    }

    fn memory(&self, bytes: &[u8], halves: &mut Halves) -> rusqlite::Result<bool> {
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
            ("slab_reclaimable", header.slab_reclaimable),
            ("vmalloc", header.vmalloc),
            ("highmem", header.highmem),
            ("highmem_free", header.highmem_free),
            ("pcp", zones.iter().fold(0, |sum, zone| sum.wrapping_add(zone.pcp_count.into()))),
            ("zones_managed", zones.iter().fold(0, |sum, zone| sum.wrapping_add(zone.managed))),
            ("zones_free", zones.iter().fold(0, |sum, zone| sum.wrapping_add(zone.free))),
            ("blocks_free", in_blocks),
        ])?;
        self.text("meminfo", |w| text::meminfo(w, &header, &zones))?;
        self.text("buddyinfo", |w| text::buddyinfo(w, &zones))?;
        self.text("zoneinfo", |w| text::zoneinfo(w, &header, &zones))?;
        self.text("pagetypeinfo", |w| text::pagetypeinfo(w, &zones))?;
        let whole = zones.len() == header.zone_count as usize;
        halves.memory = Some((self.origin.moment, header, zones));
        self.joined_vmstat(halves)?;
        Ok(whole)
    }

    fn vmstat(&self, bytes: &[u8], halves: &mut Halves) -> rusqlite::Result<bool> {
        let values: Vec<u64> = entries(bytes, vmstat::COUNT as u32);
        let named: Vec<_> = vmstat::NAMES.iter().copied().zip(values.iter().copied()).collect();
        self.counters(&named)?;
        halves.vmstat = Some((self.origin.moment, values));
        self.joined_vmstat(halves)?;
        Ok(bytes.len() == vmstat::COUNT * size_of::<u64>())
    }

    /// Renders `/proc/vmstat` once both of its halves of one moment are there.
    fn joined_vmstat(&self, halves: &mut Halves) -> rusqlite::Result<()> {
        let (Some((memory_moment, ..)), Some((vmstat_moment, _))) = (&halves.memory, &halves.vmstat) else {
            return Ok(());
        };
        if memory_moment != vmstat_moment {
            return Ok(());
        }
        match (halves.memory.take(), halves.vmstat.take()) {
            (Some((_, memory, zones)), Some((_, counters))) => {
                self.text("vmstat", |w| text::vmstat(w, &memory, &zones, &counters))
            }
            _ => Ok(()),
        }
    }

    fn slab(&self, bytes: &[u8]) -> rusqlite::Result<bool> {
        let caches: Vec<CacheEntry> = entries(bytes, u32::MAX);
        let frames = caches
            .iter()
            .fold(0u64, |sum, cache| sum.wrapping_add(cache.slabs.wrapping_mul(cache.pages_per_slab.into())));
        let active = caches.iter().fold(0u64, |sum, cache| sum.wrapping_add(cache.active_objects));
        self.counters(&[("slab_frames", frames), ("slab_objects", active)])?;
        self.text("slabinfo", |w| text::slabinfo(w, caches))?;
        Ok(bytes.len().is_multiple_of(size_of::<CacheEntry>()))
    }

    fn vmalloc(&self, bytes: &[u8], name: &Names<'_>) -> rusqlite::Result<bool> {
        let areas: Vec<VmallocEntry> = entries(bytes, u32::MAX);
        let own = areas.iter().filter(|area| area.flags & AreaFlags::ALLOC.bits() != 0);
        let pages = own.fold(0u64, |sum, area| sum.wrapping_add(area.pages.into()));
        self.counters(&[("vmalloc_areas", areas.len() as u64), ("vmalloc_pages", pages)])?;
        self.text("vmallocinfo", |w| {
            areas.iter().try_for_each(|area| {
                let caller = name(area.caller).and_then(|name| std::str::from_utf8(name).ok());
                text::vmallocinfo(w, area, caller.map(text::Caller::Name))
            })
        })?;
        Ok(bytes.len().is_multiple_of(size_of::<VmallocEntry>()))
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

    fn text(&self, name: &str, render: impl FnOnce(&mut dyn Sink) -> std::fmt::Result) -> rusqlite::Result<()> {
        let mut text = BoundedText::default();
        // A text that meets its bound is kept as far as it goes.
        let _ = render(&mut text);
        let Origin { record, tsc, pid, moment } = self.origin;
        self.conn.prepare_cached("INSERT INTO raw_snapshot VALUES (NULL, ?, ?, ?, ?, ?, ?)")?.execute(params![
            record,
            tsc.cast_signed(),
            pid,
            moment,
            name,
            text.0
        ])?;
        Ok(())
    }
}

/// A text that refuses to grow beyond [`MAX_TEXT`].
#[derive(Default)]
struct BoundedText(String);

impl std::fmt::Write for BoundedText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_TEXT {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// At most `count` structures from the front of `bytes`; fewer if the bytes end before.
fn entries<T: FromBytes>(bytes: &[u8], count: u32) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).take(count as usize).filter_map(|chunk| T::read_from_bytes(chunk).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::schema;

    proptest! {
        #[test]
        fn any_bytes_are_stored(snapshots in proptest::collection::vec(
            (0u8..8, proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xff)], 0..1200)), 1..6))
        {
            let conn = Connection::open_in_memory().expect("memory");
            schema::create(&conn).expect("the schema is valid");
            let mut halves = Halves::default();
            for (record, (kind, bytes)) in (1..).zip(snapshots) {
                let origin = Origin { record, tsc: u64::MAX, pid: 1, moment: 2 };
                store(&conn, origin, SnapshotKind(kind), &bytes, &|_| Some(b"name"), &mut halves).expect("rows");
            }
        }
    }
}
