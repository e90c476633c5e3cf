//! Giving frames back, and references to them.

use core::panic::Location;

use pagelab_abi::{
    code::{FrameOp, MigrateType, Owner},
    event,
    vmstat::Counter,
};

use super::{FreeError, LOCAL_CPU, Mistake, Page, PageState, owner_index};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    trace::{CallSite, Trace},
};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Gives a block back whose only reference is the caller's.
    ///
    /// # Errors
    /// Everything else: see [`Mistake`].
    #[inline]
    #[track_caller]
    pub fn free_frames(&mut self, pfn: Pfn, order: u8) -> Result<(), FreeError> {
        let call_site = Location::caller();
        let Some(page) = self.used_page(pfn) else {
            return Err(self.diagnose(pfn, Some(order), CallSite::of(call_site)));
        };
        if page.order != order {
            let mistake = Mistake::WrongOrder { allocated: page.order };
            return Err(self.mistake(mistake, pfn, order, CallSite::of(call_site)));
        }
        if page.refcount != 1 {
            let mistake = Mistake::Referenced { refcount: page.refcount };
            return Err(self.mistake(mistake, pfn, order, CallSite::of(call_site)));
        }
        self.release(pfn, page, call_site)
    }

    /// Takes one more reference to an allocated block.
    ///
    /// # Errors
    /// What is not an allocated block's first frame.
    #[inline]
    #[track_caller]
    pub fn get_frame(&mut self, pfn: Pfn) -> Result<(), FreeError> {
        match self.machine.pages_mut().get_mut(pfn.index()) {
            Some(page) if page.state == PageState::USED => {
                page.refcount += 1;
                Ok(())
            }
            _ => Err(self.diagnose(pfn, None, CallSite::of(Location::caller()))),
        }
    }

    /// Drops a reference; the last one gives the block back. Returns whether it was the last.
    ///
    /// # Errors
    /// What is not an allocated block's first frame, and the last reference of what is mapped.
    #[inline]
    #[track_caller]
    pub fn put_frame(&mut self, pfn: Pfn) -> Result<bool, FreeError> {
        let call_site = Location::caller();
        let Some(page) = self.used_page(pfn) else {
            return Err(self.diagnose(pfn, None, CallSite::of(call_site)));
        };
        if page.refcount > 1 {
            self.machine.pages_mut()[pfn.index()].refcount = page.refcount - 1;
            return Ok(false);
        }
        self.release(pfn, page, call_site)?;
        Ok(true)
    }

    /// The `Page` of an allocated block's first frame.
    #[inline]
    fn used_page(&self, pfn: Pfn) -> Option<Page> {
        self.machine.pages().get(pfn.index()).filter(|page| page.state == PageState::USED).copied()
    }

    #[inline]
    fn release(&mut self, pfn: Pfn, page: Page, call_site: &'static Location<'static>) -> Result<(), FreeError> {
        if page.mapcount > 0 {
            let mistake = Mistake::Mapped { mapcount: page.mapcount };
            return Err(self.mistake(mistake, pfn, page.order, CallSite::of(call_site)));
        }
        match page.order {
            0 => self.release_single(pfn, page.owner, page.zone, call_site),
            order => self.release_block(pfn, order, page.owner, page.zone, call_site),
        }
        Ok(())
    }

    /// A compiled copy for order 0, the one that faults and unmapping take.
    #[inline(never)]
    fn release_single(&mut self, pfn: Pfn, owner: Owner, zone: u8, call_site: &'static Location<'static>) {
        self.release_block(pfn, 0, owner, zone, call_site);
    }

    #[inline(always)]
    fn release_block(&mut self, pfn: Pfn, order: u8, owner: Owner, zone: u8, call_site: &'static Location<'static>) {
        self.machine.pages_mut()[pfn.index()].site = CallSite::of(call_site);
        let zone = &mut self.frames.zones[usize::from(zone)];
        zone.owned[owner_index(owner)] -= 1 << order;
        zone.put(&mut self.machine, LOCAL_CPU, pfn.0, order);
        self.stats.add(Counter::Pgfree, 1 << order);
        let event = event::Frame {
            pfn: pfn.0,
            frames: 1 << order,
            op: FrameOp::Free,
            order,
            zone: zone.code,
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
