//! `mlock`, `munlock` and `mlockall`: which mappings are locked. There is no reclaim that they would keep pages from, but
//! a program sees them: in VmLck, in RLIMIT_MEMLOCK, in what other calls refuse, and in the pages that come at once.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE},
};

use crate::{
    context::Context, errno::Errno, machine::Machine, slab::Slot, space::AddressSpace, trace::Trace, vma::VmFlags,
};

/// MCL_* bits of `mlockall`.
pub mod lock_all {
    /// MCL_CURRENT: what is mapped.
    pub const CURRENT: u64 = 1;
    /// MCL_FUTURE: what will be mapped.
    pub const FUTURE: u64 = 2;
    /// MCL_ONFAULT: each page only once it was touched.
    pub const ONFAULT: u64 = 4;
}

impl AddressSpace {
    /// Locks every page that has a byte in a range. Returns the pages, which the caller is to bring in.
    ///
    /// # Errors
    /// EPERM: locking is forbidden; ENOMEM: RLIMIT_MEMLOCK, part of the range is not mapped (what comes before it is
    /// locked), too many mappings, no memory; EINVAL: the range wraps around.
    pub fn mlock<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
        on_fault: bool,
    ) -> Result<(u64, u64), Errno> {
        if !self.may_lock_at_all() {
            return Err(Errno::EPERM);
        }
        let (start, length) = whole_pages(start, length);
        let limit = self.limits.memlock.soft >> PAGE_SHIFT;
        let mut locked = (length >> PAGE_SHIFT) + self.usage.locked_vm + self.usage.once_locked;
        if locked > limit && !self.limits.ipc_lock {
            // What is locked already does not count twice.
            locked -= self.locked_pages(cx, start, length);
            if locked > limit {
                return Err(Errno::ENOMEM);
            }
        }
        let mut flags = VmFlags::LOCKED;
        flags.set(VmFlags::LOCKONFAULT, on_fault);
        self.lock_range(cx, start, length, flags)?;
        Ok((start, start + length))
    }

    /// Unlocks every page that has a byte in a range.
    ///
    /// # Errors
    /// As [`AddressSpace::mlock`], but for the limit.
    pub fn munlock<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let (start, length) = whole_pages(start, length);
        self.lock_range(cx, start, length, VmFlags::empty())
    }

    /// Locks all that is mapped or will be. Returns whether the caller is to bring all pages in.
    ///
    /// # Errors
    /// EINVAL: no flag, an unknown one, or MCL_ONFAULT alone; EPERM: locking is forbidden; ENOMEM: RLIMIT_MEMLOCK.
    pub fn mlockall<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, flags: u64) -> Result<bool, Errno> {
        use lock_all::{CURRENT, FUTURE, ONFAULT};
        if flags == 0 || flags & !(CURRENT | FUTURE | ONFAULT) != 0 || flags == ONFAULT {
            return Err(Errno::EINVAL);
        }
        if !self.may_lock_at_all() {
            return Err(Errno::EPERM);
        }
        let current = flags & CURRENT != 0;
        let fits = self.limits.ipc_lock || self.usage.total_vm <= self.limits.memlock.soft >> PAGE_SHIFT;
        if current && !fits {
            return Err(Errno::ENOMEM);
        }
        let mut locked = VmFlags::LOCKED;
        locked.set(VmFlags::LOCKONFAULT, flags & ONFAULT != 0);
        self.future_locks = if flags & FUTURE != 0 { locked } else { VmFlags::empty() };
        if current {
            self.lock_all(cx, locked);
        }
        Ok(current)
    }

    /// Unlocks all that is mapped, and what will be mapped is not locked any more.
    pub fn munlockall<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>) {
        self.future_locks = VmFlags::empty();
        self.lock_all(cx, VmFlags::empty());
    }

    /// Whether what will be mapped is to be brought in at once, since it is locked.
    pub fn brings_in_new_memory(&self) -> bool {
        self.future_locks == VmFlags::LOCKED
    }

    /// Whether this process may lock memory at all.
    pub(super) fn may_lock_at_all(&self) -> bool {
        self.limits.memlock.soft != 0 || self.limits.ipc_lock
    }

    /// Whether RLIMIT_MEMLOCK leaves room for `bytes` more with these flags.
    pub(super) fn may_lock(&self, flags: VmFlags, bytes: u64) -> bool {
        !flags.contains(VmFlags::LOCKED)
            || self.limits.ipc_lock
            || (bytes >> PAGE_SHIFT) + self.usage.locked_vm + self.usage.once_locked
                <= self.limits.memlock.soft >> PAGE_SHIFT
    }

    /// Every VMA; errors are ignored, as on Linux.
    fn lock_all<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, locked: VmFlags) {
        let mut at = 0;
        while let Some(slot) = self.vmas.find(cx, at) {
            let (start, end) = (cx.vma(slot).start, cx.vma(slot).end);
            let _ = self.lock_part(cx, slot, (start, end), locked);
            at = end;
        }
    }

    /// Gives the VMAs of a range these of the two locking flags.
    fn lock_range<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
        locked: VmFlags,
    ) -> Result<(), Errno> {
        let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
        let mut at = start;
        while at < end {
            let slot = self.vmas.containing(cx, at).ok_or(Errno::ENOMEM)?;
            let to = cx.vma(slot).end.min(end);
            self.lock_part(cx, slot, (at, to), locked)?;
            at = to;
        }
        Ok(())
    }

    fn lock_part<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        slot: Slot,
        range: (u64, u64),
        locked: VmFlags,
    ) -> Result<(), Errno> {
        let old = cx.vma(slot).flags();
        let flags = old.difference(VmFlags::LOCKED_MASK) | locked;
        if flags == old {
            return Ok(());
        }
        let op = if flags.contains(VmFlags::LOCKED) { VmaOp::Lock } else { VmaOp::Unlock };
        self.change_flags(cx, slot, range, flags, op)
    }

    /// Pages of a range that are locked.
    fn locked_pages<M: Machine, T: Trace>(&mut self, cx: &Context<M, T>, start: u64, length: u64) -> u64 {
        let end = start.saturating_add(length);
        let (mut pages, mut slot) = (0, self.vmas.find_intersection(cx, start, end).unwrap_or(0));
        while slot != 0 && cx.vma(slot).start < end {
            let vma = cx.vma(slot);
            if vma.flags().contains(VmFlags::LOCKED) {
                pages += (vma.end.min(end) - vma.start.max(start)) >> PAGE_SHIFT;
            }
            slot = vma.next;
        }
        pages
    }
}

/// The pages that have a byte in a range: the first address, and the bytes. Linux's rounding wraps to 0.
fn whole_pages(start: u64, length: u64) -> (u64, u64) {
    let length = length.wrapping_add(start % PAGE_SIZE);
    (start & !(PAGE_SIZE - 1), length.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0))
}
