//! Answers to faults: what puts a page behind the guest's access, and how much of it.

use std::{io, sync::Arc};

use pagelab_abi::layout::PAGE_SIZE;
use rustix::mm::Advice;

use super::call::{Progress, Uffd};
use crate::{
    faults::evicted::{Evicted, Place},
    trace::{CopyTally, HostFaultKind},
    vm::{Backing, mapping::Mapping},
};

/// Moves that come to nothing because someone holds a page just now, before the page is copied instead.
const MOVE_TRIES: u32 = 100;

/// What came of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What it turned out to be.
    pub(super) kind: HostFaultKind,
    /// Bytes made present, or writable again.
    pub(super) bytes: u64,
}

/// Puts pages into guest memory, by the backing's unit.
#[derive(Debug)]
pub(super) struct Filler {
    uffd: Arc<Uffd>,
    backing: Backing,
    unit: u64,
    evicted: Option<Arc<Evicted>>,
    /// A unit of zeros that is never written.
    zeros: Mapping,
    /// A transparent huge page of zeros, ready to be moved; `None` where nothing can be moved.
    spare: Option<Spare>,
    /// Its half of the conservation check.
    pub(super) tally: CopyTally,
}

impl Filler {
    /// A filler for guest memory of a backing. `evicted` keeps what was taken away.
    pub(super) fn new(
        uffd: Arc<Uffd>,
        backing: Backing,
        can_move: bool,
        evicted: Option<Arc<Evicted>>,
    ) -> io::Result<Filler> {
        let unit = backing.unit();
        let zeros = Mapping::anonymous(unit, PAGE_SIZE)?;
        zeros.advise(Advice::LinuxPopulateRead)?;
        let spare = if can_move && backing == Backing::TransparentHuge { Some(Spare::new(unit)?) } else { None };
        Ok(Filler { uffd, backing, unit, evicted, zeros, spare, tally: CopyTally::default() })
    }

    /// Answers an access to a page that is missing; `None` if nobody waits for it any more.
    pub(super) fn missing(&mut self, unit: u64, protect: bool) -> io::Result<Option<Answer>> {
        let evicted = self.evicted.clone();
        let mut shelves = evicted.as_ref().map(|evicted| evicted.lock());
        let place = shelves.as_ref().map_or(Place::Ram, |shelves| shelves.place(unit));
        let kind = if place == Place::Ram { HostFaultKind::Missing } else { HostFaultKind::Refault };
        let from = if let Place::Kept(address) = place { Some(address) } else { None };
        let answer = self.put(unit, from, protect)?.map(|bytes| Answer { kind, bytes });
        if let (Some(shelves), Some(_), HostFaultKind::Refault) = (&mut shelves, answer, kind) {
            shelves.is_back(unit);
        }
        self.answered(answer)
    }

    /// Answers an access to a page that the page cache has and no mapping.
    pub(super) fn minor(&mut self, unit: u64, protect: bool) -> io::Result<Option<Answer>> {
        let evicted = self.evicted.clone();
        let _shelves = evicted.as_ref().map(|evicted| evicted.lock());
        let (mut done, mut present) = (0, false);
        while done < self.unit {
            let made = match self.uffd.resume(unit + done, self.unit - done, !protect)? {
                Progress::All => self.unit - done,
                Progress::Some(bytes) => bytes,
                Progress::Present => {
                    present = true;
                    break;
                }
                Progress::Unregistered | Progress::Refused => return Ok(None),
            };
            self.tally.continued += made / PAGE_SIZE;
            done += made;
        }
        self.finish(unit, protect && !present, protect || present, present)?;
        self.answered(Some(Answer { kind: HostFaultKind::Minor, bytes: done }))
    }

    /// Answers a write to a page that is protected against it.
    pub(super) fn write_protected(&mut self, unit: u64) -> io::Result<Option<Answer>> {
        let kind = HostFaultKind::WriteProtect;
        let answer = self.uffd.unprotect(unit, self.unit)?.then_some(Answer { kind, bytes: self.unit });
        self.answered(answer)
    }

    /// Gets ready for the next fault, while nobody waits.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        self.spare.as_mut().map_or(Ok(()), Spare::prepare)
    }

    fn answered(&mut self, answer: Option<Answer>) -> io::Result<Option<Answer>> {
        self.tally.faults += u64::from(answer.is_some());
        Ok(answer)
    }

    /// Puts a unit's contents there, zeros where `from` has none: how many bytes were not there before.
    fn put(&mut self, unit: u64, from: Option<u64>, protect: bool) -> io::Result<Option<u64>> {
        let mut made = 0;
        if self.backing == Backing::TransparentHuge && self.spare.is_some() {
            let source = match (from, &mut self.spare) {
                (Some(kept), _) => kept,
                (None, Some(spare)) => spare.use_up()?,
                (None, None) => unreachable!("just asked"),
            };
            made = self.take(unit, source, !protect)?;
            self.tally.copied += made / PAGE_SIZE;
            if made == self.unit {
                self.finish(unit, protect, protect, false)?;
                return Ok(Some(made));
            }
        }
        let copied = self.copy(unit, from.unwrap_or(self.zeros.start()), protect)?;
        Ok(match copied {
            None if made > 0 => Some(made),
            copied => copied.map(|copied| made + copied),
        })
    }

    /// Moves a unit there as far as it goes.
    fn take(&self, unit: u64, from: u64, wake: bool) -> io::Result<u64> {
        let (mut done, mut tries) = (0, 0);
        while done < self.unit && tries < MOVE_TRIES {
            match self.uffd.take(unit + done, from + done, self.unit - done, wake)? {
                Progress::All => done = self.unit,
                Progress::Some(0) => tries += 1,
                Progress::Some(bytes) => done += bytes,
                Progress::Present | Progress::Unregistered | Progress::Refused => break,
            }
        }
        Ok(done)
    }

    /// Copies a unit to where pages of it are missing; `None` if nobody waits for it any more.
    fn copy(&mut self, unit: u64, from: u64, protect: bool) -> io::Result<Option<u64>> {
        let step = if self.backing == Backing::Hugetlb2M { self.unit } else { PAGE_SIZE };
        let (mut done, mut made, mut present) = (0, 0, false);
        while done < self.unit {
            let bytes = match self.uffd.copy(unit + done, from + done, self.unit - done, protect)? {
                Progress::All => self.unit - done,
                Progress::Some(bytes) => bytes,
                Progress::Present => {
                    present = true;
                    done += step;
                    continue;
                }
                Progress::Unregistered | Progress::Refused if made == 0 => return Ok(None),
                Progress::Unregistered | Progress::Refused => break,
            };
            self.tally.copied += bytes / PAGE_SIZE;
            made += bytes;
            done += bytes;
        }
        self.finish(unit, false, present, present && made == 0)?;
        Ok(Some(made))
    }

    /// What a fault still takes once its pages are there.
    fn finish(&mut self, unit: u64, protect: bool, wake: bool, already_there: bool) -> io::Result<()> {
        if protect {
            self.uffd.protect(unit, self.unit)?;
        }
        if wake {
            self.uffd.wake(unit, self.unit)?;
        }
        self.tally.already_there += u64::from(already_there);
        Ok(())
    }
}

/// A huge page of zeros that waits to be moved into the guest.
#[derive(Debug)]
struct Spare {
    page: Mapping,
    ready: bool,
}

impl Spare {
    fn new(unit: u64) -> io::Result<Spare> {
        let page = Mapping::anonymous(unit, unit)?;
        page.advise(Advice::LinuxHugepage)?;
        let mut spare = Spare { page, ready: false };
        spare.prepare()?;
        Ok(spare)
    }

    fn prepare(&mut self) -> io::Result<()> {
        if !self.ready {
            // A move that stopped midway has left pages behind.
            self.page.advise(Advice::LinuxDontNeed)?;
            self.page.advise(Advice::LinuxPopulateWrite)?;
            self.ready = true;
        }
        Ok(())
    }

    /// Its address; it has to be prepared again afterwards.
    fn use_up(&mut self) -> io::Result<u64> {
        self.prepare()?;
        self.ready = false;
        Ok(self.page.start())
    }
}

#[cfg(test)]
mod tests {
    use linux_raw_sys::general::UFFD_FEATURE_MOVE;
    use pagelab_abi::layout::MIN_MEMORY;

    use super::*;
    use crate::{
        faults::{pagemap::present_pages, uffd::mode},
        vm::Ram,
    };

    /// RAM of a backing, watched; `None`, with a word, where this host has none of it.
    fn watched(backing: Backing, protect: bool) -> Option<(Ram, Arc<Uffd>, u32)> {
        let uffd = Arc::new(Uffd::open().unwrap_or_else(|missing| panic!("{}; {}", missing.why, missing.remedy)));
        let ram = match (Ram::new(MIN_MEMORY, backing, true), mode(&uffd, backing, protect)) {
            (Ok(ram), Ok(mode)) => (ram, mode),
            (ram, mode) => {
                eprintln!("skipped: {backing}: {:?} {:?}", ram.err(), mode.err());
                return None;
            }
        };
        Some((ram.0, uffd, ram.1))
    }

    #[test]
    fn each_backing_is_filled_by_its_unit() {
        for (backing, _) in Backing::ALL {
            let Some((ram, uffd, mode)) = watched(backing, false) else { continue };
            let extent = ram.extents()[0];
            uffd.register(&extent, mode).expect("it can be watched");
            let can_move = uffd.has(UFFD_FEATURE_MOVE);
            for can_move in [can_move, false] {
                let mut filler = Filler::new(Arc::clone(&uffd), backing, can_move, None).expect("pages can be had");
                let unit = extent.host + if can_move { 0 } else { 8 << 20 };
                let before = present_pages(&ram).expect("pagemap is readable");
                let answer = filler.missing(unit, false).expect("it can be filled");
                assert_eq!(answer, Some(Answer { kind: HostFaultKind::Missing, bytes: backing.unit() }), "{backing}");
                let gained = present_pages(&ram).expect("pagemap is readable") - before;
                assert_eq!(gained * PAGE_SIZE, backing.unit(), "{backing}");
                let again = filler.missing(unit, false).expect("it is there").expect("it was answered");
                assert_eq!(again.bytes, 0, "{backing}");
                assert_eq!((filler.tally.copied, filler.tally.already_there), (gained, 1), "{backing}");
                filler.prepare().expect("the next one can be had");
            }
            uffd.unregister(&[extent]);
            assert_eq!(ram.read(0, backing.unit() as usize), Some(vec![0; backing.unit() as usize]), "{backing}");
        }
    }

    #[test]
    fn only_what_is_missing_of_a_huge_page_is_filled() {
        let Some((ram, uffd, mode)) = watched(Backing::TransparentHuge, false) else { return };
        let extent = ram.extents()[0];
        uffd.register(&extent, mode).expect("it can be watched");
        let can_move = uffd.has(UFFD_FEATURE_MOVE);
        let full = vec![7u8; PAGE_SIZE as usize];
        for (can_move, unit) in [(can_move, 0), (false, 2 << 20)] {
            for page in [1, 2, 300, 511] {
                let (at, from) = (extent.host + unit + page * PAGE_SIZE, full.as_ptr() as u64);
                assert_eq!(uffd.copy(at, from, PAGE_SIZE, false).expect("it is missing"), Progress::All);
            }
            let mut filler =
                Filler::new(Arc::clone(&uffd), Backing::TransparentHuge, can_move, None).expect("pages can be had");
            let answer = filler.missing(extent.host + unit, false).expect("it can be filled").expect("it is watched");
            assert_eq!((answer.bytes / PAGE_SIZE, filler.tally.copied), (508, 508));
        }
        assert_eq!(present_pages(&ram).expect("pagemap is readable"), 1024);
        uffd.unregister(&[extent]);
        for unit in [0, 2 << 20] {
            assert_eq!(ram.read(unit + 300 * PAGE_SIZE, full.len()), Some(full.clone()), "what was there stays");
            assert_eq!(ram.read(unit + 301 * PAGE_SIZE, full.len()), Some(vec![0; full.len()]));
        }
    }

    #[test]
    fn what_the_page_cache_has_is_mapped_again() {
        for backing in [Backing::Memfd, Backing::Hugetlb2M] {
            let Some((ram, uffd, mode)) = watched(backing, false) else { continue };
            let extent = ram.extents()[0];
            ram.write(5, b"kept").expect("inside RAM");
            uffd.register(&extent, mode).expect("it can be watched");
            drop_all(&extent);
            let mut filler = Filler::new(Arc::clone(&uffd), backing, false, None).expect("pages can be had");
            let answer = filler.minor(extent.host, false).expect("it can be mapped");
            assert_eq!(answer, Some(Answer { kind: HostFaultKind::Minor, bytes: backing.unit() }), "{backing}");
            assert_eq!(filler.tally.continued * PAGE_SIZE, backing.unit(), "{backing}");
            assert_eq!(ram.read(5, 4), Some(b"kept".to_vec()), "{backing}");
        }
    }

    fn drop_all(extent: &crate::vm::memory::Extent) {
        crate::faults::evict::drop_pages(extent.host, extent.host + extent.size).expect("pages can be dropped");
    }
}
