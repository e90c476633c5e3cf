//! Writing the trace: the ring's producer, the string table, and bulk transfers.
#![expect(unsafe_code, reason = "a call site is found again by half of its address")]

mod ring;
mod snapshot;

use core::panic::Location;

use pagelab_abi::{
    code::{BulkKind, FaultKind, Moment},
    event::{self, Payload},
    layout::{KERNEL_VIRT, PAGE_OFFSET, TRACE_WINDOW_VIRT},
};
use pagelab_mm::{
    machine::{KernelFault, Pfn},
    trace::{CallSite, Trace},
};
use ring::Ring;
pub(crate) use snapshot::SnapshotBuffer;

use crate::arch::{cpu, port};

/// Bytes of a string that one record carries.
const STRING_PART: usize = 32;
/// Longest string: a path of 255 bytes and its slash.
const MAX_STRING: usize = 256;
/// Upper half of every address in the kernel's image.
const IMAGE_HALF: u64 = KERNEL_VIRT & !0xffff_ffff;
/// Call sites that can be told apart.
const CALL_SITES: usize = 256;

/// The kernel's side of the trace.
pub(crate) struct Tracer {
    ring: Ring,
    events: bool,
    /// The process that events are about; 0 is the kernel.
    pub(crate) pid: u32,
    call_sites: [u32; CALL_SITES],
}

impl Tracer {
    /// A tracer over the mapped trace window. Without `events` only what the host must know is written.
    pub(crate) fn new(window_size: u64, events: bool) -> Self {
        Tracer { ring: Ring::new(TRACE_WINDOW_VIRT, window_size), events, pid: 0, call_sites: [0; CALL_SITES] }
    }

    /// A tracer that goes on where another stopped for ever.
    pub(crate) fn attach(window_size: u64) -> Tracer {
        Tracer {
            ring: Ring::attach(TRACE_WINDOW_VIRT, window_size),
            events: false,
            pid: 0,
            call_sites: [0; CALL_SITES],
        }
    }

    /// Whether events are recorded.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.events
    }

    /// Writes an event that is always of interest.
    pub(crate) fn emit<P: Payload>(&mut self, payload: P, aux: u32) {
        self.ring.push(P::KIND, 0, self.pid, cpu::tsc(), aux, payload.to_words());
    }

    /// Writes an event with its own begin time and flags, if events are recorded.
    #[inline(always)]
    pub(crate) fn event<P: Payload>(&mut self, payload: P, tsc: u64, flags: u8, aux: u32) {
        if self.events {
            self.ring.push(P::KIND, flags, self.pid, tsc, aux, payload.to_words());
        }
    }

    /// Gives a string its id. The pieces are joined; what is longer than [`MAX_STRING`] is cut.
    pub(crate) fn string(&mut self, id: u32, pieces: &[&[u8]]) {
        let mut text = [0; MAX_STRING];
        let mut length = 0;
        for piece in pieces {
            let taken = &piece[..piece.len().min(MAX_STRING - length)];
            text[length..length + taken.len()].copy_from_slice(taken);
            length += taken.len();
        }
        for (part, bytes) in text.as_chunks::<STRING_PART>().0.iter().enumerate() {
            let offset = part * STRING_PART;
            if part > 0 && offset >= length {
                break;
            }
            self.emit(event::StringPart { id, length: length as u16, offset: offset as u16, bytes: *bytes }, 0);
        }
    }

    /// Sends bytes of the kernel's image or of the direct map to the host.
    pub(crate) fn bulk(&mut self, kind: BulkKind, name: u8, moment: Moment, more: bool, bytes: &[u8]) {
        let virt = bytes.as_ptr() as u64;
        let gpa = if virt >= KERNEL_VIRT { virt - KERNEL_VIRT } else { virt - PAGE_OFFSET };
        self.bulk_at(kind, name, moment, more, gpa, bytes.len() as u32);
    }

    /// Sends guest-physical memory to the host.
    pub(crate) fn bulk_at(&mut self, kind: BulkKind, name: u8, moment: Moment, more: bool, gpa: u64, length: u32) {
        self.emit(event::Bulk { gpa, length, kind, name, moment, more: u8::from(more), reserved: [0; 3] }, 0);
        port::bulk();
    }

    /// The string id of a call site: the low half of its address, which in the kernel's image is unique.
    pub(crate) fn call_site(&mut self, location: &'static Location<'static>) -> u32 {
        let id = CallSite::of(location).0;
        let first = id as usize >> 3;
        // The first is the right one but for the few that share a place. An id is announced once: where the table is
        // full, which takes more call sites than the kernel has, one goes without a name.
        for place in first..first + CALL_SITES {
            let slot = &mut self.call_sites[place % CALL_SITES];
            if *slot == id {
                return id;
            }
            if *slot == 0 {
                *slot = id;
                self.announce_call_site(id, location);
                return id;
            }
        }
        0
    }

    #[cold]
    #[inline(never)]
    fn announce_call_site(&mut self, id: u32, location: &'static Location<'static>) {
        let mut digits = [0; 10];
        let line = decimal(location.line(), &mut digits);
        self.string(id, &[location.file().as_bytes(), b":", line]);
    }
}

/// A number in decimal.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

impl Trace for Tracer {
    #[inline]
    fn frame(&mut self, mut event: event::Frame, call_site: &'static Location<'static>) {
        if self.events {
            event.call_site = self.call_site(call_site);
            self.event(event, cpu::tsc(), 0, 0);
        }
    }

    fn vma(&mut self, event: event::Vma) {
        self.event(event, cpu::tsc(), 0, 0);
    }

    #[inline]
    fn wants_slab(&self) -> bool {
        self.events
    }

    fn slab(&mut self, mut event: event::Slab, call_site: &'static Location<'static>) {
        if self.events {
            event.call_site = self.call_site(call_site);
            self.event(event, cpu::tsc(), 0, 0);
        }
    }

    fn vmalloc(&mut self, mut event: event::Vmalloc, call_site: &'static Location<'static>) {
        if self.events {
            event.call_site = self.call_site(call_site);
            self.event(event, cpu::tsc(), 0, 0);
        }
    }

    fn kernel_fault(&mut self, fault: KernelFault, start: u64, pfn: Pfn) {
        let event = event::GuestFault {
            gva: fault.address,
            rip: fault.rip,
            vma_start: start,
            ticks: cpu::tsc() - fault.tsc,
            pfn: pfn.0,
            error_code: fault.error_code,
            kind: FaultKind::Kernel,
            order: 0,
        };
        self.event(event, fault.tsc, event::GuestFault::IN_KERNEL, 0);
    }

    fn name(&mut self, id: u32, text: &[u8]) {
        self.string(id, &[text]);
    }

    fn location(&self, site: CallSite) -> Option<&'static Location<'static>> {
        // SAFETY: every call site is made from a location, which lies in the kernel's image for ever, and the image's
        // upper half of an address is always the same.
        (site != CallSite::UNKNOWN).then(|| unsafe { &*((IMAGE_HALF | u64::from(site.0)) as *const Location<'static>) })
    }
}
