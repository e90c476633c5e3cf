//! Page faults that the host wants to look at: as any other, and one port exit each.

use core::ptr;

use pagelab_abi::trap::{FaultTrap, TrapFrame};

use super::{conclude, resolve};
use crate::{arch::port, fs::mapped, state::Kernel};

/// Bytes of a mapping's name that are shown.
const MAX_NAME: usize = 256;

/// A page fault in ring 3: resolves it, shows it to the host, and then sends the signal that tells of it.
#[cold]
#[inline(never)]
pub(crate) fn user_fault(kernel: &mut Kernel, frame: &TrapFrame) {
    let entries_before = kernel.process.space.tables.entries(&kernel.mm.machine, frame.fault_address);
    let outcome = resolve(kernel, frame);
    let space = &mut kernel.process.space;
    let (mut vma_start, mut vma_end, mut vma_flags, mut name) = (0, 0, 0, 0);
    if let Some(slot) = space.vmas.containing(&kernel.mm, frame.fault_address) {
        let vma = kernel.mm.vma(slot);
        (vma_start, vma_end, vma_flags) = (vma.start, vma.end, vma.flags().bits());
        name = space.name_of(&kernel.mm, vma);
    }
    let mut text = [0; MAX_NAME];
    let length = mapped::name_of(kernel, name, &mut text);
    port::fault_trap(&FaultTrap {
        frame: ptr::from_ref(frame) as u64,
        entries_before,
        vma_start,
        vma_end,
        name: text.as_ptr() as u64,
        name_length: length as u32,
        vma_flags,
        pfn: outcome.pfn.0,
        kind: outcome.kind,
        padding: [0; 3],
    });
    conclude(kernel, frame, outcome.kind);
}
