//! Physical memory: the `Page` array, zones, and the buddy allocator of each zone.

mod alloc;
mod check;
mod free;
mod gfp;
mod init;
mod page;
mod watermark;
mod zone;

use core::fmt;

use pagelab_abi::{
    code::{Owner, Zone as ZoneCode},
    layout::PAGE_SHIFT,
    snapshot::{MemHeader, ORDERS, OWNERS, ZoneEntry},
};

pub use check::Inconsistency;
pub use free::FreeError;
pub use gfp::Gfp;
pub use page::{Page, PageState};

use crate::machine::Pfn;
use zone::Zone;

/// Largest order of a block: 1024 frames, 4 MiB.
pub const MAX_ORDER: u8 = ORDERS as u8 - 1;
/// First frame of zone DMA32.
const DMA_END: u32 = 1 << (24 - PAGE_SHIFT);
/// First frame of zone Normal.
const DMA32_END: u32 = 1 << (32 - PAGE_SHIFT);
/// Zones DMA, DMA32, Normal.
const ZONES: usize = 3;
// A block and its buddy are always in the same zone.
const _: () = assert!(DMA_END.is_multiple_of(1 << MAX_ORDER) && DMA32_END.is_multiple_of(1 << MAX_ORDER));

/// The zones and their free lists.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    zones: [Zone; ZONES],
    /// Highest zone that has frames: where a request that may go anywhere starts.
    highest: usize,
}

impl Frames {
    /// No zones yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Free frames.
    pub fn free(&self) -> u64 {
        self.zones.iter().map(|zone| zone.free).sum()
    }

    /// Frames given to the allocator, free or not (MemTotal).
    pub fn managed(&self) -> u64 {
        self.zones.iter().map(|zone| zone.managed).sum()
    }

    /// Frames of RAM, those reserved at boot included.
    pub fn present(&self) -> u64 {
        self.zones.iter().map(|zone| zone.present).sum()
    }

    /// Frames handed out for this owner and not yet given back. Ranges reserved at boot do not count.
    pub fn owned(&self, owner: Owner) -> u64 {
        self.zones.iter().map(|zone| zone.owned[owner_index(owner)]).sum()
    }

    /// The zones that have RAM, lowest first, for a snapshot.
    pub fn zone_entries(&self) -> impl Iterator<Item = ZoneEntry> + '_ {
        self.zones.iter().zip(ZoneCode::ALL).filter(|(zone, _)| zone.present > 0).map(|(zone, &code)| zone.entry(code))
    }

    /// What the allocator knows of a memory snapshot's header. Mapped, shared and committed pages are left 0.
    ///
    /// As in Linux, a private copy of a file page counts as anonymous and a page-cache node as slab.
    pub fn mem_header(&self) -> MemHeader {
        MemHeader {
            zone_count: self.zone_entries().count() as u32,
            ram: self.present(),
            managed: self.managed(),
            free: self.free(),
            anon: self.owned(Owner::Anon) + self.owned(Owner::FileCow),
            file: self.owned(Owner::File) + self.owned(Owner::Shmem),
            shmem: self.owned(Owner::Shmem),
            vmalloc: self.owned(Owner::Vmalloc),
            slab: self.owned(Owner::Slab) + self.owned(Owner::PageCacheNode),
            page_tables: self.owned(Owner::PageTable),
            kernel_stack: self.owned(Owner::KernelStack),
            ..MemHeader::default()
        }
    }

    /// The zone that spans this frame.
    fn zone_of(&self, pfn: Pfn) -> Option<usize> {
        let zone = zone_index(pfn.0);
        self.zones[zone].spans(pfn.0).then_some(zone)
    }
}

/// No frame could be found for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A request for frames that could not be met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Order of the block.
    pub order: u8,
    /// How it was asked for.
    pub gfp: Gfp,
    /// Who it was for.
    pub owner: Owner,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}

/// The zone a frame number belongs to, whether there is RAM or not.
#[inline]
fn zone_index(pfn: u32) -> usize {
    usize::from(pfn >= DMA_END) + usize::from(pfn >= DMA32_END)
}

/// Where an owner's count is. Codes that nobody defined share the slots of others rather than panic.
#[inline]
fn owner_index(owner: Owner) -> usize {
    usize::from(owner.0) % OWNERS
}
