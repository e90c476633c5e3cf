//! Joins both streams once a run has ended: each host fault gets the owner of its frame at that time and the guest
//! fault it happened in.
//!
//! Guest records reach the host in batches, later than the host's own faults, so the join waits for the end. It
//! sweeps frame events, guest faults and host faults in the order of their times and keeps only the owners of the
//! moment, as ranges: its memory grows with the host faults and the blocks in use, not with the events.

use std::collections::{BTreeMap, HashMap};

use pagelab_abi::{
    code::{FrameOp, Owner, SlabOp},
    layout,
};
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};

use super::schema::{OWNER_OUTSIDE_RAM, OWNER_TRACE_WINDOW, OWNER_UNKNOWN};

/// Owners whose frames are slabs of a cache.
const IN_CACHES: [u16; 2] = [Owner::Slab.0 as u16, Owner::PageCacheNode.0 as u16];

/// Fills in `owner`, the event that names it, `cache` and `guest_fault_id` of every host fault.
pub(super) fn join(conn: &Connection) -> rusqlite::Result<()> {
    let ram = conn
        .query_row("SELECT value FROM raw_run WHERE key = 'guest_memory_bytes'", [], |row| row.get::<_, i64>(0))
        .optional()
        .unwrap_or_default()
        .map(i64::cast_unsigned);
    let told = conn.query_row("SELECT EXISTS(SELECT 1 FROM raw_frame_event)", [], |row| row.get(0))?;
    let mut owners = Owners { told, ram, first: first_announced(conn)?, now: Ranges::default() };
    let mut caches = Ranges::default();
    let mut nesting = Nesting::default();

    let mut hosts = conn.prepare("SELECT id, vcpu, tsc_begin, gpa FROM raw_host_fault ORDER BY tsc_begin, id")?;
    let mut frames = conn.prepare("SELECT tsc, pfn, frames, op, owner, id FROM raw_frame_event ORDER BY tsc, id")?;
    let mut slabs =
        conn.prepare("SELECT tsc, address, bytes_allocated, cache FROM raw_slab_event WHERE op = ? ORDER BY tsc, id")?;
    let mut faults = conn.prepare("SELECT tsc_begin, tsc_end, vcpu, id FROM raw_guest_fault ORDER BY tsc_begin, id")?;
    let mut frames = Ahead::new(frames.query([])?, FrameRow::read)?;
    let mut slabs = Ahead::new(slabs.query([SlabOp::Grow.0])?, SlabRow::read)?;
    let mut faults = Ahead::new(faults.query([])?, FaultRow::read)?;

    let mut joined = Vec::new();
    let mut hosts = hosts.query([])?;
    while let Some(row) = hosts.next()? {
        let (id, vcpu, tsc): (i64, Option<u16>, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let gpa = row.get::<_, i64>(3)?.cast_unsigned();
        while let Some(frame) = frames.next_until(|frame| frame.tsc <= tsc)? {
            owners.now.set(frame.start, frame.end, frame.taken);
        }
        while let Some(slab) = slabs.next_until(|slab| slab.tsc <= tsc)? {
            caches.set(slab.start, slab.end, slab.cache);
        }
        while let Some(fault) = faults.next_until(|fault| fault.begin <= tsc)? {
            nesting.begin(fault);
        }
        let taken = owners.of(gpa);
        let cache = caches.get(gpa >> layout::PAGE_SHIFT).filter(|_| IN_CACHES.contains(&taken.owner));
        joined.push((id, taken, cache, vcpu.and_then(|vcpu| nesting.innermost(vcpu, tsc))));
    }
    let mut update = conn.prepare(
        "UPDATE raw_host_fault SET owner = ?2, frame_event_id = ?3, cache = ?4, guest_fault_id = ?5 WHERE id = ?1",
    )?;
    for (id, taken, cache, guest_fault) in joined {
        update.execute(params![id, taken.owner, taken.event, cache, guest_fault])?;
    }
    Ok(())
}

/// Owners by frame as they were announced first: for host faults from before the guest began to tell.
fn first_announced(conn: &Connection) -> rusqlite::Result<Ranges<Taken>> {
    let mut announced = Ranges::default();
    let mut rows =
        conn.prepare("SELECT tsc, pfn, frames, op, owner, id FROM raw_frame_event WHERE op = ? ORDER BY id DESC")?;
    let mut rows = rows.query([FrameOp::Announce.0])?;
    while let Some(row) = rows.next()? {
        let row = FrameRow::read(row)?;
        announced.set(row.start, row.end, row.taken);
    }
    Ok(announced)
}

/// Who has a frame, and the frame event that says so.
#[derive(Clone, Copy)]
struct Taken {
    owner: u16,
    event: Option<i64>,
}

struct FrameRow {
    tsc: i64,
    start: u64,
    end: u64,
    taken: Taken,
}

impl FrameRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (start, frames): (u32, u32) = (row.get(1)?, row.get(2)?);
        let freed = row.get::<_, u8>(3)? == FrameOp::Free.0;
        let owner = if freed { u16::from(Owner::None.0) } else { row.get(4)? };
        let taken = Taken { owner, event: row.get(5)? };
        Ok(FrameRow { tsc: row.get(0)?, start: start.into(), end: u64::from(start) + u64::from(frames), taken })
    }
}

/// A slab that a cache has taken.
struct SlabRow {
    tsc: i64,
    start: u64,
    end: u64,
    cache: i64,
}

impl SlabRow {
    /// The guest is not trusted: an address outside the direct map is of no frame, and no slab is larger than a block.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let address = row.get::<_, i64>(1)?.cast_unsigned();
        let frames = row.get::<_, u32>(2)? >> layout::PAGE_SHIFT;
        let start = address.wrapping_sub(layout::PAGE_OFFSET) >> layout::PAGE_SHIFT;
        Ok(SlabRow { tsc: row.get(0)?, start, end: start + u64::from(frames), cache: row.get(3)? })
    }
}

struct FaultRow {
    begin: i64,
    end: i64,
    vcpu: u16,
    id: i64,
}

impl FaultRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(FaultRow { begin: row.get(0)?, end: row.get(1)?, vcpu: row.get(2)?, id: row.get(3)? })
    }
}

/// Rows with a look at the next one.
struct Ahead<'a, T> {
    rows: Rows<'a>,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
    next: Option<T>,
}

impl<'a, T> Ahead<'a, T> {
    fn new(mut rows: Rows<'a>, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Self> {
        let next = rows.next()?.map(read).transpose()?;
        Ok(Ahead { rows, read, next })
    }

    fn next_until(&mut self, wanted: impl Fn(&T) -> bool) -> rusqlite::Result<Option<T>> {
        if !self.next.as_ref().is_some_and(wanted) {
            return Ok(None);
        }
        let following = self.rows.next()?.map(self.read).transpose()?;
        Ok(std::mem::replace(&mut self.next, following))
    }
}

/// Who owns which frame at the moment of the sweep.
struct Owners {
    /// Whether the guest told of its frames at all.
    told: bool,
    ram: Option<u64>,
    first: Ranges<Taken>,
    now: Ranges<Taken>,
}

impl Owners {
    fn of(&self, gpa: u64) -> Taken {
        let nobodys = |owner| Taken { owner, event: None };
        if self.told && gpa >= layout::TRACE_WINDOW_PHYS {
            return nobodys(OWNER_TRACE_WINDOW);
        }
        if self.ram.is_some_and(|ram| !is_ram(gpa, ram)) {
            return nobodys(OWNER_OUTSIDE_RAM);
        }
        if !self.told {
            return nobodys(OWNER_UNKNOWN);
        }
        let pfn = gpa >> layout::PAGE_SHIFT;
        self.now.get(pfn).or_else(|| self.first.get(pfn)).unwrap_or(nobodys(Owner::None.0.into()))
    }
}

/// Whether an address below the trace window is RAM of a guest with `ram` bytes.
pub(crate) fn is_ram(gpa: u64, ram: u64) -> bool {
    let low = ram.min(layout::MMIO_HOLE_START);
    gpa < low || (layout::MMIO_HOLE_END..layout::MMIO_HOLE_END + (ram - low)).contains(&gpa)
}

/// A map from ranges of frames to what is known of them. Later settings win.
struct Ranges<T>(BTreeMap<u64, (u64, T)>);

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Ranges(BTreeMap::new())
    }
}

impl<T: Copy> Ranges<T> {
    fn set(&mut self, start: u64, end: u64, owner: T) {
        if start >= end {
            return;
        }
        if let Some((&before, &(before_end, before_owner))) = self.0.range(..start).next_back()
            && before_end > start
        {
            self.0.insert(before, (start, before_owner));
            self.0.insert(start, (before_end, before_owner));
        }
        while let Some((&inner, &(inner_end, inner_owner))) = self.0.range(start..end).next() {
            self.0.remove(&inner);
            if inner_end > end {
                self.0.insert(end, (inner_end, inner_owner));
            }
        }
        self.0.insert(start, (end, owner));
    }

    fn get(&self, frame: u64) -> Option<T> {
        let (_, &(end, owner)) = self.0.range(..=frame).next_back()?;
        (frame < end).then_some(owner)
    }
}

/// The guest faults under way on each vCPU, outermost first.
#[derive(Default)]
struct Nesting(HashMap<u16, Vec<FaultRow>>);

impl Nesting {
    fn begin(&mut self, fault: FaultRow) {
        let open = self.0.entry(fault.vcpu).or_default();
        while open.last().is_some_and(|last| last.end < fault.begin) {
            open.pop();
        }
        open.push(fault);
    }

    fn innermost(&mut self, vcpu: u16, tsc: i64) -> Option<i64> {
        let open = self.0.get_mut(&vcpu)?;
        while open.last().is_some_and(|last| last.end < tsc) {
            open.pop();
        }
        open.last().map(|fault| fault.id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ram_has_a_hole() {
        let gib = 1 << 30;
        assert!(is_ram(0, gib) && !is_ram(gib, gib));
        assert!(is_ram(3 * gib - 1, 4 * gib) && !is_ram(3 * gib, 4 * gib));
        assert!(is_ram(4 * gib, 4 * gib) && !is_ram(5 * gib, 4 * gib));
    }

    #[test]
    fn the_innermost_open_fault_counts() {
        let mut nesting = Nesting::default();
        let fault = |begin, end, id| FaultRow { begin, end, vcpu: 0, id };
        nesting.begin(fault(10, 100, 1));
        nesting.begin(fault(20, 30, 2));
        assert_eq!(nesting.innermost(0, 25), Some(2));
        assert_eq!(nesting.innermost(0, 50), Some(1));
        assert_eq!(nesting.innermost(1, 50), None);
        assert_eq!(nesting.innermost(0, 101), None);
    }

    proptest! {
        #[test]
        fn ranges_are_a_map_of_frames(settings in proptest::collection::vec((0u64..50, 0u64..20, 0u16..5), 0..60)) {
            let mut ranges = Ranges::default();
            let mut model = [None; 80];
            for (start, length, owner) in settings {
                ranges.set(start, start + length, owner);
                model[start as usize..(start + length) as usize].fill(Some(owner));
            }
            for (frame, owner) in model.iter().enumerate() {
                prop_assert_eq!(ranges.get(frame as u64), *owner);
            }
        }
    }
}
