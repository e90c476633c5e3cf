//! First touch of anonymous memory: a zero-filled frame for a write, the shared zero page for a read.

use pagelab_abi::code::{FaultKind, Owner};

use super::{Access, Done, Resolution, Target, map_new, out_of_memory, prepare_anon};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    page_table::Pte,
    space::AddressSpace,
    trace::Trace,
};

#[inline]
pub(super) fn resolve<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
) -> Resolution {
    if target.access == Access::Write {
        prepare_anon(cx, space, target);
        let pfn = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE | Gfp::ZERO, Owner::Anon).map_err(out_of_memory)?;
        map_new(cx, space, target, Pte::user(pfn, target.flags).written(), Owner::Anon);
        return Ok(Done::minor(FaultKind::AnonWrite, pfn));
    }
    let pfn = zero_page(cx).map_err(out_of_memory)?;
    cx.machine.set_pte(target.leaf.table, target.leaf.index, Pte::user(pfn, target.flags).special().0);
    Ok(Done::minor(FaultKind::AnonRead, pfn))
}

/// The zero page, made on first use.
fn zero_page<M: Machine, T: Trace>(cx: &mut Context<M, T>) -> Result<Pfn, OutOfMemory> {
    if cx.zero_page == Pfn::NONE {
        cx.zero_page = cx.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::ZeroPage)?;
    }
    Ok(cx.zero_page)
}
