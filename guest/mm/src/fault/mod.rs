//! Page faults: what a program touched and what is done about it. One case a file.
//!
//! Which kinds count where, as in Linux:
//!
//! | kind | pgfault | min_flt or maj_flt | pgmajfault | pgreuse | RSS |
//! | --- | --- | --- | --- | --- | --- |
//! | anon_write, stack (write) | 1 | min | | | anon + 1 |
//! | anon_read, stack (read) | 1 | min | | | |
//! | file_read, shared_read, shared_write | 1 | maj if the page was read in, else min | 1 if read in | | file + 1 or shmem + 1 |
//! | file_write | 1 | the same | the same | | anon + 1 |
//! | cow of the zero page | 1 | min | | | anon + 1 |
//! | cow of a file page | 1 | min | | | anon + 1, file - 1 |
//! | cow of a shared anonymous page | 1 | min | | | |
//! | prot | 1 | min | | 1 if it became writable | |
//! | spurious | 1 | min | | | |
//! | sigbus | 1 | | | | |
//! | oom | 1 | | | | |
//! | segv_maperr, segv_accerr | | | | | |
//!
//! Linux counts pgfault for whatever reaches handle_mm_fault, whether it succeeds or not, and a process's own faults
//! only for success. A fault without a VMA that grants the access does not get there. pgmajfault is counted here when
//! the page has been read in (Linux: when the reading begins, so that one that finds no frame counts there too).

mod anon;
mod cow;
mod file;
mod present;
mod resolve;

use pagelab_abi::{
    code::{FaultKind, Owner},
    layout::{PAGE_SHIFT, PAGE_SIZE},
    vmstat::Counter,
};

use crate::{
    context::Context,
    frame::OutOfMemory,
    machine::{Machine, Pfn},
    page_table::{Leaf, Pte},
    slab::Slot,
    space::AddressSpace,
    trace::Trace,
    vma::VmFlags,
};

pub use resolve::{NotMapped, resolve};

/// What a program wanted of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Instruction fetch.
    Execute,
}

/// A page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The address (CR2).
    pub address: u64,
    /// What was wanted.
    pub access: Access,
    /// Ring 3 wanted it, not the kernel on the program's behalf. Both get the same.
    pub user: bool,
}

/// What was done about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it was resolved, or why not.
    pub kind: FaultKind,
    /// The page had to be read in.
    pub major: bool,
    /// The frame that is mapped now; [`Pfn::NONE`] if the fault was not resolved.
    pub pfn: Pfn,
    /// Order of the frame.
    pub order: u8,
    /// Start of the VMA after the fault; 0 if there is none.
    pub vma_start: u64,
}

/// A page that may be touched: where it is and what its VMA says.
struct Target {
    /// First byte of the page.
    page: u64,
    access: Access,
    /// Where its page-table entry is.
    leaf: Leaf,
    slot: Slot,
    flags: VmFlags,
    /// The mapped file; 0 for anonymous memory.
    file: u32,
    /// The VMA's anon identity; 0 if it has none yet.
    anon: u32,
    /// The page's number in the file.
    index: u64,
}

/// A fault that was resolved.
struct Done {
    kind: FaultKind,
    major: bool,
    pfn: Pfn,
}

/// How a case ends: resolved, or the kind that says why not.
type Resolution = Result<Done, FaultKind>;

impl Done {
    #[inline]
    const fn minor(kind: FaultKind, pfn: Pfn) -> Done {
        Done { kind, major: false, pfn }
    }
}

/// Resolves a fault, or says why the program must not go on. The same for every access that cannot go on through
/// the page tables as they are, from ring 3 or on its behalf.
#[inline]
pub fn handle<M: Machine, T: Trace>(cx: &mut Context<M, T>, space: &mut AddressSpace, fault: Fault) -> Outcome {
    let refused = |kind, vma_start| Outcome { kind, major: false, pfn: Pfn::NONE, order: 0, vma_start };
    let Some(slot) = space.vmas.find(cx, fault.address) else {
        return refused(FaultKind::SegvMapErr, 0);
    };
    let grew = fault.address < cx.vma(slot).start;
    if grew && space.expand_stack(cx, fault.address).is_err() {
        return refused(FaultKind::SegvMapErr, 0);
    }
    let vma = cx.vma(slot);
    let (start, flags, file, anon) = (vma.start, vma.flags(), vma.file, vma.anon);
    let page = fault.address & !(PAGE_SIZE - 1);
    let index = vma.pgoff + ((page - start) >> PAGE_SHIFT);
    if !grants(flags, fault.access) {
        return refused(FaultKind::SegvAccErr, start);
    }
    cx.stats.add(Counter::Pgfault, 1);
    let Ok(leaf) = space.tables.leaf(cx, page) else {
        return refused(FaultKind::Oom, start);
    };
    // Made where it is used, so that the commonest case can keep it in registers.
    let target = || Target { page, access: fault.access, leaf, slot, flags, file, anon, index };
    let pte = Pte(cx.machine.pte(leaf.table, leaf.index));
    let resolution = if pte != Pte::EMPTY {
        present::resolve(cx, space, &target(), pte)
    } else if file == 0 {
        anon::resolve(cx, space, &target())
    } else {
        file::resolve(cx, space, &target())
    };
    match resolution {
        Ok(Done { kind, major, pfn }) => {
            if major {
                space.usage.maj_flt += 1;
            } else {
                space.usage.min_flt += 1;
            }
            let kind = if grew { FaultKind::Stack } else { kind };
            Outcome { kind, major, pfn, order: 0, vma_start: start }
        }
        Err(kind) => refused(kind, start),
    }
}

/// Whether a VMA with these flags grants the access. What can be written or executed can be read: page tables know
/// no other way.
#[inline]
fn grants(flags: VmFlags, access: Access) -> bool {
    flags.intersects(match access {
        Access::Read => VmFlags::ACCESS,
        Access::Write => VmFlags::WRITE,
        Access::Execute => VmFlags::EXEC,
    })
}

/// Gives the VMA an anon identity before its first anonymous page.
#[inline]
fn prepare_anon<M: Machine, T: Trace>(cx: &mut Context<M, T>, space: &mut AddressSpace, target: &Target) {
    if target.anon == 0 {
        space.vmas.prepare_anon(cx, target.slot);
    }
}

/// Maps a frame, of which the entry gets a reference that the caller took, where nothing was mapped: nothing to flush.
#[inline]
fn map_new<M: Machine, T: Trace>(
    cx: &mut Context<M, T>,
    space: &mut AddressSpace,
    target: &Target,
    pte: Pte,
    owner: Owner,
) {
    cx.machine.pages_mut()[pte.pfn().index()].mapcount += 1;
    cx.machine.set_pte(target.leaf.table, target.leaf.index, pte.0);
    space.usage.add_resident(owner);
}

/// No frame: the kind that says so.
#[cold]
fn out_of_memory(_: OutOfMemory) -> FaultKind {
    FaultKind::Oom
}
