//! The zones as texts want them: all at once, in a table too large for the stack.

use pagelab_abi::{
    boot::MAX_NODES,
    snapshot::{ZONES, ZoneEntry},
};

use crate::{state::Mm, take_once::TakeOnce};

/// Most zones there are.
const ENTRIES: usize = MAX_NODES * ZONES;
const EMPTY: ZoneEntry = ZoneEntry {
    zone: pagelab_abi::code::Zone::Dma,
    node: 0,
    padding: [0; 6],
    start_pfn: 0,
    spanned: 0,
    present: 0,
    managed: 0,
    free: 0,
    watermark: [0; 3],
    lowmem_reserve: [0; ZONES],
    free_blocks: [0; pagelab_abi::snapshot::ORDERS],
    blocks_by_type: [[0; pagelab_abi::snapshot::ORDERS]; pagelab_abi::snapshot::MIGRATE_TYPES],
    pageblocks: [0; pagelab_abi::snapshot::MIGRATE_TYPES],
    owned: [0; pagelab_abi::snapshot::OWNERS],
    pcp_count: 0,
    pcp_high: 0,
    pcp_batch: 0,
    padding2: 0,
};
static TABLE: TakeOnce<[ZoneEntry; ENTRIES]> = TakeOnce::new([EMPTY; ENTRIES]);

/// The table.
pub(crate) struct ZoneTable(&'static mut [ZoneEntry; ENTRIES]);

impl ZoneTable {
    /// The one table there is.
    pub(crate) fn new() -> ZoneTable {
        ZoneTable(TABLE.take())
    }

    /// The zones that have memory, as they are now.
    pub(crate) fn of(&mut self, mm: &Mm) -> &[ZoneEntry] {
        let mut count = 0;
        for (place, zone) in self.0.iter_mut().zip(mm.frames.zone_entries(&mm.machine)) {
            *place = zone;
            count += 1;
        }
        &self.0[..count]
    }
}
