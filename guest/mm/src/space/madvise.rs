//! `madvise`: what a program tells about its use of memory, and what it asks for by that name.

use pagelab_abi::{
    code::VmaOp,
    layout::{PAGE_SHIFT, PAGE_SIZE},
};

use crate::{
    context::Context,
    errno::Errno,
    file::FileId,
    machine::Machine,
    slab::Slot,
    space::AddressSpace,
    trace::Trace,
    vma::{VmFlags, Vma},
};

/// Advice about a range of memory: Linux's, without what concerns other processes or hardware errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are Linux's own")]
pub enum Advice {
    Normal,
    Random,
    Sequential,
    WillNeed,
    DontNeed,
    Free,
    Remove,
    DontFork,
    DoFork,
    Mergeable,
    Unmergeable,
    HugePage,
    NoHugePage,
    DontDump,
    DoDump,
    WipeOnFork,
    KeepOnFork,
    Cold,
    PageOut,
    PopulateRead,
    PopulateWrite,
    DontNeedLocked,
    Collapse,
}

impl Advice {
    /// The advice with this number (Linux's `mman-common.h`).
    pub const fn from_number(number: u32) -> Option<Advice> {
        Some(match number {
            0 => Advice::Normal,
            1 => Advice::Random,
            2 => Advice::Sequential,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            8 => Advice::Free,
            9 => Advice::Remove,
            10 => Advice::DontFork,
            11 => Advice::DoFork,
            12 => Advice::Mergeable,
            13 => Advice::Unmergeable,
            14 => Advice::HugePage,
            15 => Advice::NoHugePage,
            16 => Advice::DontDump,
            17 => Advice::DoDump,
            18 => Advice::WipeOnFork,
            19 => Advice::KeepOnFork,
            20 => Advice::Cold,
            21 => Advice::PageOut,
            22 => Advice::PopulateRead,
            23 => Advice::PopulateWrite,
            24 => Advice::DontNeedLocked,
            25 => Advice::Collapse,
            _ => return None,
        })
    }
}

/// The end of a range that `madvise` is asked about, or nothing to do.
///
/// # Errors
/// EINVAL: an address inside a page, a range that wraps around.
pub fn advised_end(start: u64, length: u64) -> Result<Option<u64>, Errno> {
    let end = length.checked_next_multiple_of(PAGE_SIZE).and_then(|length| start.checked_add(length));
    let end = end.filter(|_| start.is_multiple_of(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
    Ok(Some(end).filter(|&end| end != start))
}

impl AddressSpace {
    /// Follows advice about a range, VMA by VMA. A hole in the range is answered with ENOMEM, but only after all mapped
    /// parts have been treated. [`Advice::PopulateRead`] and [`Advice::PopulateWrite`] are the caller's: see
    /// [`AddressSpace::advised_to_populate`]; here they change nothing.
    ///
    /// # Errors
    /// EINVAL: an address inside a page, a range that wraps around, advice that does not fit a mapping (what comes
    /// before it is done); ENOMEM: part of the range is not mapped; EAGAIN: too many mappings, no memory; EACCES:
    /// MADV_REMOVE of what is not shared and writable; EOPNOTSUPP: MADV_REMOVE of an ordinary file's pages.
    pub fn madvise<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
        advice: Advice,
    ) -> Result<(), Errno> {
        let Some(end) = advised_end(start, length)? else { return Ok(()) };
        let (mut at, mut hole) = (start, false);
        while at < end {
            let slot = self.vmas.find(cx, at).ok_or(Errno::ENOMEM)?;
            let vma = *cx.vma(slot);
            let from = vma.start.max(at);
            hole |= from > at;
            if from >= end {
                break;
            }
            at = vma.end.min(end);
            self.advise_part(cx, slot, &vma, (from, at), advice)?;
        }
        if hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn advise_part<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        slot: Slot,
        vma: &Vma,
        (start, end): (u64, u64),
        advice: Advice,
    ) -> Result<(), Errno> {
        let flags = vma.flags();
        let locked = flags.contains(VmFlags::LOCKED);
        match advice {
            Advice::DontNeed | Advice::Free | Advice::Cold | Advice::PageOut | Advice::Remove if locked => {
                return Err(Errno::EINVAL);
            }
            Advice::DontNeed | Advice::DontNeedLocked => {
                self.zap(cx, start, end);
                self.emit(cx, VmaOp::DontNeed, vma, start, end);
            }
            // Anonymous pages keep their contents: nothing takes memory back here.
            Advice::Free if vma.is_anonymous() => self.tables.clean_range(cx, start, end),
            Advice::Free | Advice::Collapse => return Err(Errno::EINVAL),
            Advice::Cold | Advice::PageOut => {
                self.tables.clear_accessed(cx, start, end);
            }
            // Shared memory would only have to be swapped in.
            Advice::WillNeed if !vma.is_anonymous() && !cx.file(FileId(vma.file)).is_shmem() => {
                read_ahead(cx, vma, start, end);
            }
            Advice::WillNeed | Advice::PopulateRead | Advice::PopulateWrite => {}
            Advice::Remove => self.punch_hole(cx, vma, start, end)?,
            _ => {
                let advised = advised_flags(vma, advice).ok_or(Errno::EINVAL)?;
                if advised != flags {
                    // Linux tells want of resources apart from a hole.
                    self.change_flags(cx, slot, (start, end), advised, VmaOp::Advise).map_err(|_| Errno::EAGAIN)?;
                }
            }
        }
        Ok(())
    }
}

/// The flags of a VMA after advice that concerns nothing else; `None` if it does not fit.
fn advised_flags(vma: &Vma, advice: Advice) -> Option<VmFlags> {
    let flags = vma.flags();
    Some(match advice {
        Advice::Normal => flags - VmFlags::RAND_READ - VmFlags::SEQ_READ,
        Advice::Random => (flags - VmFlags::SEQ_READ) | VmFlags::RAND_READ,
        Advice::Sequential => (flags - VmFlags::RAND_READ) | VmFlags::SEQ_READ,
        Advice::DontFork => flags | VmFlags::DONTCOPY,
        Advice::DoFork => flags - VmFlags::DONTCOPY,
        Advice::WipeOnFork if vma.is_anonymous() => flags | VmFlags::WIPEONFORK,
        Advice::WipeOnFork => return None,
        Advice::KeepOnFork => flags - VmFlags::WIPEONFORK,
        Advice::DontDump => flags | VmFlags::DONTDUMP,
        Advice::DoDump => flags - VmFlags::DONTDUMP,
        // Equal shared pages are never joined: the advice is ignored.
        Advice::Mergeable if !flags.contains(VmFlags::MAYSHARE) => flags | VmFlags::MERGEABLE,
        Advice::Unmergeable => flags - VmFlags::MERGEABLE,
        Advice::HugePage => (flags - VmFlags::NOHUGEPAGE) | VmFlags::HUGEPAGE,
        Advice::NoHugePage => (flags - VmFlags::HUGEPAGE) | VmFlags::NOHUGEPAGE,
        _ => flags,
    })
}

/// MADV_WILLNEED: reads the file's pages into the cache, as far as the file and memory go.
fn read_ahead<M: Machine, T: Trace>(cx: &mut Context<M, T>, vma: &Vma, start: u64, end: u64) {
    let first = vma.pgoff_at(start);
    let refused = cx.refused;
    for index in first..first + ((end - start) >> PAGE_SHIFT) {
        if cx.read_page(FileId(vma.file), index).is_err() {
            break;
        }
    }
    // Nobody misses what could not be read.
    cx.refused = refused;
}
