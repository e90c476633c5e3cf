//! A write to a page that is mapped read-only in a writable private mapping: copy on write.

use pagelab_abi::{
    code::{FaultKind, Owner},
    vmstat::Counter,
};

use super::{Done, Resolution, Target, out_of_memory, prepare_anon};
use crate::{
    context::Context,
    frame::Gfp,
    machine::{Machine, Pfn},
    page_table::Pte,
    space::AddressSpace,
    trace::Trace,
};

pub(super) fn resolve<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
    pte: Pte,
) -> Resolution {
    if pte.is_special() {
        prepare_anon(cx, space, target);
        let pfn = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE | Gfp::ZERO, Owner::Anon).map_err(out_of_memory)?;
        replace(cx, space, target, pfn, Owner::Anon);
        return Ok(Done::minor(FaultKind::Cow, pfn));
    }
    let page = cx.machine.pages()[pte.pfn().index()];
    if page.is_anonymous() && page.refcount == 1 {
        // Nobody else has it: the copy would be of no use to anyone.
        space.tables.change_leaf(cx, target.leaf, target.page, pte.with_rights(target.flags).written());
        cx.stats.add(Counter::Pgreuse, 1);
        return Ok(Done::minor(FaultKind::Prot, pte.pfn()));
    }
    prepare_anon(cx, space, target);
    let owner = if page.is_anonymous() { page.owner } else { Owner::FileCow };
    let copy = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, owner).map_err(out_of_memory)?;
    cx.copy_frame(copy, pte.pfn());
    space.usage.remove_resident(page.owner);
    replace(cx, space, target, copy, owner);
    cx.machine.pages_mut()[pte.pfn().index()].mapcount -= 1;
    cx.put_frame(pte.pfn()).expect("a mapped frame is allocated");
    Ok(Done::minor(FaultKind::Cow, copy))
}

/// Maps a new frame, writable, in place of the old one, which nobody reaches through this entry afterwards.
fn replace<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
    pfn: Pfn,
    owner: Owner,
) {
    cx.machine.pages_mut()[pfn.index()].mapcount = 1;
    space.tables.change_leaf(cx, target.leaf, target.page, Pte::user(pfn, target.flags).written());
    space.usage.add_resident(owner);
}
