//! How a cache cuts its slabs: the place an object takes, where the management is, the order, the colours.

use pagelab_abi::{boot::SlabDebug, code::SlabAllocator, layout::PAGE_SIZE};

use super::{CacheFlags, cache::Cache};

/// Bytes of a cache line: the least step from colour to colour.
pub(super) const CACHE_LINE: u32 = 64;
/// Objects of this size and above have their management elsewhere, unless a slab has room left for it anyway.
const OFF_SLAB: u32 = PAGE_SIZE as u32 >> 3;
/// Bytes of the management beside its entries.
pub(super) const MANAGEMENT_HEADER: u32 = 8;
/// Most objects of a slab whose management is elsewhere, so that it fits a small general cache.
const OFF_SLAB_OBJECTS: u32 = 60;
/// Highest order that is taken to waste less, where one frame would do.
const SLAB_MAX_ORDER: u8 = 1;
/// Highest order of a slab.
const HIGHEST_ORDER: u8 = 5;
/// Objects whose free bits fit into the `Page` of a slab.
pub(super) const BITS_IN_PAGE: u32 = 32;
/// Most objects in a slab.
const MOST_OBJECTS: u32 = 1 << 14;

/// What is asked of a cache.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) size: u32,
    pub(super) align: u32,
    pub(super) flags: CacheFlags,
    pub(super) constructed: bool,
    pub(super) checks: SlabDebug,
}

/// One way of cutting a slab.
#[derive(Clone, Copy)]
struct Cut {
    objects: u32,
    first: u32,
    left_over: u32,
}

/// Sets the fields of a cache that say how its slabs are cut. `None` for a size or alignment that cannot be had.
pub(super) fn lay_out(cache: &mut Cache, request: Request, allocator: SlabAllocator) -> Option<()> {
    let Request { size, checks, .. } = request;
    if size == 0
        || size > slab_size(HIGHEST_ORDER)
        || !request.align.max(1).is_power_of_two()
        || u64::from(request.align) > PAGE_SIZE
    {
        return None;
    }
    let align = alignment(request);
    let red_zone = checks.contains(SlabDebug::RED_ZONE);
    cache.size = size;
    cache.checks = checks;
    cache.before = if red_zone { align } else { 0 };
    let linked = allocator == SlabAllocator::Freelist;
    let track = if checks.contains(SlabDebug::TRACK) { 8 } else { 0 };
    let end = cache.track().checked_add(track)?;
    // A free object holds the link itself, unless its words mean something while it is free.
    let link_outside = linked && (request.constructed || checks.contains(SlabDebug::POISON));
    cache.link = if link_outside { end } else { 0 };
    let body = end.checked_add(if link_outside { 8 } else { 0 })?;
    cache.stride = body.checked_add(cache.before)?.checked_next_multiple_of(align)?;
    if linked {
        (cache.order, cache.on_slab) = (choose_order(|slab| linked_cut(slab, cache.stride, align), request)?, true);
        apply(cache, linked_cut(slab_size(cache.order), cache.stride, align)?);
        cache.colours = 1;
        return Some(());
    }
    queued(cache, request, align)
}

fn queued(cache: &mut Cache, request: Request, align: u32) -> Option<()> {
    let stride = cache.stride;
    let inside = |slab| on_slab_cut(slab, stride, align);
    let mut cut;
    if stride < OFF_SLAB {
        cache.order = choose_order(inside, request)?;
        cache.on_slab = true;
        cut = inside(slab_size(cache.order))?;
    } else {
        cache.order = choose_order(|slab| off_slab_cut(slab, stride), request)?;
        cut = off_slab_cut(slab_size(cache.order), stride)?;
        let management = management_size(cut.objects).next_multiple_of(align.max(CACHE_LINE));
        cache.on_slab = cut.left_over >= management && u64::from(management) <= PAGE_SIZE;
        if cache.on_slab {
            cut = Cut { first: management, left_over: cut.left_over - management, ..cut };
        }
    }
    let step = align.max(CACHE_LINE);
    let mut room = cut.left_over / step;
    if cache.on_slab {
        // The management stays in the slab's first frame whatever the colour.
        room = room.min((PAGE_SIZE as u32 - management_size(cut.objects)) / step);
    }
    cache.colours = room as u16 + 1;
    cache.colour_step = step as u16;
    apply(cache, cut);
    Some(())
}

fn apply(cache: &mut Cache, cut: Cut) {
    cache.objects = cut.objects as u16;
    cache.first = cut.first;
}

/// The alignment of objects: what was asked for, at least a word. HWCACHE_ALIGN means a cache line, or the part of it
/// that a small object fits into.
fn alignment(request: Request) -> u32 {
    let mut align = request.align.max(8);
    if request.flags.contains(CacheFlags::HWCACHE_ALIGN) {
        let mut line = CACHE_LINE;
        while request.size <= line / 2 && line > 8 {
            line /= 2;
        }
        align = align.max(line);
    }
    align
}

const fn slab_size(order: u8) -> u32 {
    (PAGE_SIZE as u32) << order
}

/// Bytes of the management of so many objects.
pub(super) const fn management_size(objects: u32) -> u32 {
    MANAGEMENT_HEADER + 2 * objects
}

/// The least order that holds an object and wastes at most an eighth; two frames are not exceeded for less waste, and
/// slabs that are meant to be taken back stay as small as they can be.
fn choose_order(cut: impl Fn(u32) -> Option<Cut>, request: Request) -> Option<u8> {
    (0..=HIGHEST_ORDER).find(|&order| {
        cut(slab_size(order)).is_some_and(|cut| {
            request.flags.contains(CacheFlags::RECLAIM_ACCOUNT)
                || order >= SLAB_MAX_ORDER
                || cut.left_over * 8 <= slab_size(order)
        })
    })
}

/// Management first, then objects.
fn on_slab_cut(slab: u32, stride: u32, align: u32) -> Option<Cut> {
    let first = |objects: u32| management_size(objects).next_multiple_of(align);
    let most = (slab.checked_sub(MANAGEMENT_HEADER)? / (stride + 2)).min(MOST_OBJECTS);
    let objects = (1..=most)
        .rev()
        .find(|&objects| first(objects) + objects * stride <= slab && u64::from(first(objects)) <= PAGE_SIZE)?;
    Some(Cut { objects, first: first(objects), left_over: slab - first(objects) - objects * stride })
}

/// Objects and nothing else.
fn off_slab_cut(slab: u32, stride: u32) -> Option<Cut> {
    let objects = (slab / stride).min(OFF_SLAB_OBJECTS);
    (objects > 0).then(|| Cut { objects, first: 0, left_over: slab - objects * stride })
}

/// Free bits first where the `Page` has no room for them, then objects.
fn linked_cut(slab: u32, stride: u32, align: u32) -> Option<Cut> {
    let first = |objects: u32| {
        if objects <= BITS_IN_PAGE { 0 } else { (objects.div_ceil(64) * 8).next_multiple_of(align) }
    };
    let objects =
        (1..=(slab / stride).min(MOST_OBJECTS)).rev().find(|&objects| first(objects) + objects * stride <= slab)?;
    Some(Cut { objects, first: first(objects), left_over: slab - first(objects) - objects * stride })
}

/// Most objects that a CPU keeps, by their size: Linux's numbers.
pub(super) const fn queue_limit(size: u32) -> u16 {
    match size {
        0..=256 => 120,
        257..=1024 => 54,
        1025..=4096 => 24,
        4097..=0x2_0000 => 8,
        _ => 1,
    }
}
