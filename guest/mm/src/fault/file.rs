//! First touch of a file mapping: the page-cache frame, or a private copy of it for a write.

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
    let (write, shared) = (target.access == Access::Write, target.flags.contains(VmFlags::SHARED));
    if write && !shared {
        return private_write(cx, space, target);
    }
    let (pfn, major) = read_page(cx, target)?;
    cx.get_frame(pfn).expect("a cached frame is allocated");
    let mut pte = Pte::user(pfn, target.flags);
    if write {
        pte = pte.written();
    } else if shared && target.flags.contains(VmFlags::WRITE) {
        // Nobody has to be told of the first write: these files are never written back.
        pte = pte.writable();
    }
    let owner = cx.machine.pages()[pfn.index()].owner;
    map_new(cx, space, target, pte, owner);
    // MAYSHARE says what was asked for; SHARED is cleared where nothing can be written, as in Linux.
    let kind = match (target.flags.contains(VmFlags::MAYSHARE), write) {
        (true, true) => FaultKind::SharedWrite,
        (true, false) => FaultKind::SharedRead,
        (false, _) => FaultKind::FileRead,
    };
    Ok(Done { kind, major, pfn })
}

/// A write to a private mapping: a copy.
fn private_write<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
) -> Resolution {
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
    cx.copy_frame(copy, pfn);
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
        Err(ReadError::PastEnd | ReadError::NoPromise) => Err(FaultKind::SigBus),
        Err(ReadError::OutOfMemory) => Err(FaultKind::Oom),
    }
}
