//! Giving frames back: references, and the mistakes that are caught instead of done.

use core::{fmt, panic::Location};

use pagelab_abi::{
    code::{FrameOp, MigrateType, Owner, Zone as ZoneCode},
    event,
    vmstat::Counter,
};

use super::{MAX_ORDER, Page, PageState, owner_index};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::Trace,
};

/// Why frames were not given back, or not referenced. The allocator is as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FreeError {
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

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("no zone has this frame"),
            Self::Reserved => f.write_str("the frame was never given to the allocator"),
            Self::DoubleFree => f.write_str("the frame is already free"),
            Self::NotHead { head } => write!(f, "the frame is inside the block that begins at frame {}", head.0),
            Self::WrongOrder { allocated } => write!(f, "the block was allocated with order {allocated}"),
            Self::Mapped { mapcount } => write!(f, "{mapcount} page-table entries still map the frame"),
            Self::Referenced { refcount } => write!(f, "{refcount} references to the frame are held"),
        }
    }
}

impl core::error::Error for FreeError {}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Gives a block back whose only reference is the caller's.
    #[inline]
    #[track_caller]
    pub fn free_frames(&mut self, pfn: Pfn, order: u8) -> Result<(), FreeError> {
        let page = self.used_page(pfn)?;
        if page.order != order {
            return Err(FreeError::WrongOrder { allocated: page.order });
        }
        if page.refcount != 1 {
            return Err(FreeError::Referenced { refcount: page.refcount });
        }
        self.release(pfn, page, Location::caller())
    }

    /// Takes one more reference to an allocated block. Fails only for what is not an allocated block's first frame.
    #[inline]
    pub fn get_frame(&mut self, pfn: Pfn) -> Result<(), FreeError> {
        self.used_page(pfn)?;
        self.machine.pages_mut()[pfn.index()].refcount += 1;
        Ok(())
    }

    /// Drops a reference; the last one gives the block back. Returns whether it was the last.
    #[inline]
    #[track_caller]
    pub fn put_frame(&mut self, pfn: Pfn) -> Result<bool, FreeError> {
        let page = self.used_page(pfn)?;
        if page.refcount > 1 {
            self.machine.pages_mut()[pfn.index()].refcount = page.refcount - 1;
            return Ok(false);
        }
        self.release(pfn, page, Location::caller())?;
        Ok(true)
    }

    /// The `Page` of an allocated block's first frame, or what the frame is instead.
    #[inline]
    fn used_page(&self, pfn: Pfn) -> Result<Page, FreeError> {
        let pages = self.machine.pages();
        if self.frames.zone_of(pfn).is_none() {
            return Err(FreeError::Foreign);
        }
        match pages.get(pfn.index()) {
            Some(page) if page.state == PageState::USED => Ok(*page),
            _ => Err(diagnose(pages, pfn)),
        }
    }

    #[inline]
    fn release(&mut self, pfn: Pfn, page: Page, call_site: &'static Location<'static>) -> Result<(), FreeError> {
        if page.mapcount > 0 {
            return Err(FreeError::Mapped { mapcount: page.mapcount });
        }
        match page.order {
            0 => self.release_single(pfn, page.owner, call_site),
            order => self.release_block(pfn, order, page.owner, call_site),
        }
        Ok(())
    }

    /// A compiled copy for order 0, the one that faults and unmapping take.
    #[inline(never)]
    fn release_single(&mut self, pfn: Pfn, owner: Owner, call_site: &'static Location<'static>) {
        self.release_block(pfn, 0, owner, call_site);
    }

    #[inline(always)]
    fn release_block(&mut self, pfn: Pfn, order: u8, owner: Owner, call_site: &'static Location<'static>) {
        let zone = super::zone_index(pfn.0);
        self.frames.zones[zone].put(self.machine.pages_mut(), pfn.0, order);
        self.frames.zones[zone].owned[owner_index(owner)] -= 1 << order;
        self.stats.add(Counter::Pgfree, 1 << order);
        let event = event::Frame {
            pfn: pfn.0,
            frames: 1 << order,
            op: FrameOp::Free,
            order,
            zone: ZoneCode(zone as u8),
            migratetype: MigrateType::Unmovable,
            owner,
            padding: [0; 3],
            gfp: 0,
            call_site: 0,
            reserved: [0; 2],
        };
        self.trace.frame(event, call_site);
    }
}

/// Says what a frame is that does not head an allocated block, by looking for the block that holds it.
#[cold]
fn diagnose(pages: &[Page], pfn: Pfn) -> FreeError {
    for order in 0..=MAX_ORDER {
        let head = pfn.0 & !((1u32 << order) - 1);
        match pages.get(head as usize) {
            Some(page) if page.order < order => {}
            Some(page) if page.state == PageState::FREE => return FreeError::DoubleFree,
            Some(page) if page.state == PageState::USED => return FreeError::NotHead { head: Pfn(head) },
            _ => {}
        }
    }
    FreeError::Reserved
}
