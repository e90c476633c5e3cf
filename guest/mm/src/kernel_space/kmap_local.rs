//! kmap_local: a frame of zone HighMem at a kernel address for a moment. What was mapped last is unmapped first.
//!
//! ```text
//! slot 0   | frame A |   mapped first, unmapped last
//! slot 1   | frame B |
//! slot 2   |         | <- depth: the next one goes here
//!  ...
//! ```
//!
//! A directly mapped frame takes no slot: it is where it always is.

use core::panic::Location;

use pagelab_abi::layout::{FIXMAP_SLOTS, KMAP_LOCAL_SLOTS, PAGE_OFFSET, PAGE_SIZE};

use super::{KmapError, Where, fixmap::slot_address};
use crate::{
    context::Context,
    machine::{Machine, Pfn},
    page_table::Pte,
    trace::{CallSite, Trace},
};

/// Slots there are.
const SLOTS: usize = KMAP_LOCAL_SLOTS as usize;

/// The stack of slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalSlots {
    /// Slots in use.
    depth: usize,
    /// Who uses each.
    sites: [CallSite; SLOTS],
}

impl LocalSlots {
    pub(super) const fn new() -> LocalSlots {
        LocalSlots { depth: 0, sites: [CallSite::UNKNOWN; SLOTS] }
    }
}

/// The address of a slot.
const fn address_of(slot: usize) -> u64 {
    slot_address(FIXMAP_SLOTS + slot as u64)
}

/// The slot at an address.
const fn slot_at(address: u64) -> Option<usize> {
    let (highest, lowest) = (address_of(0), address_of(SLOTS - 1));
    if address < lowest || address >= highest + PAGE_SIZE {
        return None;
    }
    Some(((highest + PAGE_SIZE - 1 - address) / PAGE_SIZE) as usize)
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// The address that a frame can be reached at until [`Context::kunmap_local`].
    ///
    /// # Errors
    /// All slots are in use: [`KmapError::NoSlot`]. Or there is no frame for the table of the slots, which is made on
    /// first use.
    #[inline]
    #[track_caller]
    pub fn kmap_local(&mut self, pfn: Pfn) -> Result<u64, KmapError> {
        if self.frames.is_highmem(pfn) { self.kmap_local_high(pfn) } else { Ok(PAGE_OFFSET + pfn.address()) }
    }

    #[track_caller]
    fn kmap_local_high(&mut self, pfn: Pfn) -> Result<u64, KmapError> {
        let slot = self.kernel.local.depth;
        if slot == SLOTS {
            return Err(KmapError::NoSlot { last: self.trace.location(self.kernel.local.sites[SLOTS - 1]) });
        }
        assert!(pfn.index() < self.machine.pages().len(), "frame {pfn:?} is beyond RAM");
        let table = self.fixmap_table()?;
        self.change_slot(table, address_of(slot), Pte::kernel(pfn));
        self.kernel.local.sites[slot] = self.trace.remember(Location::caller());
        self.kernel.local.depth = slot + 1;
        self.kernel.counts.kmap_local += 1;
        Ok(address_of(slot))
    }

    /// Gives back an address of [`Context::kmap_local`], which may point into the page.
    ///
    /// # Errors
    /// Another one was mapped later: [`KmapError::OutOfOrder`]. Or none is: [`KmapError::NotMapped`].
    #[inline]
    #[track_caller]
    pub fn kunmap_local(&mut self, address: u64) -> Result<(), KmapError> {
        let direct = address.wrapping_sub(PAGE_OFFSET);
        if direct < (self.machine.pages().len() as u64) * PAGE_SIZE {
            return Ok(());
        }
        self.kunmap_local_high(address)
    }

    #[track_caller]
    fn kunmap_local_high(&mut self, address: u64) -> Result<(), KmapError> {
        let by = Location::caller();
        let depth = self.kernel.local.depth;
        match slot_at(address) {
            Some(slot) if slot + 1 == depth => {
                self.change_slot(self.kernel.fixmap_table, address_of(slot), Pte::EMPTY);
                self.kernel.local.depth = slot;
                Ok(())
            }
            Some(slot) if slot < depth => {
                let last = self.trace.location(self.kernel.local.sites[depth - 1]);
                Err(KmapError::OutOfOrder {
                    address,
                    by,
                    made: self.trace.location(self.kernel.local.sites[slot]),
                    last,
                })
            }
            Some(slot) => {
                let made = self.trace.location(self.kernel.local.sites[slot]);
                Err(KmapError::NotMapped { address, by, made, unmapped: None })
            }
            None => Err(KmapError::NotMapped { address, by, made: None, unmapped: None }),
        }
    }

    /// What is at an address of a slot.
    pub(super) fn local_slot_at(&self, address: u64) -> Option<Where> {
        let made = self.trace.location(self.kernel.local.sites[slot_at(address)?]);
        Some(Where::KmapLocal { made })
    }

    /// Slots of kmap_local in use.
    pub fn kmap_local_depth(&self) -> usize {
        self.kernel.local.depth
    }
}
