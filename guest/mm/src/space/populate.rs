//! Which pages are to be brought in without being touched: for MAP_POPULATE, locked memory and MADV_POPULATE_*.
//!
//! The faults themselves are the caller's, since it records them.

use pagelab_abi::layout::PAGE_SIZE;

use crate::{
    context::Context, errno::Errno, fault::Access, machine::Machine, space::AddressSpace, trace::Trace, vma::VmFlags,
};

/// Pages of one VMA that are to be brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Populate {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// The access to do; [`Access::Write`] where a first write would need a page of its own. `None` for pages that come
    /// only when touched.
    pub access: Option<Access>,
    /// Nothing may be done with these pages (PROT_NONE): bringing them in fails.
    pub forbidden: bool,
    /// They are locked.
    pub locked: bool,
}

impl AddressSpace {
    /// The first part of `start..end` that is mapped, and what is to be done there. `None` for an empty range, too.
    pub fn next_to_populate<M: Machine, T: Trace>(
        &mut self,
        cx: &Context<M, T>,
        start: u64,
        end: u64,
    ) -> Option<Populate> {
        if start >= end {
            return None;
        }
        let vma = cx.vma(self.vmas.find_intersection(cx, start, end)?);
        let flags = vma.flags();
        let write = flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
        let access = if write { Access::Write } else { Access::Read };
        Some(Populate {
            start: vma.start.max(start),
            end: vma.end.min(end),
            access: Some(access).filter(|_| !flags.contains(VmFlags::LOCKONFAULT)),
            forbidden: !flags.intersects(VmFlags::ACCESS),
            locked: flags.contains(VmFlags::LOCKED),
        })
    }

    /// The part of `start..end` that MADV_POPULATE_READ or MADV_POPULATE_WRITE begins with: it ends with a VMA.
    ///
    /// # Errors
    /// ENOMEM: nothing is mapped at `start`; EINVAL: the access is not allowed there.
    pub fn advised_to_populate<M: Machine, T: Trace>(
        &mut self,
        cx: &Context<M, T>,
        start: u64,
        end: u64,
        access: Access,
    ) -> Result<Populate, Errno> {
        let vma = cx.vma(self.vmas.containing(cx, start).ok_or(Errno::ENOMEM)?);
        let needed = if access == Access::Write { VmFlags::WRITE } else { VmFlags::READ };
        if !vma.flags().contains(needed) {
            return Err(Errno::EINVAL);
        }
        Ok(Populate { start, end: vma.end.min(end), access: Some(access), forbidden: false, locked: false })
    }
}

/// The pages of a range.
pub fn pages(range: &Populate) -> impl Iterator<Item = u64> + use<> {
    (range.start..range.end).step_by(PAGE_SIZE as usize)
}
