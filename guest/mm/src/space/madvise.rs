//! `madvise(MADV_DONTNEED)`: forgetting the contents of pages.

use pagelab_abi::{code::VmaOp, layout::PAGE_SIZE};

use crate::{context::Context, errno::Errno, machine::Machine, space::AddressSpace, trace::Trace, vma::VmFlags};

impl AddressSpace {
    /// Takes the pages of a range away: the next touch finds zeros, or the file's contents. A hole in the range is
    /// answered with ENOMEM, but only after all mapped parts have been treated.
    ///
    /// # Errors
    /// EINVAL: an address inside a page, a range that wraps around, locked memory (what comes before it is done);
    /// ENOMEM: part of the range is not mapped.
    pub fn madvise_dontneed<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        start: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let end = length.checked_next_multiple_of(PAGE_SIZE).and_then(|length| start.checked_add(length));
        let end = end.filter(|_| start.is_multiple_of(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
        let (mut at, mut hole) = (start, false);
        while at < end {
            let slot = self.vmas.find(cx, at).ok_or(Errno::ENOMEM)?;
            let vma = *cx.vma(slot);
            let from = vma.start.max(at);
            hole |= from > at;
            if from >= end {
                break;
            }
            if vma.flags().contains(VmFlags::LOCKED) {
                return Err(Errno::EINVAL);
            }
            at = vma.end.min(end);
            self.zap(cx, from, at);
            self.emit(cx, VmaOp::DontNeed, &vma, from, at);
        }
        if hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}
