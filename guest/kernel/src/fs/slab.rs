//! Objects of 64 bytes for the file system: inodes, dentries, open descriptions, pieces of names. All in one arena, so that a
//! small program costs one frame for all of them.

use pagelab_abi::code::Owner;
use pagelab_mm::{
    arena::{Arena, Object},
    errno::Errno,
    frame::Gfp,
};
use zerocopy::IntoBytes;

use crate::state::Mm;

/// An object's place; 0 is none.
pub(crate) type Slot = u32;
type Words = [u64; 8];

/// The objects.
pub(crate) struct Slab(Arena<Words>);

impl Slab {
    pub(super) const fn new() -> Slab {
        Slab(Arena::new())
    }

    /// Stores an object.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn insert<T: Object>(&mut self, mm: &mut Mm, object: T) -> Result<Slot, Errno> {
        const { assert!(size_of::<T>() == size_of::<Words>() && align_of::<T>() <= align_of::<Words>()) };
        if self.0.is_full() {
            let frame = mm.alloc_frame(Gfp::KERNEL, Owner::Slab).map_err(|_| Errno::ENOMEM)?;
            self.0.add_frame(&mut mm.machine, frame);
        }
        let slot = self.0.insert(&mut mm.machine, Words::default()).ok_or(Errno::ENOMEM)?;
        *self.get_mut(mm, slot) = object;
        Ok(slot)
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, mm: &mut Mm, slot: Slot) {
        let emptied = self.0.remove(&mut mm.machine, slot).expect("an object of the file system is freed once");
        if let Some(frame) = emptied {
            mm.free_frames(frame, 0).expect("the arena's frames are its own");
        }
    }

    /// The object in a live slot.
    #[inline]
    pub(super) fn get<'m, T: Object>(&self, mm: &'m Mm, slot: Slot) -> &'m T {
        T::ref_from_bytes(self.0.get(&mm.machine, slot).as_bytes()).expect("objects have a slot's size")
    }

    /// The object in a live slot, writable.
    #[inline]
    pub(super) fn get_mut<'m, T: Object>(&self, mm: &'m mut Mm, slot: Slot) -> &'m mut T {
        T::mut_from_bytes(self.0.get_mut(&mut mm.machine, slot).as_mut_bytes()).expect("objects have a slot's size")
    }
}
