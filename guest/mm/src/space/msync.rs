//! `msync`: nothing has to be written back, but requests are checked as on Linux.

use pagelab_abi::layout::PAGE_SIZE;

use crate::{context::Context, errno::Errno, machine::Machine, space::AddressSpace, trace::Trace, vma::VmFlags};

const MS_ASYNC: u64 = 1;
const MS_INVALIDATE: u64 = 2;
const MS_SYNC: u64 = 4;

impl AddressSpace {
    /// Checks a request to write a range back.
    ///
    /// # Errors
    /// EINVAL: unknown flags, both MS_ASYNC and MS_SYNC, an address inside a page; ENOMEM: part of the range is not
    /// mapped, or it wraps around; EBUSY: MS_INVALIDATE of locked memory.
    pub fn msync<M: Machine, T: Trace>(
        &mut self,
        cx: &Context<M, T>,
        start: u64,
        length: u64,
        flags: u64,
    ) -> Result<(), Errno> {
        let both = MS_ASYNC | MS_SYNC;
        if flags & !(both | MS_INVALIDATE) != 0 || !start.is_multiple_of(PAGE_SIZE) || flags & both == both {
            return Err(Errno::EINVAL);
        }
        // Linux's rounding wraps to 0.
        let length = length.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0);
        let end = start.checked_add(length).ok_or(Errno::ENOMEM)?;
        let (mut at, mut hole) = (start, false);
        while at < end {
            let vma = cx.vma(self.vmas.find(cx, at).ok_or(Errno::ENOMEM)?);
            if vma.start > at {
                if flags == MS_ASYNC || vma.start >= end {
                    return Err(Errno::ENOMEM);
                }
                hole = true;
            }
            if flags & MS_INVALIDATE != 0 && vma.flags().contains(VmFlags::LOCKED) {
                return Err(Errno::EBUSY);
            }
            at = vma.end;
        }
        if hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}
