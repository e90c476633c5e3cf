//! What the kernel's copies to and from a program need: the frame behind an address, as ring 3 would reach it.

use pagelab_abi::layout::TASK_SIZE;

use crate::{
    context::Context,
    machine::{Machine, Pfn},
    space::AddressSpace,
    trace::Trace,
};

/// The page tables do not grant the access: [`super::handle`] may help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotMapped;

/// The frame that ring 3 would read (or write) at `address` without a fault. Takes no fault itself.
///
/// # Errors
/// Ring 3 would fault.
#[inline]
pub fn resolve<M: Machine, T: Trace>(
    cx: &Context<M, T>,
    space: &AddressSpace,
    address: u64,
    write: bool,
) -> Result<Pfn, NotMapped> {
    if address >= TASK_SIZE {
        return Err(NotMapped);
    }
    let pte = space.tables.get(&cx.machine, address);
    let granted = pte.is_present() && pte.is_user() && (pte.is_writable() || !write);
    granted.then_some(pte.pfn()).ok_or(NotMapped)
}
