//! `mmap`: anonymous memory and files, private and shared.

use pagelab_abi::{
    code::VmaOp,
    layout::{MMAP_BASE, PAGE_SHIFT, PAGE_SIZE},
    name,
};

use crate::{
    commit::Overcommit,
    context::Context,
    errno::Errno,
    file::FileSpec,
    frame::OutOfMemory,
    machine::Machine,
    slab::Slot,
    space::{AddressSpace, MmapRequest, map, place::round_hint},
    trace::Trace,
    vma::{Candidate, VmFlags, Vma},
};

/// The largest file there can be, in bytes: Linux's MAX_LFS_FILESIZE.
const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// What `mmap` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where the mapping is.
    pub address: u64,
    /// The caller is to bring all of it in: MAP_POPULATE, or it is locked.
    pub populate: bool,
}

impl AddressSpace {
    /// Maps memory and returns its address. The pages come with their first touch; see [`AddressSpace::map`] for who
    /// also brings them in.
    ///
    /// # Errors
    /// As [`AddressSpace::map`].
    pub fn mmap<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, request: &MmapRequest) -> Result<u64, Errno> {
        self.map(cx, request).map(|mapped| mapped.address)
    }

    /// Maps memory.
    ///
    /// # Errors
    /// EINVAL: length 0, an offset or a fixed address inside a page, an unknown kind, a file mapping that grows
    /// down; ENOMEM: no room, too many mappings, a limit, a promise that is refused, no memory; EEXIST:
    /// MAP_FIXED_NOREPLACE over a mapping; EPERM: a fixed address below `MMAP_MIN_ADDR`, MAP_LOCKED where locking is
    /// forbidden; EAGAIN: RLIMIT_MEMLOCK; EOVERFLOW: past the largest file; EOPNOTSUPP: MAP_SHARED_VALIDATE with
    /// flags that older kernels ignore; EACCES: the file's descriptor does not allow it.
    pub fn map<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        request: &MmapRequest,
    ) -> Result<Mapped, Errno> {
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
        if flags & map::LOCKED != 0 && !self.may_lock_at_all() {
            return Err(Errno::EPERM);
        }
        let vm_flags = request.vm_flags() | self.future_locks;
        if !self.may_lock(vm_flags, length) {
            return Err(Errno::EAGAIN);
        }
        let mut vm_flags = kind_flags(request, vm_flags, length)?;
        if cx.commit.mode == Overcommit::Never {
            // Nothing is lent then.
            vm_flags -= VmFlags::NORESERVE;
        }
        let slot = match request.file {
            Some((file, offset)) => {
                self.map_region(cx, Vma::new(start, end, offset >> PAGE_SHIFT, vm_flags, file.0))?
            }
            None if vm_flags.contains(VmFlags::SHARED) => self.map_shared_anonymous(cx, start, end, vm_flags)?,
            None => self.map_region(cx, Vma::new(start, end, start >> PAGE_SHIFT, vm_flags, 0))?,
        };
        // Searched for from the top down.
        if flags & (map::FIXED | map::LOW_2GIB) == 0 && start != hint && end <= MMAP_BASE {
            self.vmas.placed(cx, slot, length, MMAP_BASE);
        }
        let populate = flags & (map::POPULATE | map::NONBLOCK) == map::POPULATE || vm_flags.contains(VmFlags::LOCKED);
        Ok(Mapped { address: start, populate })
    }

    /// Shared anonymous memory is a file of its own, in shared memory, that no directory knows.
    fn map_shared_anonymous<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        end: u64,
        flags: VmFlags,
    ) -> Result<Slot, Errno> {
        let pages = (end - start) >> PAGE_SHIFT;
        // What the mapping would be refused for comes before the promise.
        let (replaced, _) = self.mapped_pages(cx, start, end);
        if !self.may_expand(flags, pages as i64 - replaced as i64) {
            return Err(Errno::ENOMEM);
        }
        self.shared_files += 1;
        let inode = u64::from(self.shared_files);
        let spec = FileSpec { backing: None, length: end - start, shmem: true, name: name::SHARED_ANONYMOUS, inode };
        let file = cx.add_file(spec).map_err(|OutOfMemory| Errno::ENOMEM)?;
        let mapped =
            if flags.contains(VmFlags::NORESERVE) { Ok(()) } else { cx.promise_file(file, self.usage.total_vm) }
                .and_then(|()| self.map_region(cx, Vma::new(start, end, 0, flags, file.0)));
        // The mapping has a reference of its own.
        cx.put_file(file);
        mapped
    }

    /// Maps a VMA in place of whatever its range holds.
    fn map_region<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, mut vma: Vma) -> Result<Slot, Errno> {
        let pages = vma.pages();
        let (replaced, promised) = self.mapped_pages(cx, vma.start, vma.end);
        if !self.may_expand(vma.flags(), pages as i64 - replaced as i64) {
            self.split_edges(cx, vma.start, vma.end);
            return Err(Errno::ENOMEM);
        }
        // What can become dirty without a reservation being refused counts against the commit limit.
        let accounted = vma.flags() & (VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE) == VmFlags::WRITE;
        let charged = if accounted { pages - promised } else { 0 };
        cx.charge(charged, self.usage.total_vm)?;
        if replaced != 0
            && let Err(errno) = self.unmap(cx, vma.start, vma.end)
        {
            cx.uncharge(charged);
            return Err(errno);
        }
        if accounted {
            vma.set_flags(vma.flags() | VmFlags::ACCOUNT);
            // Unmapping has taken this back.
            cx.commit.committed += promised;
        }
        self.add_vma(cx, vma, VmaOp::Map).map_err(|OutOfMemory| {
            cx.uncharge(if accounted { pages } else { 0 });
            Errno::ENOMEM
        })
    }

    /// Cuts the VMAs at both ends of a range that was to be replaced, as Linux has done (since 6.12) by the time it finds
    /// that a limit forbids the new mapping.
    fn split_edges<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, start: u64, end: u64) {
        for at in [start, end] {
            let Some(slot) = self.vmas.containing(cx, at) else { continue };
            let vma = *cx.vma(slot);
            if vma.start < at && self.vmas.split(cx, slot, at).is_ok() {
                self.emit(cx, VmaOp::Split, &vma, vma.start, at);
            }
        }
    }

    /// Pages of `start..end` that are mapped, and how many of them were promised.
    fn mapped_pages<M: Machine, T: Trace>(&mut self, cx: &Context<M, T>, start: u64, end: u64) -> (u64, u64) {
        let (mut mapped, mut promised) = (0, 0);
        let mut slot = self.vmas.find_intersection(cx, start, end).unwrap_or(0);
        while slot != 0 && cx.vma(slot).start < end {
            let vma = cx.vma(slot);
            let pages = (vma.end.min(end) - vma.start.max(start)) >> PAGE_SHIFT;
            mapped += pages;
            promised += if vma.flags().contains(VmFlags::ACCOUNT) { pages } else { 0 };
            slot = vma.next;
        }
        (mapped, promised)
    }

    /// Adds a VMA where nothing is mapped: joins it with its neighbours or gives it a slot. Counts it and says so, as
    /// `op`.
    pub(super) fn add_vma<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        vma: Vma,
        op: VmaOp,
    ) -> Result<Slot, OutOfMemory> {
        let Vma { start, end, pgoff, file, anon, .. } = vma;
        let candidate = Candidate { start, end, pgoff, flags: vma.flags(), file, anon };
        let merged = self.vmas.merge_new(cx, &candidate);
        let slot = match merged {
            Some(slot) => slot,
            None => self.insert_vma(cx, vma)?,
        };
        self.usage.add_pages(vma.flags(), vma.pages());
        self.emit(cx, op, &vma, start, end);
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
fn kind_flags(request: &MmapRequest, flags: VmFlags, length: u64) -> Result<VmFlags, Errno> {
    let kind = request.flags & map::TYPE;
    let grows_down = flags.contains(VmFlags::GROWSDOWN);
    let Some((_, offset)) = request.file else {
        return match kind {
            map::PRIVATE => Ok(flags),
            map::SHARED if !grows_down => Ok(flags | VmFlags::SHARED | VmFlags::MAYSHARE),
            _ => Err(Errno::EINVAL),
        };
    };
    if offset.checked_add(length).is_none_or(|end| end > MAX_FILE_SIZE) {
        return Err(Errno::EOVERFLOW);
    }
    let shared = kind == map::SHARED || kind == map::SHARED_VALIDATE;
    if !shared && kind != map::PRIVATE {
        return Err(Errno::EINVAL);
    }
    if kind == map::SHARED_VALIDATE && request.flags & !map::LEGACY != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if shared && flags.contains(VmFlags::WRITE) && !request.writable || request.write_only {
        return Err(Errno::EACCES);
    }
    if grows_down {
        return Err(Errno::EINVAL);
    }
    Ok(match (shared, request.writable) {
        (true, true) => flags | VmFlags::SHARED | VmFlags::MAYSHARE,
        (true, false) => (flags - VmFlags::MAYWRITE) | VmFlags::MAYSHARE,
        (false, _) => flags,
    })
}
