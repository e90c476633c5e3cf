//! Physical memory: the `Page` array, nodes with their zones, and the allocator of each zone's frames.
//!
//! ```text
//!   node 0                                   node 1 (nearer or farther by the distances)
//!   +-----+-------+--------+---------+---------+
//!   | DMA | DMA32 | Normal | HighMem | Movable |   zones by address; a node has those that its RAM reaches
//!   +-----+-------+--------+---------+---------+
//!      |
//!      +-- watermarks min, low, high; lowmem reserve; frames by owner
//!      +-- pcp: each CPU's single free frames, by migrate type
//!      +-- blocks: buddy (free lists [migrate type][order 0..10], linked through the Page array) or bitmap
//! ```
//!
//! A request names an order, [`Gfp`] flags and an owner. The flags say the highest zone and the migrate type; the
//! zones are looked at from there down, on the request's node first. What a zone keeps from whom:
//!
//! | request | zone keeps |
//! | --- | --- |
//! | any, first attempt | low watermark + lowmem reserve |
//! | `KERNEL`, `USER` ... | min + lowmem reserve |
//! | `HIGH` with `DIRECT_RECLAIM` | min / 2 + lowmem reserve |
//! | `ATOMIC` | 3/8 of min + lowmem reserve |
//! | `MEMALLOC`, `NOFAIL` | nothing |
//!
//! There is no reclaim, so a request that finds all zones at their marks fails, also with [`Gfp::NOFAIL`] when not one
//! frame is left: the caller gets [`OutOfMemory`], and the kernel ends the program with Linux's report of memory.
//!
//! Rules, which [`Frames::check`] verifies:
//! - a frame is in at most one block; blocks are aligned to their size and lie in one zone;
//! - two free buddies are always joined; a free block is in the list of its pageblock's type;
//! - free + handed out = managed, in each zone and over all owners;
//! - only the first frame of a block says what the block is; the others are [`PageState::TAIL`].
//!
//! A broken rule on the caller's side is a [`FreeError`] with both call sites, in release builds too, and changes
//! nothing.
//!
//! Where to look: `config` and `init` for how RAM becomes zones, `zonelist` and `alloc` for who gets what, `watermark` for
//! the marks, `address` for the calls that name frames by address, `pcp` for single frames, `store` for the seam to
//! `buddy` and `bitmap`, `steal` and `high_atomic` for migrate types, `mistake` and `free` for the way back.

mod address;
mod alloc;
mod bitmap;
mod buddy;
mod check;
mod config;
mod fragmentation;
mod free;
mod gfp;
mod high_atomic;
mod init;
mod mistake;
mod page;
mod pageblock;
mod pcp;
mod steal;
mod store;
mod watermark;
mod zone;
mod zonelist;

use core::fmt;

use pagelab_abi::{
    boot::MAX_NODES,
    code::{Owner, Zone as ZoneCode},
    layout::PAGE_SHIFT,
    snapshot::{MemHeader, ORDERS, OWNERS, ZONES, ZoneEntry},
};

pub use check::Inconsistency;
pub use config::{FramesConfig, highmem_start};
pub use fragmentation::{extfrag_index, unusable_free_index};
pub use gfp::Gfp;
pub use mistake::{FreeError, Mistake, MistakeReport};
pub use page::{Page, PageFlags, PageState};
pub use pageblock::PAGEBLOCK_ORDER;

use crate::machine::{Machine, Pfn};
use pageblock::MOVABLE;
use zone::Zone;
use zonelist::ZoneList;

/// Largest order of a block: 1024 frames, 4 MiB.
pub const MAX_ORDER: u8 = ORDERS as u8 - 1;
/// First frame of zone DMA32.
const DMA_END: u32 = 1 << (24 - PAGE_SHIFT);
/// First frame of zone Normal.
const DMA32_END: u32 = 1 << (32 - PAGE_SHIFT);
/// Indices of zones in a node, in the order of fallback.
const ZONE_DMA: usize = 0;
const ZONE_DMA32: usize = 1;
const ZONE_NORMAL: usize = 2;
const ZONE_HIGHMEM: usize = 3;
const ZONE_MOVABLE: usize = 4;
/// The zones' codes by their index.
const ZONE_CODES: [ZoneCode; ZONES] =
    [ZoneCode::Dma, ZoneCode::Dma32, ZoneCode::Normal, ZoneCode::HighMem, ZoneCode::Movable];
/// Zones of all nodes. A zone's number is its node's times [`ZONES`], plus its index.
const ALL_ZONES: usize = MAX_NODES * ZONES;
/// The one CPU.
const LOCAL_CPU: usize = 0;
/// Its node.
const LOCAL_NODE: usize = 0;

/// The zones of all nodes and their free frames.
#[derive(Clone, Debug)]
pub struct Frames {
    zones: [Zone; ALL_ZONES],
    /// The zones that have RAM.
    populated: ZoneList,
    /// What a request looks at, by node.
    lists: [ZoneList; MAX_NODES],
    /// The first zone that a request looks at, by node and the highest zone it may use.
    first: [[u8; ZONES]; MAX_NODES],
    /// Frames given to the allocator.
    managed: u64,
    /// First frame that the direct map leaves out.
    highmem_start: u32,
    /// Whether migrate types are kept apart. If not, everything is Movable.
    grouping: bool,
}

impl Frames {
    /// No zones yet.
    pub fn new() -> Self {
        Frames {
            zones: core::array::from_fn(|_| Zone::default()),
            populated: ZoneList::default(),
            lists: [ZoneList::default(); MAX_NODES],
            first: [[0; ZONES]; MAX_NODES],
            managed: 0,
            highmem_start: u32::MAX,
            grouping: false,
        }
    }

    /// Free frames, those on the CPUs' lists among them.
    pub fn free(&self) -> u64 {
        self.populated.iter().map(|id| self.zones[id].free).sum()
    }

    /// Frames given to the allocator, free or not (MemTotal).
    pub fn managed(&self) -> u64 {
        self.managed
    }

    /// Frames of RAM, those reserved at boot included.
    pub fn present(&self) -> u64 {
        self.populated.iter().map(|id| self.zones[id].present).sum()
    }

    /// Frames handed out for this owner and not yet given back. Ranges reserved at boot do not count.
    pub fn owned(&self, owner: Owner) -> u64 {
        self.populated.iter().map(|id| u64::from(self.zones[id].owned[owner_index(owner)])).sum()
    }

    /// Whether the direct map leaves this frame out.
    #[inline]
    pub fn is_highmem(&self, pfn: Pfn) -> bool {
        pfn.0 >= self.highmem_start
    }

    /// Whether there are frames that the direct map leaves out.
    pub fn has_highmem(&self) -> bool {
        self.highmem_start != u32::MAX
    }

    /// Whether migrate types are kept apart in pageblocks of their own.
    pub fn groups_by_mobility(&self) -> bool {
        self.grouping
    }

    /// The zones that have RAM, by node, lowest first, for a snapshot.
    pub fn zone_entries<'a, M: Machine>(&'a self, machine: &'a M) -> impl Iterator<Item = ZoneEntry> + 'a {
        self.populated.iter().map(|id| self.zones[id].entry(machine))
    }

    /// What the allocator knows of a memory snapshot's header. Mapped, shared and committed pages are left 0.
    ///
    /// As in Linux, a private copy of a file page counts as anonymous and a page-cache node as slab.
    pub fn mem_header(&self) -> MemHeader {
        let highmem = || {
            let zones = self.populated.iter().map(|id| &self.zones[id]);
            zones.filter(|zone| self.is_highmem(Pfn(zone.start)))
        };
        MemHeader {
            zone_count: self.populated.iter().count() as u32,
            ram: self.present(),
            managed: self.managed(),
            free: self.populated.iter().map(|id| self.zones[id].free - self.zones[id].listed()).sum(),
            anon: self.owned(Owner::Anon) + self.owned(Owner::FileCow),
            file: self.owned(Owner::File) + self.owned(Owner::Shmem),
            shmem: self.owned(Owner::Shmem),
            slab: self.owned(Owner::Slab) + self.owned(Owner::PageCacheNode),
            page_tables: self.owned(Owner::PageTable),
            kernel_stack: self.owned(Owner::KernelStack),
            vmalloc: self.owned(Owner::Vmalloc),
            highmem: highmem().map(|zone| zone.managed).sum(),
            highmem_free: highmem().map(|zone| zone.free - zone.listed()).sum(),
            ..MemHeader::default()
        }
    }

    /// The migrate type that a request is met with.
    #[inline(always)]
    fn migrate_type(&self, gfp: Gfp) -> usize {
        if self.grouping { usize::from(gfp.migrate_type().0) } else { MOVABLE }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
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

/// Where an owner's count is. Codes that nobody defined share the slots of others rather than panic.
#[inline]
fn owner_index(owner: Owner) -> usize {
    usize::from(owner.0) % OWNERS
}
