//! First touch of a file mapping: the page-cache frame, read-only, or a private copy of it for a write.

use pagelab_abi::{
    code::{FaultKind, Owner},
    vmstat::Counter,
};

use super::{Access, Done, Resolution, Target, map_new, out_of_memory, prepare_anon};
use crate::{
    context::Context,
    file::{FileId, ReadError},
    frame::Gfp,
    machine::{Machine, Pfn},
    page_table::Pte,
    space::AddressSpace,
    trace::Trace,
    vma::VmFlags,
};

#[inline(never)]
pub(super) fn resolve<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
) -> Resolution {
    if target.access == Access::Write {
        return write(cx, space, target);
    }
    let (pfn, major) = read_page(cx, target)?;
    cx.get_frame(pfn).expect("a cached frame is allocated");
    map_new(cx, space, target, Pte::user(pfn, target.flags), Owner::File);
    // MAYSHARE says what was asked for; SHARED is cleared where nothing can be written, as in Linux.
    let shared = target.flags.contains(VmFlags::MAYSHARE);
    Ok(Done { kind: if shared { FaultKind::SharedRead } else { FaultKind::FileRead }, major, pfn })
}

/// A write: the mapping is private, since shared ones are never writable.
fn write<M: Machine, T: Trace>(cx: &mut Context<M, T>, space: &mut AddressSpace, target: &Target) -> Resolution {
    prepare_anon(cx, space, target);
    // The copy's frame comes first, as in Linux: without one, nothing is read in.
    let copy = cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::FileCow).map_err(out_of_memory)?;
    let (pfn, major) = match read_page(cx, target) {
        Ok(page) => page,
        Err(kind) => {
            cx.put_frame(copy).expect("the frame is ours");
            return Err(kind);
        }
    };
    cx.machine.copy_frame(copy, pfn);
    map_new(cx, space, target, Pte::user(copy, target.flags).written(), Owner::FileCow);
    Ok(Done { kind: FaultKind::FileWrite, major, pfn: copy })
}

/// The page's frame in the page cache, and whether it had to be read in.
fn read_page<M: Machine, T: Trace>(cx: &mut Context<M, T>, target: &Target) -> Result<(Pfn, bool), FaultKind> {
    let result = cx.read_page(FileId(target.file), target.index);
    match result {
        Ok((pfn, missed)) => {
            cx.stats.add(Counter::Pgmajfault, u64::from(missed));
            Ok((pfn, missed))
        }
        Err(ReadError::PastEnd) => Err(FaultKind::SigBus),
        Err(ReadError::OutOfMemory) => Err(FaultKind::Oom),
    }
}
