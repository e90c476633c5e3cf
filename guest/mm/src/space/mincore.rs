//! `mincore`: which pages are in memory.

use pagelab_abi::layout::{PAGE_SHIFT, PAGE_SIZE, TASK_SIZE};

use crate::{context::Context, errno::Errno, machine::Machine, space::AddressSpace, trace::Trace, vma::FileId};

impl AddressSpace {
    /// Calls `answer` for each page of a range, in order, with the page's number in the range and whether a touch
    /// would find it in memory: mapped, or for a file mapping in the page cache.
    ///
    /// # Errors
    /// EINVAL: an address inside a page; ENOMEM: the range leaves the user half, or a page is not mapped (the pages
    /// before it have been answered).
    pub fn mincore<M: Machine, T: Trace>(
        &mut self,
        cx: &Context<M, T>,
        start: u64,
        length: u64,
        mut answer: impl FnMut(u64, bool),
    ) -> Result<(), Errno> {
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if start > TASK_SIZE || length > TASK_SIZE - start {
            return Err(Errno::ENOMEM);
        }
        let end = start + length.next_multiple_of(PAGE_SIZE);
        let mut at = start;
        while at < end {
            let vma = *cx.vma(self.vmas.containing(cx, at).ok_or(Errno::ENOMEM)?);
            while at < vma.end.min(end) {
                let resident = self.tables.get(&cx.machine, at).is_mapped()
                    || !vma.is_anonymous() && cx.cached(FileId(vma.file), vma.pgoff_at(at)).is_some();
                answer((at - start) >> PAGE_SHIFT, resident);
                at += PAGE_SIZE;
            }
        }
        Ok(())
    }
}
