//! A growable store of fixed-size objects whose memory comes from the frame allocator.
//!
//! A frame holds 64 slots. Which of them are live is a bitmap in the frame's own `Page` (`mapping` and `index`, which
//! only page-cache frames use otherwise), and the frames with room form a list through `Page::next` and `Page::prev`.
//! So a new frame needs no preparation, and freeing a slot twice is always noticed.

use core::{fmt, marker::PhantomData};

use pagelab_abi::code::Owner;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute_mut, transmute_ref};

use crate::{
    frame::Page,
    machine::{Machine, Pfn},
};

/// Index of an object in an [`Arena`]: the number of the frame that holds it times the slots in a frame, plus the
/// slot. 0 is "none", since frame 0 is never handed out.
pub type Slot = u32;

/// Bytes of an object.
const SLOT_SIZE: usize = 64;
/// Objects in a frame.
pub const SLOTS_PER_FRAME: u32 = 64;

/// An object's slot as words.
type Words = [u64; SLOT_SIZE / 8];
/// A frame as slots.
type Slots = [Words; SLOTS_PER_FRAME as usize];

/// Plain data that fits a slot exactly.
pub trait Object: Copy + FromBytes + IntoBytes + Immutable + KnownLayout {}

impl<T: Copy + FromBytes + IntoBytes + Immutable + KnownLayout> Object for T {}

/// The slot holds no live object: it was freed before, or it is no slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotLive(pub Slot);

impl fmt::Display for NotLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arena slot {:#x} holds no live object", self.0)
    }
}

impl core::error::Error for NotLive {}

/// Objects of type `T`, 64 bytes each, in frames of their own.
///
/// The arena does not call the frame allocator: the one who owns both gives it a frame when it [`is_full`] and takes
/// back what [`remove`] empties, as [`crate::context::Context::alloc_vma`] does.
///
/// [`is_full`]: Arena::is_full
/// [`remove`]: Arena::remove
#[derive(Debug)]
pub struct Arena<T> {
    /// First frame with a free slot; 0 = none.
    partial: u32,
    /// Live objects.
    live: u32,
    /// Frames in use.
    frames: u32,
    objects: PhantomData<T>,
}

impl<T> Arena<T> {
    /// An empty arena; it takes its first frame with its first object.
    pub const fn new() -> Self {
        const { assert!(size_of::<T>() == SLOT_SIZE && align_of::<T>() <= align_of::<Words>()) };
        Arena { partial: 0, live: 0, frames: 0, objects: PhantomData }
    }

    /// Live objects.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Frames in use.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether the next object needs another frame.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.partial == 0
    }

    /// Takes over a frame freshly allocated with [`Owner::Slab`] for this arena.
    pub fn add_frame(&mut self, machine: &mut impl Machine, frame: Pfn) {
        self.frames += 1;
        set_live_slots(&mut machine.pages_mut()[frame.index()], 0);
        self.link(machine.pages_mut(), frame.0);
    }

    /// Puts the frame first in the list of those with room.
    fn link(&mut self, pages: &mut [Page], frame: u32) {
        pages[frame as usize].next = self.partial;
        pages[frame as usize].prev = 0;
        if self.partial != 0 {
            pages[self.partial as usize].prev = frame;
        }
        self.partial = frame;
    }

    /// Takes the frame out of the list of those with room.
    fn unlink(&mut self, pages: &mut [Page], frame: u32) {
        let Page { next, prev, .. } = pages[frame as usize];
        if prev == 0 {
            self.partial = next;
        } else {
            pages[prev as usize].next = next;
        }
        if next != 0 {
            pages[next as usize].prev = prev;
        }
    }
}

impl<T: Object> Arena<T> {
    /// Stores an object. `None` if the arena [`is_full`](Arena::is_full).
    #[inline]
    pub fn insert(&mut self, machine: &mut impl Machine, object: T) -> Option<Slot> {
        if self.is_full() {
            return None;
        }
        let frame = self.partial;
        let pages = machine.pages_mut();
        let live = live_slots(&pages[frame as usize]);
        let index = live.trailing_ones();
        let live = live | 1 << index;
        set_live_slots(&mut pages[frame as usize], live);
        if live == u64::MAX {
            self.unlink(pages, frame);
        }
        self.live += 1;
        let slot = frame * SLOTS_PER_FRAME + index;
        *self.get_mut(machine, slot) = object;
        Some(slot)
    }

    /// Forgets an object. A frame that holds no other object, while others have room, is returned: the caller gives
    /// it back to the frame allocator.
    pub fn remove(&mut self, machine: &mut impl Machine, slot: Slot) -> Result<Option<Pfn>, NotLive> {
        let frame = slot / SLOTS_PER_FRAME;
        let bit = 1 << (slot % SLOTS_PER_FRAME);
        let pages = machine.pages_mut();
        let page = pages.get_mut(frame as usize).ok_or(NotLive(slot))?;
        let live = live_slots(page);
        if page.owner != Owner::Slab || live & bit == 0 {
            return Err(NotLive(slot));
        }
        set_live_slots(page, live & !bit);
        self.live -= 1;
        if live == u64::MAX {
            self.link(pages, frame);
        } else if live == bit && (self.partial != frame || pages[frame as usize].next != 0) {
            self.unlink(pages, frame);
            self.frames -= 1;
            return Ok(Some(Pfn(frame)));
        }
        Ok(None)
    }

    /// The object in a live slot.
    #[inline]
    pub fn get<'m>(&self, machine: &'m impl Machine, slot: Slot) -> &'m T {
        let slots: &Slots = transmute_ref!(machine.frame(Pfn(slot / SLOTS_PER_FRAME)));
        let words = &slots[(slot % SLOTS_PER_FRAME) as usize];
        T::ref_from_bytes(words.as_bytes()).expect("objects have a slot's size and alignment")
    }

    /// The object in a live slot, writable.
    #[inline]
    pub fn get_mut<'m>(&self, machine: &'m mut impl Machine, slot: Slot) -> &'m mut T {
        let slots: &mut Slots = transmute_mut!(machine.frame_mut(Pfn(slot / SLOTS_PER_FRAME)));
        let words = &mut slots[(slot % SLOTS_PER_FRAME) as usize];
        T::mut_from_bytes(words.as_mut_bytes()).expect("objects have a slot's size and alignment")
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The bitmap of a frame's live slots.
#[inline]
fn live_slots(page: &Page) -> u64 {
    u64::from(page.mapping) | u64::from(page.index) << 32
}

#[inline]
fn set_live_slots(page: &mut Page, live: u64) {
    page.mapping = live as u32;
    page.index = (live >> 32) as u32;
}
