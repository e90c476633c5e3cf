//! A full check of the areas and their page tables, for tests.

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_SIZE, VMALLOC_LIMIT, VMALLOC_START},
    snapshot::AreaFlags,
};
use std::{
    format,
    string::{String, ToString},
};

use super::area::Area;
use crate::{context::Context, machine::Machine, page_table::Pte, slab::CacheId, trace::Trace};

impl<M: Machine, T: Trace> Context<M, T> {
    /// Checks that areas keep apart and in bounds, that exactly their pages are mapped, with the rights they must have,
    /// and that each has as many frames as it says.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check_kernel_space(&self) -> Result<(), String> {
        let mut below = VMALLOC_START;
        let (mut count, mut frames) = (0, 0);
        for area in self.areas() {
            let Area { start, end, .. } = area;
            if start < below || end > VMALLOC_LIMIT || end < start + 2 * PAGE_SIZE {
                return Err(format!("area {start:#x}-{end:#x} is out of place: {below:#x}"));
            }
            self.check_hole(below, start)?;
            self.check_mapped(&area)?;
            self.check_hole(area.guard(), end)?;
            if area.flags.contains(AreaFlags::ALLOC) {
                frames += u64::from(area.pages);
            }
            below = end;
            count += 1;
        }
        self.check_hole(below, VMALLOC_LIMIT)?;
        if count != self.area_count() || count != self.slabs.active(CacheId::VMAP_AREA) {
            return Err(format!("{count} areas are in the list, {} in the set", self.area_count()));
        }
        if frames != self.frames.owned(Owner::Vmalloc) {
            return Err(format!("{frames} frames in areas, {} handed out", self.frames.owned(Owner::Vmalloc)));
        }
        Ok(())
    }

    fn check_hole(&self, start: u64, end: u64) -> Result<(), String> {
        let mut found = Ok(());
        self.kernel.tables.walk_range(&self.machine, start, end, |page, pte| {
            found = Err(format!("{page:#x} is mapped ({pte:?}) and in no area"));
        });
        found
    }

    fn check_mapped(&self, area: &Area) -> Result<(), String> {
        let mut pages = 0;
        let mut wrong = None;
        self.kernel.tables.walk_range(&self.machine, area.start, area.guard(), |page, pte| {
            pages += 1;
            let device = area.flags.contains(AreaFlags::IOREMAP);
            let want = Pte::kernel(pte.pfn());
            let want = if device { want.uncached() } else { want };
            let physical = area.physical + (page - area.start) / PAGE_SIZE;
            if pte != want || device && u64::from(pte.pfn().0) != physical {
                wrong = Some(format!("{page:#x} is mapped as {pte:?}"));
            }
        });
        let all = (area.guard() - area.start) / PAGE_SIZE;
        let expected = if area.flags.contains(AreaFlags::LAZY) { area.pages.into() } else { all };
        match wrong {
            Some(wrong) => Err(wrong),
            None if pages != expected => Err(format!("{pages} of {expected} pages are mapped: {area:?}").to_string()),
            None => Ok(()),
        }
    }
}
