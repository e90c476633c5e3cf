//! `kmalloc`: memory of any size, from general caches of 8 to 8192 bytes, and beyond from the frame allocator.

use core::fmt;

use pagelab_abi::{
    code::{Owner, SlabAllocator},
    layout::{PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE},
};

use super::{CacheId, Mistake, SlabError, Slabs, memory};
use crate::{
    context::Context,
    frame::{Gfp, MAX_ORDER, OutOfMemory, PageState},
    machine::{Machine, Pfn},
    trace::Trace,
};

/// General caches.
pub(super) const CLASSES: usize = 13;
/// Bytes of their objects.
pub(super) const SIZES: [u32; CLASSES] = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192];
/// Their names.
pub(super) const NAMES: [&str; CLASSES] = [
    "kmalloc-8",
    "kmalloc-16",
    "kmalloc-32",
    "kmalloc-64",
    "kmalloc-96",
    "kmalloc-128",
    "kmalloc-192",
    "kmalloc-256",
    "kmalloc-512",
    "kmalloc-1k",
    "kmalloc-2k",
    "kmalloc-4k",
    "kmalloc-8k",
];
/// The class of up to 192 bytes, by the number of words.
const SMALL: [u8; 25] = [0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6];

/// Most bytes that a general cache has; what is larger comes from the frame allocator.
pub const KMALLOC_MAX_CACHE_SIZE: u64 = 8192;
/// What `kmalloc(0)` answers: no memory, but not an error either.
pub const ZERO_SIZE_PTR: u64 = 16;

/// The general cache for so many bytes, at most [`KMALLOC_MAX_CACHE_SIZE`].
#[inline]
fn class_of(bytes: u64) -> usize {
    match SMALL.get(bytes.div_ceil(8) as usize) {
        Some(&class) => usize::from(class),
        // 193..=256 is class 7, and each further doubling one more.
        None => 64 - (bytes - 1).leading_zeros() as usize - 1,
    }
}

/// The order of a block for so many bytes.
fn order_of(bytes: u64) -> Option<u8> {
    let frames = bytes.div_ceil(PAGE_SIZE).checked_next_power_of_two()?;
    let order = frames.trailing_zeros() as u8;
    (order <= MAX_ORDER).then_some(order)
}

/// Why memory did not get another size. It is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReallocError {
    /// There is not so much.
    OutOfMemory,
    /// It is no such memory.
    Mistake(SlabError),
}

impl fmt::Display for ReallocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => OutOfMemory.fmt(f),
            Self::Mistake(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReallocError {}

impl Slabs {
    /// The caches that `kmalloc` takes from, the smallest objects first.
    pub fn general_caches(&self) -> impl Iterator<Item = CacheId> + use<> {
        (0..CLASSES).map(CacheId::builtin)
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Memory for `bytes` bytes: its address in the direct map, a multiple of 8, and of 64 from 64 bytes on where the
    /// size is a power of two. With [`Gfp::ZERO`] it is filled with zeros (`kzalloc`). For zone DMA or DMA32 it is
    /// whole frames.
    ///
    /// # Errors
    /// There is not so much, or it is more than the largest block.
    #[inline]
    #[track_caller]
    pub fn kmalloc(&mut self, bytes: u64, gfp: Gfp) -> Result<u64, OutOfMemory> {
        if bytes.wrapping_sub(1) < KMALLOC_MAX_CACHE_SIZE && !gfp.intersects(Gfp::DMA.union(Gfp::DMA32)) {
            return self.alloc_object(class_of(bytes), bytes as u32, gfp);
        }
        self.kmalloc_large(bytes, gfp)
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn kmalloc_large(&mut self, bytes: u64, gfp: Gfp) -> Result<u64, OutOfMemory> {
        if bytes == 0 {
            return Ok(ZERO_SIZE_PTR);
        }
        let order = order_of(bytes).ok_or(OutOfMemory)?;
        let pfn = self.alloc_frames(order, gfp - Gfp::MOVABLE - Gfp::HIGHMEM, Owner::Kmalloc)?;
        Ok(PAGE_OFFSET + pfn.address())
    }

    /// Gives memory of [`Context::kmalloc`] back, or an object of any cache; 0 and [`ZERO_SIZE_PTR`] are nothing.
    ///
    /// # Errors
    /// As [`Context::kmem_cache_free`]'s.
    #[inline]
    #[track_caller]
    pub fn kfree(&mut self, address: u64) -> Result<(), SlabError> {
        if self.slabs.allocator != SlabAllocator::Freelist
            && let Some((index, entry)) = self.queued_find(address)
        {
            return self.queued_free(index, entry, address);
        }
        self.kfree_slowly(address)
    }

    #[inline(never)]
    #[track_caller]
    fn kfree_slowly(&mut self, address: u64) -> Result<(), SlabError> {
        match self.locate(address) {
            Ok(place) => self.free_object(place, address),
            Err(mistake) => self.kfree_large(address, mistake),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn kfree_large(&mut self, address: u64, mistake: Mistake) -> Result<(), SlabError> {
        if address == 0 || address == ZERO_SIZE_PTR {
            return Ok(());
        }
        if let Some((pfn, order)) = self.large_block(address)
            && self.free_frames(pfn, order).is_ok()
        {
            return Ok(());
        }
        Err(self.report_address(mistake, address))
    }

    /// The block of a large kmalloc that begins at an address.
    fn large_block(&self, address: u64) -> Option<(Pfn, u8)> {
        let physical = address.wrapping_sub(PAGE_OFFSET);
        let page = self.machine.pages().get((physical >> PAGE_SHIFT) as usize)?;
        let is_large = page.state == PageState::USED && page.owner == Owner::Kmalloc;
        (is_large && physical.is_multiple_of(PAGE_SIZE)).then(|| (Pfn::of_address(physical), page.order))
    }

    /// Bytes that can be used of memory that begins at `address`; 0 for nothing.
    ///
    /// # Errors
    /// As [`Context::kfree`]'s: it is no such memory.
    #[track_caller]
    pub fn ksize(&mut self, address: u64) -> Result<u64, SlabError> {
        if address == 0 || address == ZERO_SIZE_PTR {
            return Ok(0);
        }
        match self.locate(address) {
            Ok(place) if self.is_live(place) => Ok(self.slabs.caches[place.cache].size.into()),
            Ok(place) => Err(self.report_object(Mistake::DoubleFree, place.cache, address)),
            Err(mistake) => match self.large_block(address) {
                Some((_, order)) => Ok(PAGE_SIZE << order),
                None => Err(self.report_address(mistake, address)),
            },
        }
    }

    /// Memory for `bytes` bytes with the contents that `address` had, as far as they fit; where that has the room, it
    /// is the same. `address` 0 is a [`Context::kmalloc`], `bytes` 0 a [`Context::kfree`].
    ///
    /// # Errors
    /// [`ReallocError`].
    #[track_caller]
    pub fn krealloc(&mut self, address: u64, bytes: u64, gfp: Gfp) -> Result<u64, ReallocError> {
        if bytes == 0 {
            return self.kfree(address).map(|()| ZERO_SIZE_PTR).map_err(ReallocError::Mistake);
        }
        let old = self.ksize(address).map_err(ReallocError::Mistake)?;
        if old >= bytes {
            return Ok(address);
        }
        let new = self.kmalloc(bytes, gfp).map_err(|_| ReallocError::OutOfMemory)?;
        memory::copy(&mut self.machine, new, address, old / 8);
        // Damage around it is noted, and the contents are where they belong.
        let _ = self.kfree(address);
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, SIZES, class_of, order_of};

    #[test]
    fn each_size_has_the_smallest_class_that_holds_it() {
        for bytes in 1..=8192 {
            let expected = (0..CLASSES).find(|&class| u64::from(SIZES[class]) >= bytes);
            assert_eq!(Some(class_of(bytes)), expected, "{bytes} bytes");
        }
        assert_eq!(
            [8193, 16384, 16385, 4 << 20, (4 << 20) + 1].map(order_of),
            [Some(2), Some(2), Some(3), Some(10), None]
        );
    }
}
