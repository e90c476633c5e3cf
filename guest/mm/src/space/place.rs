//! Where a new mapping goes: Linux's top-down layout of x86-64, its fallback, hints and fixed addresses.
//!
//! Not here: the 2 MiB alignment that Linux gives to large anonymous mappings when huge pages are on.

use pagelab_abi::layout::{MMAP_BASE, MMAP_MIN_ADDR, PAGE_SIZE, TASK_SIZE};

use crate::{
    context::Context,
    errno::Errno,
    machine::Machine,
    space::{AddressSpace, map},
    trace::Trace,
};

/// Where the search begins when there is no room below [`MMAP_BASE`] (Linux's TASK_UNMAPPED_BASE).
pub(super) const UNMAPPED_BASE: u64 = (TASK_SIZE / 3).next_multiple_of(PAGE_SIZE);
/// Where MAP_32BIT mappings go.
const LOW_RANGE: (u64, u64) = (0x4000_0000, 0x8000_0000);

/// A hint as Linux reads it: rounded down to a page, but never into the part below [`MMAP_MIN_ADDR`].
pub(super) fn round_hint(hint: u64) -> u64 {
    let hint = hint & !(PAGE_SIZE - 1);
    if hint != 0 && hint < MMAP_MIN_ADDR { MMAP_MIN_ADDR } else { hint }
}

/// Between which mappings a place lies.
pub(super) struct Place {
    /// End of the mapping below; 0 if there is none.
    pub(super) floor: u64,
    /// Start of the mapping above; [`TASK_SIZE`] if there is none.
    pub(super) ceiling: u64,
}

impl AddressSpace {
    /// The mappings around an address where nothing is mapped.
    pub(super) fn room_around<M: Machine, T: Trace>(&mut self, cx: &Context<M, T>, address: u64) -> Place {
        let (prev, next) = self.vmas.neighbours(cx, address);
        let floor = if prev == 0 { 0 } else { cx.vma(prev).end };
        let ceiling = if next == 0 { TASK_SIZE } else { cx.vma(next).start };
        Place { floor, ceiling }
    }

    /// The address for a mapping of `length` bytes, a multiple of the page size. With MAP_FIXED that is `addr`
    /// whether it is free or not; otherwise `addr` is a hint from [`round_hint`], 0 for none.
    ///
    /// # Errors
    /// ENOMEM: no room, or the range leaves the user half; EINVAL: a fixed address inside a page; EPERM: a fixed
    /// address below [`MMAP_MIN_ADDR`].
    pub(super) fn place<M: Machine, T: Trace>(
        &mut self,
        cx: &Context<M, T>,
        addr: u64,
        length: u64,
        flags: u64,
    ) -> Result<u64, Errno> {
        if length > TASK_SIZE {
            return Err(Errno::ENOMEM);
        }
        if flags & map::FIXED == 0 {
            return self.find_room(cx, addr, length, flags).ok_or(Errno::ENOMEM);
        }
        if addr > TASK_SIZE - length {
            return Err(Errno::ENOMEM);
        }
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if addr < MMAP_MIN_ADDR {
            return Err(Errno::EPERM);
        }
        Ok(addr)
    }

    fn find_room<M: Machine, T: Trace>(
        &mut self,
        cx: &Context<M, T>,
        hint: u64,
        length: u64,
        flags: u64,
    ) -> Option<u64> {
        if flags & map::LOW_2GIB != 0 {
            let (low, high) = LOW_RANGE;
            return if self.hint_fits(cx, hint, length, high) {
                Some(hint)
            } else {
                self.vmas.unmapped_area_bottomup(cx, length, low, high)
            };
        }
        if self.hint_fits(cx, hint, length, TASK_SIZE) {
            return Some(hint);
        }
        self.vmas
            .unmapped_area_topdown(cx, length, MMAP_MIN_ADDR, MMAP_BASE)
            .or_else(|| self.vmas.unmapped_area_bottomup(cx, length, UNMAPPED_BASE, TASK_SIZE))
    }

    /// Whether a mapping at the hint ends by `high` and touches neither a mapping nor the guard gap above it.
    fn hint_fits<M: Machine, T: Trace>(&mut self, cx: &Context<M, T>, hint: u64, length: u64, high: u64) -> bool {
        hint != 0
            && high.checked_sub(length).is_some_and(|highest| hint <= highest)
            && self.vmas.find(cx, hint).is_none_or(|above| hint + length <= cx.vma(above).start_gap())
    }
}
