//! A trace that counts.

use core::panic::Location;
use std::{cell::RefCell, rc::Rc, vec::Vec};

use pagelab_abi::{
    code::{FrameOp, Owner},
    event,
};

use super::tlb::Tlb;
use crate::{machine::Pfn, trace::Trace};

/// Counts frames by owner and keeps the VMA events. With a TLB to watch, it also notes frames that are freed too
/// early.
#[derive(Default)]
pub struct CountingTrace {
    allocated: [u64; Owner::ALL.len()],
    freed: [u64; Owner::ALL.len()],
    /// The changes to VMAs, in order.
    pub vmas: Vec<event::Vma>,
    tlb: Option<Rc<RefCell<Tlb>>>,
}

impl CountingTrace {
    /// A trace that looks at this TLB whenever frames are given back.
    pub fn watching(tlb: Rc<RefCell<Tlb>>) -> Self {
        CountingTrace { tlb: Some(tlb), ..Self::default() }
    }

    /// Frames ever taken for this owner.
    pub fn allocated(&self, owner: Owner) -> u64 {
        self.allocated[usize::from(owner.0)]
    }

    /// Frames of this owner ever given back.
    pub fn freed(&self, owner: Owner) -> u64 {
        self.freed[usize::from(owner.0)]
    }

    /// Frames taken for this owner and not given back.
    pub fn in_use(&self, owner: Owner) -> u64 {
        self.allocated(owner) - self.freed(owner)
    }
}

impl Trace for CountingTrace {
    fn frame(&mut self, event: event::Frame, _call_site: &'static Location<'static>) {
        match event.op {
            FrameOp::Alloc => self.allocated[usize::from(event.owner.0)] += u64::from(event.frames),
            FrameOp::Free => {
                self.freed[usize::from(event.owner.0)] += u64::from(event.frames);
                if let Some(tlb) = &self.tlb {
                    tlb.borrow_mut().frames_freed(Pfn(event.pfn), event.frames);
                }
            }
            _ => {}
        }
    }

    fn vma(&mut self, event: event::Vma) {
        self.vmas.push(event);
    }
}
