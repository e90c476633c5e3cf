//! Joining a range with its neighbours: Linux's rules.
//!
//! A range joins a neighbour that touches it when flags and file are the same, the page offsets continue, and their
//! anonymous pages may share an identity. Page offsets count for anonymous memory too: there they are the address it
//! was first mapped at, so two mappings that were moved next to each other stay apart.

use crate::{
    slab::Slot,
    vma::{Slots, VmFlags, Vma, VmaSet},
};

/// A range that wants to join its neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Page offset of `start`, as in [`Vma::pgoff`].
    pub pgoff: u64,
    /// The flags it has or will have.
    pub flags: VmFlags,
    /// As in [`Vma::file`].
    pub file: u32,
    /// As in [`Vma::anon`].
    pub anon: u32,
}

impl Candidate {
    fn is_like(&self, vma: &Vma) -> bool {
        self.flags == vma.flags() && self.file == vma.file && anon_fits(self.anon, vma.anon)
    }

    fn can_follow(&self, prev: &Vma) -> bool {
        prev.end == self.start && prev.pgoff_at(prev.end) == self.pgoff && self.is_like(prev)
    }

    fn can_precede(&self, next: &Vma) -> bool {
        self.end == next.start && next.pgoff_at(self.start) == self.pgoff && self.is_like(next)
    }
}

/// Whether two anon identities can become one. Two different ones never can: pages already point at them.
fn anon_fits(one: u32, other: u32) -> bool {
    one == 0 || other == 0 || one == other
}

/// The identity that a merge of VMAs with these ones has.
fn anon_of(identities: [u32; 3]) -> u32 {
    identities.into_iter().find(|&anon| anon != 0).unwrap_or(0)
}

impl VmaSet {
    /// Joins a range where nothing is mapped yet with its neighbours. Returns the VMA that now covers it, or `None`
    /// if neither neighbour fits: then the range needs a VMA of its own.
    pub fn merge_new<S: Slots>(&mut self, slots: &mut S, new: &Candidate) -> Option<Slot> {
        let (prev, next) = self.neighbours(slots, new.start);
        let (left, right) = sides(slots, new, prev, next);
        match (left, right) {
            (false, false) => None,
            (true, false) => {
                let vma = slots.vma_mut(prev);
                vma.anon = anon_of([vma.anon, new.anon, 0]);
                let start = vma.start;
                self.resize(slots, prev, start, new.end);
                Some(prev)
            }
            (false, true) => {
                let vma = slots.vma_mut(next);
                vma.anon = anon_of([vma.anon, new.anon, 0]);
                let end = vma.end;
                self.resize(slots, next, new.start, end);
                Some(next)
            }
            (true, true) => Some(self.join(slots, prev, next, new.anon)),
        }
    }

    /// Joins `start..end`, a part of the VMA in `slot` that is about to have `flags`, with the neighbours it touches.
    /// Returns the VMA that now covers it, or `None` if no neighbour fits: then nothing has changed.
    pub fn merge_changed<S: Slots>(
        &mut self,
        slots: &mut S,
        slot: Slot,
        start: u64,
        end: u64,
        flags: VmFlags,
    ) -> Option<Slot> {
        let old = *slots.vma(slot);
        let changed = Candidate { start, end, pgoff: old.pgoff_at(start), flags, file: old.file, anon: old.anon };
        let prev = if start == old.start { old.prev } else { 0 };
        let next = if end == old.end { old.next } else { 0 };
        let (left, right) = sides(slots, &changed, prev, next);
        if left && right {
            self.remove(slots, slot);
            return Some(self.join(slots, prev, next, old.anon));
        }
        if !left && !right {
            return None;
        }
        if start == old.start && end == old.end {
            self.remove(slots, slot);
        } else if left {
            self.resize(slots, slot, end, old.end);
        } else {
            self.resize(slots, slot, old.start, start);
        }
        let target = if left { prev } else { next };
        let vma = slots.vma_mut(target);
        vma.anon = anon_of([vma.anon, old.anon, 0]);
        let (first, last) = (vma.start, vma.end);
        self.resize(slots, target, first.min(start), last.max(end));
        Some(target)
    }

    /// Makes one VMA, in `prev`'s slot, of `prev`, `next` and all between them.
    fn join<S: Slots>(&mut self, slots: &mut S, prev: Slot, next: Slot, middle_anon: u32) -> Slot {
        let (end, next_anon) = (slots.vma(next).end, slots.vma(next).anon);
        self.remove(slots, next);
        let vma = slots.vma_mut(prev);
        vma.anon = anon_of([vma.anon, next_anon, middle_anon]);
        let start = vma.start;
        self.resize(slots, prev, start, end);
        prev
    }
}

/// With which of its neighbours (0 for none) a range can join. It joins both only if these fit each other too;
/// otherwise the lower one is preferred.
fn sides<S: Slots>(slots: &S, range: &Candidate, prev: Slot, next: Slot) -> (bool, bool) {
    let left = prev != 0 && range.can_follow(slots.vma(prev));
    let right = next != 0
        && range.can_precede(slots.vma(next))
        && (!left || anon_fits(slots.vma(prev).anon, slots.vma(next).anon));
    (left, right)
}
