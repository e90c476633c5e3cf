//! `mmap`: anonymous and private file mappings, and shared read-only ones of files.
//!
//! Files are read-only here, so a shared mapping of one needs no shared writable pages. Shared anonymous memory
//! does: it answers ENODEV.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE},
};

use crate::{
    arena::Slot,
    context::Context,
    errno::Errno,
    frame::OutOfMemory,
    machine::Machine,
    space::{AddressSpace, MmapRequest, map, place::round_hint},
    trace::Trace,
    vma::{Candidate, VmFlags, Vma},
};

/// The largest file there can be, in bytes: Linux's MAX_LFS_FILESIZE.
const MAX_FILE_SIZE: u64 = i64::MAX as u64;

impl AddressSpace {
    /// Maps memory and returns its address. The pages come with their first touch;
    /// see [`MmapRequest::populates`].
    ///
    /// # Errors
    /// EINVAL: length 0, an offset or a fixed address inside a page, an unknown kind, a file mapping that grows
    /// down; ENOMEM: no room, too many mappings, a limit, no memory; EEXIST: MAP_FIXED_NOREPLACE over a mapping;
    /// EPERM: a fixed address below `MMAP_MIN_ADDR`; EOVERFLOW: past the largest file; EACCES: a shared writable
    /// mapping of a file; ENODEV: shared anonymous memory.
    pub fn mmap<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, request: &MmapRequest) -> Result<u64, Errno> {
        if request.file.is_some_and(|(_, offset)| !offset.is_multiple_of(PAGE_SIZE)) || request.length == 0 {
            return Err(Errno::EINVAL);
        }
        let fixed_new = request.flags & map::FIXED_NOREPLACE != 0;
        let flags = request.flags | if fixed_new { map::FIXED } else { 0 };
        let hint = if flags & map::FIXED != 0 { request.addr } else { round_hint(request.addr) };
        let length = request.length.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        if self.vmas.count > self.limits.max_map_count {
            return Err(Errno::ENOMEM);
        }
        let start = self.place(cx, hint, length, flags)?;
        let end = start + length;
        if fixed_new && self.vmas.find_intersection(cx, start, end).is_some() {
            return Err(Errno::EEXIST);
        }
        let vm_flags = kind_flags(request, length)?;
        let vma = match request.file {
            Some((file, offset)) => Vma::new(start, end, offset >> PAGE_SHIFT, vm_flags, file.0),
            None => Vma::new(start, end, start >> PAGE_SHIFT, vm_flags, 0),
        };
        self.map_region(cx, vma)?;
        Ok(start)
    }

    /// Maps a VMA in place of whatever its range holds.
    fn map_region<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, mut vma: Vma) -> Result<(), Errno> {
        let replaced = self.mapped_pages(cx, vma.start, vma.end);
        if !self.may_expand(vma.flags(), vma.pages() as i64 - replaced as i64) {
            return Err(Errno::ENOMEM);
        }
        if replaced != 0 {
            self.unmap(cx, vma.start, vma.end)?;
        }
        // What can become dirty without a reservation being refused counts against the commit limit.
        if vma.flags() & (VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE) == VmFlags::WRITE {
            vma.set_flags(vma.flags() | VmFlags::ACCOUNT);
        }
        self.add_vma(cx, vma).map_err(|OutOfMemory| Errno::ENOMEM)?;
        Ok(())
    }

    /// Pages of `start..end` that are mapped.
    fn mapped_pages<M: Machine, T: Trace>(&mut self, cx: &Context<M, T>, start: u64, end: u64) -> u64 {
        let (mut pages, mut slot) = (0, self.vmas.find_intersection(cx, start, end).unwrap_or(0));
        while slot != 0 && cx.vma(slot).start < end {
            let vma = cx.vma(slot);
            pages += (vma.end.min(end) - vma.start.max(start)) >> PAGE_SHIFT;
            slot = vma.next;
        }
        pages
    }

    /// Adds a VMA where nothing is mapped: joins it with its neighbours or gives it a slot. Counts it and says so.
    pub(super) fn add_vma<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        vma: Vma,
    ) -> Result<Slot, OutOfMemory> {
        let Vma { start, end, pgoff, file, anon, .. } = vma;
        let candidate = Candidate { start, end, pgoff, flags: vma.flags(), file, anon };
        let merged = self.vmas.merge_new(cx, &candidate);
        let slot = match merged {
            Some(slot) => slot,
            None => self.insert_vma(cx, vma)?,
        };
        self.usage.add_pages(vma.flags(), vma.pages());
        self.emit(cx, VmaOp::Map, &vma, start, end);
        if merged.is_some() {
            self.emit_vma(cx, VmaOp::Merge, slot);
        }
        Ok(slot)
    }

    /// Gives a VMA a slot of its own.
    pub(super) fn insert_vma<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        vma: Vma,
    ) -> Result<Slot, OutOfMemory> {
        let slot = cx.alloc_vma(vma)?;
        self.vmas.insert(cx, slot);
        Ok(slot)
    }
}

/// The VMA flags of a request, once its kind (private, shared, file, anonymous) has been found fit.
fn kind_flags(request: &MmapRequest, length: u64) -> Result<VmFlags, Errno> {
    let flags = request.vm_flags();
    let kind = request.flags & map::TYPE;
    let Some((_, offset)) = request.file else {
        return match kind {
            map::PRIVATE => Ok(flags),
            map::SHARED if flags.contains(VmFlags::GROWSDOWN) => Err(Errno::EINVAL),
            map::SHARED => Err(Errno::ENODEV),
            _ => Err(Errno::EINVAL),
        };
    };
    if offset.checked_add(length).is_none_or(|end| end > MAX_FILE_SIZE) {
        return Err(Errno::EOVERFLOW);
    }
    let flags = match kind {
        map::PRIVATE => flags,
        map::SHARED | map::SHARED_VALIDATE if flags.contains(VmFlags::WRITE) => return Err(Errno::EACCES),
        map::SHARED | map::SHARED_VALIDATE => flags.difference(VmFlags::MAYWRITE) | VmFlags::MAYSHARE,
        _ => return Err(Errno::EINVAL),
    };
    if flags.contains(VmFlags::GROWSDOWN) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}
