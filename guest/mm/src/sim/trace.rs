//! A trace that counts.

use core::panic::Location;
use std::{cell::RefCell, collections::HashMap, rc::Rc, string::String, vec::Vec};

use pagelab_abi::{
    code::{FrameOp, Owner},
    event,
};

use super::tlb::Tlb;
use crate::{
    machine::{KernelFault, Pfn},
    trace::{CallSite, Trace},
};

/// Counts frames by owner and keeps the VMA events. With a TLB to watch, it also notes frames that are freed too
/// early.
#[derive(Default)]
pub struct CountingTrace {
    allocated: [u64; Owner::ALL.len()],
    freed: [u64; Owner::ALL.len()],
    /// The changes to VMAs, in order.
    pub vmas: Vec<event::Vma>,
    /// What happened in caches of kernel objects, in order.
    pub slabs: Vec<event::Slab>,
    /// What happened in the kernel's own virtual memory, in order.
    pub areas: Vec<event::Vmalloc>,
    /// The kernel's own faults that were served, in order, with the frames they gave.
    pub kernel_faults: Vec<(KernelFault, Pfn)>,
    /// Strings by their ids.
    pub names: HashMap<u32, String>,
    sites: HashMap<u32, &'static Location<'static>>,
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
    fn frame(&mut self, event: event::Frame, call_site: &'static Location<'static>) {
        self.sites.insert(CallSite::of(call_site).0, call_site);
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

    fn slab(&mut self, event: event::Slab, call_site: &'static Location<'static>) {
        self.sites.insert(CallSite::of(call_site).0, call_site);
        self.slabs.push(event);
    }

    fn vmalloc(&mut self, event: event::Vmalloc, call_site: &'static Location<'static>) {
        self.sites.insert(CallSite::of(call_site).0, call_site);
        self.areas.push(event);
    }

    fn kernel_fault(&mut self, fault: KernelFault, _start: u64, pfn: Pfn) {
        self.kernel_faults.push((fault, pfn));
    }

    fn name(&mut self, id: u32, text: &[u8]) {
        self.names.insert(id, String::from_utf8_lossy(text).into_owned());
    }

    fn remember(&mut self, location: &'static Location<'static>) -> CallSite {
        self.sites.insert(CallSite::of(location).0, location);
        CallSite::of(location)
    }

    fn location(&self, site: CallSite) -> Option<&'static Location<'static>> {
        self.sites.get(&site.0).copied()
    }
}
