//! Objects of a cache line by type: how the kernel's own structures are reached.
//!
//! They are named by a [`Slot`], half as long as an address. Each belongs to a cache of 64-byte objects at multiples of
//! 64.

use pagelab_abi::layout::PAGE_OFFSET;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute_mut, transmute_ref};

use crate::machine::{Machine, Pfn};

/// An object's physical address divided by 64. 0 is "none", since frame 0 is never handed out.
pub type Slot = u32;

/// Bytes of an object.
pub const SLOT_SIZE: usize = 64;
/// Places for objects in a frame.
const SLOTS_PER_FRAME: u32 = 64;

/// An object as words.
type Words = [u64; SLOT_SIZE / 8];
/// A frame as objects.
type Slots = [Words; SLOTS_PER_FRAME as usize];

/// Plain data that is as large as a slot.
pub trait Object: Copy + FromBytes + IntoBytes + Immutable + KnownLayout {}

impl<T: Copy + FromBytes + IntoBytes + Immutable + KnownLayout> Object for T {}

/// The slot of an object at a direct-map address.
#[inline]
pub const fn slot_of(address: u64) -> Slot {
    ((address - PAGE_OFFSET) / SLOT_SIZE as u64) as Slot
}

/// The direct-map address of a slot.
#[inline]
pub const fn address_of(slot: Slot) -> u64 {
    PAGE_OFFSET + slot as u64 * SLOT_SIZE as u64
}

/// The object in a slot.
#[inline]
pub fn get<T: Object>(machine: &impl Machine, slot: Slot) -> &T {
    const { assert!(size_of::<T>() == SLOT_SIZE && align_of::<T>() <= align_of::<Words>()) };
    let slots: &Slots = transmute_ref!(machine.frame(Pfn(slot / SLOTS_PER_FRAME)));
    let words = &slots[(slot % SLOTS_PER_FRAME) as usize];
    T::ref_from_bytes(words.as_bytes()).expect("objects have a slot's size and alignment")
}

/// The object in a slot, writable.
#[inline]
pub fn get_mut<T: Object>(machine: &mut impl Machine, slot: Slot) -> &mut T {
    const { assert!(size_of::<T>() == SLOT_SIZE && align_of::<T>() <= align_of::<Words>()) };
    let slots: &mut Slots = transmute_mut!(machine.frame_mut(Pfn(slot / SLOTS_PER_FRAME)));
    let words = &mut slots[(slot % SLOTS_PER_FRAME) as usize];
    T::mut_from_bytes(words.as_mut_bytes()).expect("objects have a slot's size and alignment")
}
