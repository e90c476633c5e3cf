//! Telling the trace what happens to VMAs.

use pagelab_abi::{code::VmaOp, event, layout::PAGE_SHIFT, name};

use crate::{
    context::Context,
    machine::Machine,
    slab::Slot,
    space::{AddressSpace, map},
    trace::Trace,
    vma::{FileId, VmFlags, Vma},
};

impl AddressSpace {
    /// Says what happened to the whole VMA in a slot.
    pub(super) fn emit_vma<M: Machine, T: Trace>(&self, cx: &mut Context<M, T>, op: VmaOp, slot: Slot) {
        let vma = *cx.vma(slot);
        self.emit(cx, op, &vma, vma.start, vma.end);
    }

    /// Says what happened to `start..end`, a part of `vma` (which may be gone or not yet there).
    pub(super) fn emit<M: Machine, T: Trace>(
        &self,
        cx: &mut Context<M, T>,
        op: VmaOp,
        vma: &Vma,
        start: u64,
        end: u64,
    ) {
        let flags = vma.flags();
        let file = self.name_of(cx, vma);
        cx.trace.vma(event::Vma {
            start,
            end,
            offset: vma.pgoff_at(start) << PAGE_SHIFT,
            op,
            prot: (flags & VmFlags::ACCESS).bits() as u8,
            padding: 0,
            map_flags: map_flags(vma),
            file,
            reserved: 0,
        });
    }

    /// The string id of the file or the name that `/proc/PID/maps` shows for a VMA; 0 if none.
    pub fn name_of<M: Machine, T: Trace>(&self, cx: &Context<M, T>, vma: &Vma) -> u32 {
        if !vma.is_anonymous() {
            cx.file(FileId(vma.file)).name
        } else if vma.start < self.brk && vma.end > self.brk_start {
            name::HEAP
        } else if vma.start <= self.stack_start && self.stack_start <= vma.end {
            name::STACK
        } else {
            0
        }
    }
}

/// The MAP_* bits that describe a VMA.
fn map_flags(vma: &Vma) -> u32 {
    let flags = vma.flags();
    let bit = |condition: bool, bit: u64| if condition { bit as u32 } else { 0 };
    let kind = if flags.contains(VmFlags::MAYSHARE) { map::SHARED } else { map::PRIVATE };
    kind as u32
        | bit(vma.is_anonymous(), map::ANONYMOUS)
        | bit(flags.contains(VmFlags::GROWSDOWN), map::GROWSDOWN)
        | bit(flags.contains(VmFlags::LOCKED), map::LOCKED)
        | bit(flags.contains(VmFlags::NORESERVE), map::NORESERVE)
}
