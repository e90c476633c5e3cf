//! `mremap`: a mapping that grows, shrinks or goes elsewhere. Rules and the order of errors are those of Linux 6.18.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE, TASK_SIZE},
};

use crate::{
    context::Context,
    errno::Errno,
    machine::Machine,
    slab::Slot,
    space::{
        AddressSpace, map,
        place::{Place, round_hint},
        remap,
    },
    trace::Trace,
    vma::{Candidate, VmFlags, Vma},
};

/// The arguments of `mremap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MremapRequest {
    /// Where the mapping is.
    pub addr: u64,
    /// Bytes of it that are meant, rounded up to pages. 0: map what a shared mapping shows a second time.
    pub old_length: u64,
    /// Bytes there shall be, rounded up to pages.
    pub new_length: u64,
    /// [`remap`] bits.
    pub flags: u64,
    /// Where it shall go, with MREMAP_FIXED; with MREMAP_DONTUNMAP alone a wish.
    pub new_addr: u64,
}

/// What `mremap` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remapped {
    /// Where the mapping is now.
    pub address: u64,
    /// Where it has grown, if it is locked: the caller is to bring these pages in.
    pub populate: Option<(u64, u64)>,
}

/// A request, rounded, for one VMA.
#[derive(Clone, Copy)]
struct Remap {
    addr: u64,
    old: u64,
    new: u64,
    flags: u64,
    new_addr: u64,
}

impl Remap {
    /// Whether the mapping goes elsewhere in any case.
    fn moves(&self) -> bool {
        self.flags & (remap::FIXED | remap::DONTUNMAP) != 0
    }

    fn keeps_old(&self) -> bool {
        self.flags & remap::DONTUNMAP != 0
    }

    fn grows(&self) -> bool {
        self.new > self.old
    }

    fn shrinks(&self) -> bool {
        self.new < self.old
    }

    fn growth(&self) -> u64 {
        self.new.saturating_sub(self.old)
    }

    fn overlaps(&self) -> bool {
        let (old_end, new_end) = (self.addr.wrapping_add(self.old), self.new_addr.wrapping_add(self.new));
        old_end > self.new_addr && new_end > self.addr
    }
}

impl AddressSpace {
    /// Makes a mapping longer or shorter, or moves it, its pages included.
    ///
    /// # Errors
    /// EINVAL: an unknown flag, an address inside a page, new length 0, MREMAP_FIXED or MREMAP_DONTUNMAP without
    /// MREMAP_MAYMOVE, a new place that overlaps the old one or leaves the user half, a second view of a private
    /// mapping; EFAULT: the range is not mapped, or lies in several mappings where that is not allowed; ENOMEM: no
    /// room, a limit, no memory; EAGAIN: RLIMIT_MEMLOCK; EPERM: a new place below `MMAP_MIN_ADDR`.
    pub fn mremap<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        request: &MremapRequest,
    ) -> Result<Remapped, Errno> {
        let remap = self.checked(request)?;
        if remap.flags & remap::FIXED != 0 && remap.old == remap.new {
            let address = self.move_each(cx, &remap)?;
            return Ok(Remapped { address, populate: None });
        }
        let slot = self.vmas.containing(cx, remap.addr).ok_or(Errno::EFAULT)?;
        let locked = cx.vma(slot).flags().contains(VmFlags::LOCKED);
        self.check_mapping(cx, slot, &remap)?;
        let address = if remap.moves() {
            self.remap_to(cx, slot, remap)?
        } else if remap.grows() {
            self.expand(cx, slot, &remap)?
        } else {
            if remap.shrinks() {
                self.munmap(cx, remap.addr + remap.new, remap.old - remap.new)?;
            }
            remap.addr
        };
        let grown = (address + remap.old, address + remap.new);
        Ok(Remapped { address, populate: Some(grown).filter(|_| locked && remap.grows()) })
    }

    /// The request with whole pages, if it makes sense by itself.
    fn checked(&self, request: &MremapRequest) -> Result<Remap, Errno> {
        // Linux's rounding wraps to 0.
        let round = |length: u64| length.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0);
        let &MremapRequest { addr, flags, new_addr, .. } = request;
        let remap = Remap { addr, old: round(request.old_length), new: round(request.new_length), flags, new_addr };
        let unknown = flags & !(remap::FIXED | remap::MAYMOVE | remap::DONTUNMAP) != 0;
        if unknown || !addr.is_multiple_of(PAGE_SIZE) || remap.new == 0 || remap.new > TASK_SIZE {
            return Err(Errno::EINVAL);
        }
        if !remap.moves() {
            return Ok(remap);
        }
        if new_addr > TASK_SIZE - remap.new
            || !new_addr.is_multiple_of(PAGE_SIZE)
            || flags & remap::MAYMOVE == 0
            || remap.keeps_old() && remap.old != remap.new
            || remap.overlaps()
        {
            return Err(Errno::EINVAL);
        }
        // Unmapping at both places and moving must not stop half-way for want of VMAs.
        if i64::from(self.vmas.count) + 2 >= i64::from(self.limits.max_map_count) - 3 {
            return Err(Errno::ENOMEM);
        }
        Ok(remap)
    }

    /// Whether the VMA in a slot can become what the request wants.
    fn check_mapping<M: Machine, T: Trace>(&self, cx: &Context<M, T>, slot: Slot, remap: &Remap) -> Result<(), Errno> {
        if !remap.grows() && !remap.moves() {
            return Ok(());
        }
        let vma = cx.vma(slot);
        let flags = vma.flags();
        if remap.old == 0 && !flags.contains(VmFlags::MAYSHARE) {
            return Err(Errno::EINVAL);
        }
        // What a shrinking cuts off may be anything.
        let kept = remap.old.min(remap.new);
        if kept > vma.end - remap.addr {
            return Err(Errno::EFAULT);
        }
        if !remap.grows() {
            return Ok(());
        }
        if vma.pgoff_at(remap.addr).checked_add(remap.new >> PAGE_SHIFT).is_none() {
            return Err(Errno::EINVAL);
        }
        if !self.may_lock(flags, remap.growth()) {
            return Err(Errno::EAGAIN);
        }
        if !self.may_expand(flags, (remap.growth() >> PAGE_SHIFT) as i64) {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Moves all VMAs of a range, and parts of VMAs, keeping the holes between them. Returns where the first went.
    fn move_each<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, whole: &Remap) -> Result<u64, Errno> {
        let end = whole.addr.checked_add(whole.old).ok_or(Errno::EFAULT)?;
        let mut at = whole.addr;
        self.vmas.containing(cx, at).ok_or(Errno::EFAULT)?;
        while let Some(slot) = self.vmas.find_intersection(cx, at, end) {
            let vma = *cx.vma(slot);
            let addr = vma.start.max(at);
            let length = vma.end.min(end) - addr;
            let new_addr = whole.new_addr + (addr - whole.addr);
            let part = Remap { addr, old: length, new: length, new_addr, ..*whole };
            self.check_mapping(cx, slot, &part)?;
            self.remap_to(cx, slot, part)?;
            at = addr + length;
            if at >= end {
                break;
            }
        }
        Ok(whole.new_addr)
    }

    /// Moves a mapping to where the request says, in place of what is there.
    fn remap_to<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        mut slot: Slot,
        mut remap: Remap,
    ) -> Result<u64, Errno> {
        let fixed = remap.flags & remap::FIXED != 0;
        if fixed {
            self.unmap(cx, remap.new_addr, remap.new_addr + remap.new)?;
            slot = self.vmas.containing(cx, remap.addr).ok_or(Errno::EFAULT)?;
        }
        if remap.shrinks() {
            self.munmap(cx, remap.addr + remap.new, remap.old - remap.new)?;
            remap.old = remap.new;
            slot = self.vmas.containing(cx, remap.addr).ok_or(Errno::EFAULT)?;
        }
        if remap.keeps_old() && !self.may_expand(cx.vma(slot).flags(), (remap.old >> PAGE_SHIFT) as i64) {
            return Err(Errno::ENOMEM);
        }
        let place = if fixed { remap.new_addr } else { round_hint(remap.new_addr) };
        remap.new_addr = self.place(cx, place, remap.new, if fixed { map::FIXED } else { 0 })?;
        self.move_mapping(cx, slot, &remap)
    }

    /// Makes a mapping longer: where it is, if there is room behind it, or else elsewhere.
    fn expand<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        slot: Slot,
        remap: &Remap,
    ) -> Result<u64, Errno> {
        let vma = *cx.vma(slot);
        let end = vma.end + remap.growth();
        let fits = vma.end - remap.addr == remap.old
            && end <= TASK_SIZE
            && self.vmas.find_intersection(cx, vma.end, end).is_none();
        if fits {
            return self.expand_in_place(cx, &vma, remap);
        }
        if remap.flags & remap::MAYMOVE == 0 {
            return Err(Errno::ENOMEM);
        }
        let new_addr = self.place(cx, 0, remap.new, 0)?;
        self.move_mapping(cx, slot, &Remap { new_addr, ..*remap })
    }

    fn expand_in_place<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        vma: &Vma,
        remap: &Remap,
    ) -> Result<u64, Errno> {
        let (flags, pages) = (vma.flags(), remap.growth() >> PAGE_SHIFT);
        if flags.contains(VmFlags::ACCOUNT) {
            cx.charge(pages, self.usage.total_vm)?;
        }
        let (start, end) = (vma.end, vma.end + remap.growth());
        let more = Candidate { start, end, pgoff: vma.pgoff_at(start), flags, file: vma.file, anon: vma.anon };
        let slot = self.vmas.merge_new(cx, &more).expect("a mapping's own continuation joins it");
        self.usage.add_pages(flags, pages);
        self.emit(cx, VmaOp::Remap, vma, vma.start, end);
        if cx.vma(slot).end != end {
            self.emit_vma(cx, VmaOp::Merge, slot);
        }
        Ok(remap.addr)
    }

    /// Moves a mapping (part of the VMA in `slot`) to free room, with its pages.
    fn move_mapping<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        slot: Slot,
        remap: &Remap,
    ) -> Result<u64, Errno> {
        if i64::from(self.vmas.count) >= i64::from(self.limits.max_map_count) - 3 {
            return Err(Errno::ENOMEM);
        }
        let old = *cx.vma(slot);
        let accounted = old.flags().contains(VmFlags::ACCOUNT);
        let charged = match (accounted, remap.keeps_old()) {
            (false, _) => 0,
            (true, true) => remap.new >> PAGE_SHIFT,
            (true, false) => remap.growth() >> PAGE_SHIFT,
        };
        cx.charge(charged, self.usage.total_vm)?;
        let peak = self.usage.peak_vm;
        if let Err(errno) = self.copy_mapping(cx, &old, remap) {
            cx.uncharge(charged);
            return Err(errno);
        }
        if remap.keeps_old() {
            self.leave_behind(cx, remap);
        } else if remap.old != 0 {
            if accounted {
                // What unmapping takes back belongs to the new place.
                cx.commit.committed += remap.old >> PAGE_SHIFT;
            }
            // Without memory for a split the old place stays mapped too, empty.
            let _ = self.unmap(cx, remap.addr, remap.addr + remap.old);
        }
        self.usage.peak_vm = peak.max(self.usage.total_vm);
        Ok(remap.new_addr)
    }

    /// Maps the new place and takes the pages there. On an error nothing has changed.
    fn copy_mapping<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        old: &Vma,
        remap: &Remap,
    ) -> Result<(), Errno> {
        // Memory that was never written has no page that knows its offset.
        let fresh = old.is_anonymous() && old.anon == 0;
        let pgoff = if fresh { remap.new_addr >> PAGE_SHIFT } else { old.pgoff_at(remap.addr) };
        let mut new = Vma::new(remap.new_addr, remap.new_addr + remap.new, pgoff, old.flags(), old.file);
        new.anon = old.anon;
        let length = remap.old.min(remap.new);
        let tables = self.tables.prepare_move(cx, remap.addr, remap.new_addr, length);
        if tables.is_err() || self.add_vma(cx, new, VmaOp::Remap).is_err() {
            let Place { floor, ceiling } = self.room_around(cx, remap.new_addr);
            self.tables.free_tables(cx, new.start, new.end, floor, ceiling);
            return Err(Errno::ENOMEM);
        }
        self.tables.move_range(cx, remap.addr, remap.new_addr, length);
        Ok(())
    }

    /// MREMAP_DONTUNMAP: what stays at the old place is mapped, empty and not locked.
    fn leave_behind<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, remap: &Remap) {
        // The old VMA may have become part of the new one.
        let Some(slot) = self.vmas.containing(cx, remap.addr) else { return };
        let vma = *cx.vma(slot);
        let (old, pages) = (vma.flags(), vma.pages());
        let flags = old.difference(VmFlags::LOCKED_MASK);
        self.usage.remove_pages(old, pages);
        self.usage.add_pages(flags, pages);
        if old.contains(VmFlags::LOCKED) {
            self.usage.once_locked += pages;
        }
        let vma = cx.vma_mut(slot);
        vma.set_flags(flags);
        if (vma.start, vma.end) == (remap.addr, remap.addr + remap.old) {
            vma.anon = 0;
        }
    }
}
