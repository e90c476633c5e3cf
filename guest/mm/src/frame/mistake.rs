//! What is said of frames that cannot be given back: which rule is broken, by whom, and who had the frame before.

use core::{fmt, panic::Location};

use pagelab_abi::{code::Owner, snapshot::ZONES};

use super::{Frames, MAX_ORDER, PageState, ZONE_CODES, store::Blocks};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::{CallSite, Trace},
};

/// A rule of giving back and referencing frames that a caller has broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// No zone has this frame.
    Foreign,
    /// The frame was reserved at boot, or is a hole in a zone: it never came from the allocator.
    Reserved,
    /// The frame is free already.
    DoubleFree,
    /// The frame is inside an allocated block, which begins elsewhere.
    NotHead {
        /// First frame of that block.
        head: Pfn,
    },
    /// The block has another order.
    WrongOrder {
        /// The order it was allocated with.
        allocated: u8,
    },
    /// Page tables still map it.
    Mapped {
        /// By so many entries.
        mapcount: u32,
    },
    /// Others still hold references.
    Referenced {
        /// References in all.
        refcount: u32,
    },
}

/// Why frames were not given back, or not referenced. The allocator is as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreeError {
    /// The broken rule.
    pub mistake: Mistake,
    /// The frame that was named.
    pub pfn: Pfn,
    /// The order that was named; that of the block where none was.
    pub order: u8,
    /// Who has the block that the frame is in; [`Owner::None`] if nobody.
    pub owner: Owner,
    /// The zone of that block: node * 5 + the zone's index in the node. `None` if no zone has the frame.
    pub zone: Option<u8>,
    /// Who took that block, or gave it back before. Of a free frame it is the last who gave back a block that began
    /// there.
    pub first: CallSite,
    /// Who made the mistake.
    pub caller: CallSite,
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {:#x}", self.pfn.0)?;
        match self.mistake {
            Mistake::Foreign => f.write_str(" is of no zone"),
            Mistake::Reserved => f.write_str(" was never given to the allocator"),
            Mistake::DoubleFree => f.write_str(" is already free"),
            Mistake::NotHead { head } => write!(f, " is inside the block that begins at frame {:#x}", head.0),
            Mistake::WrongOrder { allocated } => {
                write!(f, " was allocated with order {allocated} and is given back with order {}", self.order)
            }
            Mistake::Mapped { mapcount } => write!(f, " is still mapped by {mapcount} page-table entries"),
            Mistake::Referenced { refcount } => write!(f, " has {refcount} references"),
        }
    }
}

impl core::error::Error for FreeError {}

/// A mistake with its places, as text: frame, rule, zone, order, owner, and both call sites.
pub struct MistakeReport<'a, T> {
    error: FreeError,
    trace: &'a T,
}

impl<T: Trace> fmt::Display for MistakeReport<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FreeError { order, owner, zone, first, caller, .. } = self.error;
        write!(f, "{}; order {order}", self.error)?;
        if let Some(zone) = zone.map(usize::from) {
            write!(f, ", node {} zone {:?}", zone / ZONES, ZONE_CODES[zone % ZONES])?;
        }
        if owner != Owner::None {
            write!(f, ", owner {owner:?}")?;
        }
        let verb = if owner == Owner::None { "freed before" } else { "allocated" };
        write!(f, "; called from {}", Place(self.trace.location(caller)))?;
        if first != CallSite::UNKNOWN {
            write!(f, ", {verb} at {}", Place(self.trace.location(first)))?;
        }
        Ok(())
    }
}

/// `file:line`.
struct Place(Option<&'static Location<'static>>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(location) => write!(f, "{}:{}", location.file(), location.line()),
            None => f.write_str("an unknown place"),
        }
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// What is to be said of a mistake.
    pub fn describe(&self, error: FreeError) -> MistakeReport<'_, T> {
        MistakeReport { error, trace: &self.trace }
    }

    /// Describes what is wrong with a block that is in use.
    #[cold]
    #[inline(never)]
    pub(super) fn mistake(&self, mistake: Mistake, pfn: Pfn, order: u8, caller: CallSite) -> FreeError {
        let page = &self.machine.pages()[pfn.index()];
        FreeError { mistake, pfn, order, owner: page.owner, zone: Some(page.zone), first: page.site, caller }
    }

    /// Says what a frame is that does not head an allocated block, by looking for the block that holds it.
    #[cold]
    #[inline(never)]
    pub(super) fn diagnose(&self, pfn: Pfn, order: Option<u8>, caller: CallSite) -> FreeError {
        let pages = self.machine.pages();
        let nothing = FreeError {
            mistake: Mistake::Foreign,
            pfn,
            order: order.unwrap_or(0),
            owner: Owner::None,
            zone: self.frames.zone_that_spans(pfn),
            first: CallSite::UNKNOWN,
            caller,
        };
        if nothing.zone.is_none() {
            return nothing;
        }
        if self.frames.bitmap_has(&self.machine, pfn) {
            return FreeError { mistake: Mistake::DoubleFree, first: pages[pfn.index()].site, ..nothing };
        }
        for level in 0..=MAX_ORDER {
            let head = pfn.0 & !((1u32 << level) - 1);
            let Some(page) = pages.get(head as usize).filter(|page| page.order >= level) else { continue };
            let order = order.unwrap_or(page.order);
            let found = FreeError { order, owner: page.owner, zone: Some(page.zone), ..nothing };
            let own = pages[pfn.index()].site;
            match page.state {
                PageState::FREE | PageState::PCP => {
                    let first = if own == CallSite::UNKNOWN { page.site } else { own };
                    return FreeError { mistake: Mistake::DoubleFree, owner: Owner::None, first, ..found };
                }
                PageState::USED => {
                    let mistake = Mistake::NotHead { head: Pfn(head) };
                    return FreeError { mistake, first: page.site, ..found };
                }
                _ => {}
            }
        }
        FreeError { mistake: Mistake::Reserved, ..nothing }
    }
}

impl Frames {
    /// Whether the frame is free in a zone's bitmap.
    fn bitmap_has<M: Machine>(&self, machine: &M, pfn: Pfn) -> bool {
        self.populated.iter().any(|id| {
            let zone = &self.zones[id];
            let Blocks::Bitmap(bitmap) = &zone.blocks else { return false };
            zone.spans(pfn.0) && bitmap.is_free(machine, pfn.0)
        })
    }

    /// The zone between whose first and last frame this one is.
    fn zone_that_spans(&self, pfn: Pfn) -> Option<u8> {
        self.populated.iter().find(|&id| self.zones[id].spans(pfn.0)).map(|id| id as u8)
    }
}
