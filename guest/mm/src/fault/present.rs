//! A fault on a page that is mapped: rights to raise, a copy to make, or nothing to do.

use pagelab_abi::code::FaultKind;

use super::{Access, Done, Resolution, Target, cow};
use crate::{context::Context, machine::Machine, page_table::Pte, space::AddressSpace, trace::Trace, vma::VmFlags};

#[inline(never)]
pub(super) fn resolve<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
    pte: Pte,
) -> Resolution {
    let shared = target.flags.contains(VmFlags::SHARED);
    if target.access == Access::Write && !pte.is_writable() && !shared {
        return cow::resolve(cx, space, target, pte);
    }
    let mut raised = pte.with_rights(target.flags);
    if shared && target.flags.contains(VmFlags::WRITE) {
        raised = raised.writable();
    }
    if raised != pte {
        space.tables.change_leaf(cx, target.leaf, target.page, Pte(raised.0 | Pte::ACCESSED));
        return Ok(Done::minor(FaultKind::Prot, pte.pfn()));
    }
    // The tables grant the access: the TLB held an older entry, or another CPU was faster.
    cx.machine.flush_page(space.tables.root, target.page);
    Ok(Done::minor(FaultKind::Spurious, pte.pfn()))
}
