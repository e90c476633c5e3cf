//! The set of areas: where there is room, what is at an address, and what was there until lately.

use core::panic::Location;

use pagelab_abi::{
    code::VmallocOp,
    event,
    layout::{PAGE_SHIFT, PAGE_SIZE, VMALLOC_LIMIT, VMALLOC_START},
    snapshot::{AreaFlags, VmallocEntry},
};

use super::{BadUnmap, KernelSpace, MapError, Owned, UnmapReason, Where};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    slab::{CacheId, Slot, typed},
    trace::{CallSite, Trace},
    vma::{Slots, VmFlags, Vma, VmaSet},
};

/// One area. It is kept as a [`Vma`] whose fields mean what `Area::to_vma` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First byte.
    pub start: u64,
    /// First byte after it, the guard page included.
    pub end: u64,
    /// Frames behind it; none for a device.
    pub pages: u32,
    /// What it is.
    pub flags: AreaFlags,
    /// For a device: its first physical page.
    pub physical: u64,
    /// Who asked for it.
    pub site: CallSite,
}

impl Area {
    /// First byte of the guard page.
    pub const fn guard(&self) -> u64 {
        self.end - PAGE_SIZE
    }

    /// The area as a VMA: its flags have bits that mean nothing to a [`crate::vma::VmaSet`].
    fn to_vma(self) -> Vma {
        let flags = VmFlags::from_bits_retain(self.flags.bits());
        Vma { anon: self.site.0, ..Vma::new(self.start, self.end, self.physical, flags, self.pages) }
    }

    fn of_vma(vma: &Vma) -> Area {
        Area {
            start: vma.start,
            end: vma.end,
            pages: vma.file,
            flags: AreaFlags::from_bits_retain(vma.flags().bits()),
            physical: vma.pgoff,
            site: CallSite(vma.anon),
        }
    }

    /// The area as a snapshot shows it.
    pub fn entry(&self) -> VmallocEntry {
        VmallocEntry {
            start: self.start,
            end: self.end,
            physical: self.physical << PAGE_SHIFT,
            pages: self.pages,
            flags: self.flags.bits(),
            caller: self.site.0,
            padding: 0,
        }
    }

    fn event(&self, op: VmallocOp) -> event::Vmalloc {
        event::Vmalloc {
            address: self.start,
            size: self.guard() - self.start,
            frames: self.pages,
            flags: self.flags.bits(),
            call_site: 0,
            pfn: 0,
            op,
            padding: [0; 7],
        }
    }
}

// The bits of an area's flags are none that VmaSet looks at.
const _: () = assert!(AreaFlags::all().bits() & VmFlags::GROWSDOWN.bits() == 0);

/// Areas that are remembered after they were unmapped.
const REMEMBERED: usize = 8;

/// The last areas that were unmapped, so that unmapping one twice can be told from a wild address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freed {
    areas: [(u64, CallSite, CallSite); REMEMBERED],
    next: usize,
}

impl Freed {
    pub(super) const fn new() -> Freed {
        Freed { areas: [(0, CallSite::UNKNOWN, CallSite::UNKNOWN); REMEMBERED], next: 0 }
    }

    fn note(&mut self, area: &Area, by: CallSite) {
        self.areas[self.next] = (area.start, area.site, by);
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Who made and who unmapped the last area that began here.
    fn find(&self, start: u64) -> Option<(CallSite, CallSite)> {
        let newest_first = (1..=REMEMBERED).map(|back| self.areas[(self.next + REMEMBERED - back) % REMEMBERED]);
        newest_first.filter(|area| start != 0 && area.0 == start).map(|area| (area.1, area.2)).next()
    }
}

/// The areas' objects as the store that a [`crate::vma::VmaSet`] works on.
struct Objects<'a, M> {
    machine: &'a mut M,
    /// The object that the set has no use for any more; 0 = none.
    freed: Slot,
}

impl<M: Machine> Slots for Objects<'_, M> {
    fn vma(&self, slot: Slot) -> &Vma {
        typed::get(self.machine, slot)
    }

    fn vma_mut(&mut self, slot: Slot) -> &mut Vma {
        typed::get_mut(self.machine, slot)
    }

    /// Only splitting makes objects, and areas are never split.
    fn alloc_vma(&mut self, _vma: Vma) -> Result<Slot, OutOfMemory> {
        Err(OutOfMemory)
    }

    fn free_vma(&mut self, slot: Slot) {
        self.freed = slot;
    }
}

impl KernelSpace {
    /// The set of areas and the store it works on.
    fn parts<'a, M>(&'a mut self, machine: &'a mut M) -> (&'a mut VmaSet, Objects<'a, M>) {
        (&mut self.areas, Objects { machine, freed: 0 })
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// The lowest place with room for so many pages and a guard page behind them.
    pub(super) fn find_room(&mut self, pages: u64) -> Result<u64, MapError> {
        let length = pages
            .checked_add(1)
            .and_then(|pages| pages.checked_mul(PAGE_SIZE))
            .filter(|&length| length <= VMALLOC_LIMIT - VMALLOC_START)
            .ok_or(MapError::NoRoom)?;
        let (set, objects) = self.kernel.parts(&mut self.machine);
        set.unmapped_area_bottomup(&objects, length, VMALLOC_START, VMALLOC_LIMIT).ok_or(MapError::NoRoom)
    }

    /// Fails unless an area with so many pages, and its guard, can be made at this address.
    pub(super) fn check_room(&mut self, start: u64, pages: u64) -> Result<(), MapError> {
        let end = pages
            .checked_add(1)
            .and_then(|pages| pages.checked_mul(PAGE_SIZE))
            .and_then(|length| start.checked_add(length))
            .filter(|&end| start.is_multiple_of(PAGE_SIZE) && start >= VMALLOC_START && end <= VMALLOC_LIMIT)
            .ok_or(MapError::Overlap { with: None })?;
        let (set, objects) = self.kernel.parts(&mut self.machine);
        match set.find_intersection(&objects, start, end) {
            Some(slot) => {
                let area = Area::of_vma(objects.vma(slot));
                Err(MapError::Overlap { with: Some(self.owned(&area)) })
            }
            None => Ok(()),
        }
    }

    /// Puts an area where there is room for it.
    ///
    /// # Errors
    /// No frame for the area's object.
    #[track_caller]
    pub(super) fn insert_area(&mut self, area: Area) -> Result<(), OutOfMemory> {
        let slot = typed::slot_of(self.kmem_cache_alloc(CacheId::VMAP_AREA, Gfp::KERNEL)?);
        let (set, mut objects) = self.kernel.parts(&mut self.machine);
        *objects.vma_mut(slot) = area.to_vma();
        set.insert(&mut objects, slot);
        Ok(())
    }

    /// Takes an area out of the set. Its pages were unmapped and flushed before.
    fn remove_area(&mut self, start: u64) {
        let (set, mut objects) = self.kernel.parts(&mut self.machine);
        let slot = set.containing(&objects, start).expect("the area is there");
        set.remove(&mut objects, slot);
        let freed = objects.freed;
        self.free_own(CacheId::VMAP_AREA, typed::address_of(freed));
    }

    /// Sets how many frames are behind the area that begins here.
    pub(super) fn set_area_pages(&mut self, start: u64, pages: u32) {
        let (set, mut objects) = self.kernel.parts(&mut self.machine);
        let slot = set.containing(&objects, start).expect("the area is there");
        objects.vma_mut(slot).file = pages;
    }

    /// The area that an address is in, its guard page included.
    pub fn area_at(&mut self, address: u64) -> Option<Area> {
        let (set, objects) = self.kernel.parts(&mut self.machine);
        set.containing(&objects, address).map(|slot| Area::of_vma(objects.vma(slot)))
    }

    /// The first area that ends above an address.
    pub fn next_area(&mut self, address: u64) -> Option<Area> {
        let (set, objects) = self.kernel.parts(&mut self.machine);
        set.find(&objects, address).map(|slot| Area::of_vma(objects.vma(slot)))
    }

    /// The areas, by address.
    pub fn areas(&self) -> impl Iterator<Item = Area> + '_ {
        let mut slot = self.kernel.areas.first;
        core::iter::from_fn(move || {
            let vma: &Vma = (slot != 0).then(|| typed::get(&self.machine, slot))?;
            slot = vma.next;
            Some(Area::of_vma(vma))
        })
    }

    /// How many areas there are.
    pub fn area_count(&self) -> u32 {
        self.kernel.areas.count
    }

    /// Unmaps the area that begins at this address and takes it out of the set. `visit` gets each entry after it was
    /// flushed.
    ///
    /// # Errors
    /// There is no such area, or it was not made in the `wanted` way.
    #[track_caller]
    pub(super) fn unmap_area(
        &mut self,
        address: u64,
        wanted: AreaFlags,
        mut visit: impl FnMut(&mut Self, Pfn),
    ) -> Result<(), BadUnmap> {
        let by = Location::caller();
        let area = self.area_to_unmap(address, wanted).map_err(|reason| BadUnmap { address, by, reason })?;
        self.unmap_kernel_range(area.start, area.guard(), |cx, _, pte| visit(cx, pte.pfn()));
        self.remove_area(area.start);
        self.kernel.freed.note(&area, CallSite::of(by));
        self.trace.vmalloc(area.event(VmallocOp::Unmap), by);
        Ok(())
    }

    fn area_to_unmap(&mut self, address: u64, wanted: AreaFlags) -> Result<Area, UnmapReason> {
        match self.area_at(address) {
            Some(area) if area.start != address => Err(UnmapReason::Inside(self.owned(&area))),
            Some(area) if !area.flags.intersects(wanted) => Err(UnmapReason::WrongKind(self.owned(&area))),
            Some(area) => Ok(area),
            None => Err(match self.was_at(address) {
                Some((made, unmapped)) => UnmapReason::AlreadyUnmapped { made, unmapped },
                None => UnmapReason::NoArea,
            }),
        }
    }

    /// Who made and who unmapped the area that began here until lately.
    fn was_at(&self, start: u64) -> Option<(Option<&'static Location<'static>>, Option<&'static Location<'static>>)> {
        let (made, unmapped) = self.kernel.freed.find(start)?;
        Some((self.trace.location(made), self.trace.location(unmapped)))
    }

    /// An area and who made it.
    pub(super) fn owned(&self, area: &Area) -> Owned {
        Owned { start: area.start, end: area.end, flags: area.flags, made: self.trace.location(area.site) }
    }

    /// What is at an address of the kernel half, for a report.
    pub fn where_is(&mut self, address: u64) -> Where {
        if !(VMALLOC_START..VMALLOC_LIMIT).contains(&address) {
            return self.fixed_at(address).unwrap_or(Where::Elsewhere);
        }
        match self.area_at(address) {
            Some(area) if address >= area.guard() => Where::Guard(self.owned(&area)),
            Some(area) => Where::Area(self.owned(&area)),
            None => match self.was_at(address & !(PAGE_SIZE - 1)) {
                Some((made, unmapped)) => Where::Unmapped { made, unmapped },
                None => Where::Gap,
            },
        }
    }

    /// Says that an area is there now.
    #[track_caller]
    pub(super) fn announce_area(&mut self, area: &Area) {
        self.trace.vmalloc(area.event(VmallocOp::Map), Location::caller());
    }

    /// Says that a page of an area has got its frame.
    #[track_caller]
    pub(super) fn announce_page(&mut self, area: &Area, page: u64, pfn: Pfn) {
        let event = event::Vmalloc { address: page, size: PAGE_SIZE, pfn: pfn.0, ..area.event(VmallocOp::Fault) };
        self.trace.vmalloc(event, Location::caller());
    }
}
