//! From an address to the object that begins there.

use pagelab_abi::{
    code::{Owner, SlabAllocator},
    layout::{PAGE_OFFSET, PAGE_SHIFT},
};

use super::{CACHES, Mistake, queued};
use crate::{
    context::Context,
    frame::{Page, PageState},
    machine::Machine,
};

/// Where an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The cache, by its place in the table.
    pub(super) cache: usize,
    /// First frame of the slab.
    pub(super) slab: u32,
    /// The object's number in the slab.
    pub(super) index: u32,
}

/// The cache that a frame of a slab belongs to.
#[inline(always)]
pub(super) fn cache_of(page: &Page) -> Option<usize> {
    let cache = (page.mapping & 0xffff) as usize;
    (cache.wrapping_sub(1) < CACHES).then(|| cache - 1)
}

/// Whether the owner's frames are slabs.
#[inline(always)]
fn is_slab(page: &Page) -> bool {
    page.state == PageState::USED && (page.owner == Owner::Slab || page.owner == Owner::PageCacheNode)
}

/// The slab that a direct-map address is in: its first frame and its cache.
#[inline(always)]
pub(super) fn slab_of(pages: &[Page], address: u64) -> Option<(u32, usize)> {
    let pfn = address.wrapping_sub(PAGE_OFFSET) >> PAGE_SHIFT;
    let page = pages.get(pfn as usize)?;
    let pfn = pfn as u32;
    if is_slab(page) {
        return Some((pfn, cache_of(page)?));
    }
    if page.state != PageState::TAIL {
        return None;
    }
    // What a tail says counts only if its head says the same.
    let head = pages.get(page.private as usize)?;
    (is_slab(head) && pfn.wrapping_sub(page.private) < 1 << head.order)
        .then(|| cache_of(head).map(|cache| (page.private, cache)))?
}

impl<M: Machine, T> Context<M, T> {
    /// The object that begins at an address, handed out or not.
    #[inline]
    pub(super) fn locate(&self, address: u64) -> Result<Place, Mistake> {
        let pages = self.machine.pages();
        let (slab, index) = slab_of(pages, address).ok_or(Mistake::NoObject)?;
        let cache = &self.slabs.caches[index];
        let first = match self.slabs.allocator {
            SlabAllocator::Freelist => cache.first,
            _ => queued::first(&self.machine, pages[slab as usize].private),
        };
        let in_slab = (address - PAGE_OFFSET - (u64::from(slab) << PAGE_SHIFT)) as u32;
        let offset = in_slab.wrapping_sub(first + cache.before);
        let number = offset / cache.stride.max(1);
        if number >= u32::from(cache.objects) || number * cache.stride != offset {
            return Err(Mistake::NotStart);
        }
        Ok(Place { cache: index, slab, index: number })
    }

    /// The address of an object, the inverse of [`Context::locate`].
    #[inline]
    pub(super) fn object_address(&self, cache: usize, slab: u32, first: u32, index: u32) -> u64 {
        let cache = &self.slabs.caches[cache];
        PAGE_OFFSET + (u64::from(slab) << PAGE_SHIFT) + u64::from(first + cache.before + index * cache.stride)
    }
}
