//! Taking a file's pages out of an address space before the file loses them: truncation, and holes.

use core::ops::Range;

use pagelab_abi::layout::{PAGE_SHIFT, PAGE_SIZE};

use crate::{
    context::Context,
    errno::Errno,
    file::{FileId, ReadError},
    machine::Machine,
    page_table::Pte,
    space::AddressSpace,
    trace::Trace,
    vma::{VmFlags, Vma},
};

impl AddressSpace {
    /// Unmaps the pages of a file from `first` on, private copies of them too: for a file that becomes shorter. A later
    /// touch is a SIGBUS.
    pub fn unmap_file_range<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, file: FileId, first: u64) {
        self.each_part(cx, file, first..u64::MAX, |space, cx, _, start, end| space.zap(cx, start, end));
    }

    /// Unmaps these pages of a file, but no private copies of them: for a hole that is punched into it.
    pub fn unmap_file_hole<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, file: FileId, hole: Range<u64>) {
        self.each_part(cx, file, hole, |space, cx, vma, start, end| {
            if vma.flags().contains(VmFlags::MAYSHARE) {
                space.zap(cx, start, end);
            } else {
                space.zap_originals(cx, start, end);
            }
        });
    }

    /// Calls `visit` with each VMA that shows some of these pages, and the addresses where it does.
    fn each_part<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        file: FileId,
        pages: Range<u64>,
        mut visit: impl FnMut(&mut Self, &mut Context<M, T>, &Vma, u64, u64),
    ) {
        let mut slot = self.vmas.first;
        while slot != 0 {
            let vma = *cx.vma(slot);
            slot = vma.next;
            let (first, last) = (pages.start.max(vma.pgoff), pages.end.min(vma.pgoff + vma.pages()));
            if vma.file == file.0 && first < last {
                let address = |page: u64| vma.start + ((page - vma.pgoff) << PAGE_SHIFT);
                visit(self, cx, &vma, address(first), address(last));
            }
        }
    }

    /// Unmaps the file's own pages.
    fn zap_originals<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, start: u64, end: u64) {
        for page in (start..end).step_by(PAGE_SIZE as usize) {
            let pte = self.tables.get(&cx.machine, page);
            if pte.is_mapped() && !cx.machine.pages()[pte.pfn().index()].is_anonymous() {
                let old = self.tables.change(cx, page, Pte::EMPTY);
                self.usage.release(cx, old);
            }
        }
    }

    /// MADV_REMOVE of a part of a VMA.
    pub(super) fn punch_hole<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        vma: &Vma,
        start: u64,
        end: u64,
    ) -> Result<(), Errno> {
        if vma.is_anonymous() {
            return Err(Errno::EINVAL);
        }
        if !vma.flags().contains(VmFlags::SHARED | VmFlags::MAYWRITE) {
            return Err(Errno::EACCES);
        }
        let file = FileId(vma.file);
        if !cx.file(file).is_shmem() {
            return Err(Errno::EOPNOTSUPP);
        }
        let (first, last) = (vma.pgoff_at(start), vma.pgoff_at(end));
        self.unmap_file_hole(cx, file, first..last);
        cx.punch_file(file, first * PAGE_SIZE, last * PAGE_SIZE).map_err(|error| match error {
            ReadError::PastEnd => Errno::EINVAL,
            ReadError::OutOfMemory | ReadError::NoPromise => Errno::ENOMEM,
        })
    }
}
