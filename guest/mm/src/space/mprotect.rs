//! `mprotect`.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE},
};

use crate::{
    context::Context,
    errno::Errno,
    machine::Machine,
    slab::Slot,
    space::{AddressSpace, prot, request::access},
    trace::Trace,
    vma::VmFlags,
};

impl AddressSpace {
    /// The range with the locked memory that `mprotect` has made writable since this was last asked: the caller is to
    /// bring in what is locked there, whether the call succeeded or not.
    pub fn take_made_writable(&mut self) -> Option<(u64, u64)> {
        self.made_writable.take()
    }

    /// Changes the access rights of a range. VMAs are changed one after the other: on an error the ones before the
    /// trouble *have* changed, as on Linux. See [`AddressSpace::take_made_writable`].
    ///
    /// # Errors
    /// EINVAL: an address inside a page, unknown rights, PROT_GROWSDOWN for what does not grow down; ENOMEM: part of
    /// the range is not mapped, it wraps around, a limit, too many mappings, no memory; EACCES: a right the mapping
    /// may not have.
    pub fn mprotect<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
        rights: u64,
    ) -> Result<(), Errno> {
        let grows = rights & (prot::GROWSDOWN | prot::GROWSUP);
        let rights = rights & !(prot::GROWSDOWN | prot::GROWSUP);
        if grows == prot::GROWSDOWN | prot::GROWSUP || !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if length == 0 {
            return Ok(());
        }
        // Linux lets the rounded length wrap to 0 and then finds the end not above the start: ENOMEM as well.
        let length = length.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let end = start.checked_add(length).ok_or(Errno::ENOMEM)?;
        if rights & !(prot::READ | prot::WRITE | prot::EXEC | prot::SEM) != 0 {
            return Err(Errno::EINVAL);
        }
        let first = self.vmas.find_intersection(cx, start, end).ok_or(Errno::ENOMEM)?;
        let vma = cx.vma(first);
        let start = if grows == prot::GROWSDOWN {
            if !vma.flags().contains(VmFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            vma.start
        } else if vma.start > start {
            return Err(Errno::ENOMEM);
        } else if grows == prot::GROWSUP {
            return Err(Errno::EINVAL);
        } else {
            start
        };
        self.protect_each(cx, start, end, access(rights))
    }

    fn protect_each<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        access: VmFlags,
    ) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let slot = self.vmas.containing(cx, at).ok_or(Errno::ENOMEM)?;
            let vma = cx.vma(slot);
            let to = vma.end.min(end);
            let flags = vma.flags().difference(VmFlags::ACCESS) | access;
            // The MAY* bits are the access bits, four places up.
            if access.bits() & !(flags.bits() >> 4) != 0 {
                return Err(Errno::EACCES);
            }
            self.protect_part(cx, slot, (at, to), flags)?;
            at = to;
        }
        Ok(())
    }

    /// Gives `start..end`, a part of the VMA in `slot`, other access flags.
    fn protect_part<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        slot: Slot,
        (start, end): (u64, u64),
        mut flags: VmFlags,
    ) -> Result<(), Errno> {
        let vma = *cx.vma(slot);
        let (old, pages) = (vma.flags(), (end - start) >> PAGE_SHIFT);
        if flags == old {
            return Ok(());
        }
        let mut charged = 0;
        if flags.contains(VmFlags::WRITE) {
            if !self.may_expand(flags, pages as i64) && self.may_expand(old, pages as i64) {
                return Err(Errno::ENOMEM);
            }
            // Private memory that becomes writable counts against the commit limit from now on ...
            if !old.intersects(VmFlags::ACCOUNT | VmFlags::WRITE | VmFlags::SHARED | VmFlags::NORESERVE) {
                cx.charge(pages, self.usage.total_vm)?;
                charged = pages;
                flags |= VmFlags::ACCOUNT;
            }
        } else if vma.is_anonymous() && vma.anon == 0 {
            // ... and what was never written need not count once it cannot be.
            flags -= VmFlags::ACCOUNT;
        }
        if let Err(errno) = self.change_flags(cx, slot, (start, end), flags, VmaOp::Protect) {
            cx.uncharge(charged);
            return Err(errno);
        }
        if old.contains(VmFlags::ACCOUNT) && !flags.contains(VmFlags::ACCOUNT) {
            cx.uncharge(pages);
        }
        self.tables.protect_range(cx, start, end, flags);
        if old & (VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED) == VmFlags::LOCKED
            && flags.contains(VmFlags::WRITE)
        {
            let from = self.made_writable.map_or(start, |(from, _)| from);
            self.made_writable = Some((from, end));
        }
        Ok(())
    }
}
