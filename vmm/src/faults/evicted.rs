//! Where the contents of evicted pages wait until the guest wants them back.
#![expect(unsafe_code, reason = "copies guest pages by address")]

use std::{
    io,
    ptr::{copy_nonoverlapping, write_bytes},
    slice,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pagelab_abi::layout::PAGE_SIZE;
use rustix::mm::Advice;

use crate::vm::{Backing, Ram, mapping::Mapping, memory::Extent};

/// The evicted pages of a VM, shared by who takes them and who gives them back. Whoever changes what is present holds
/// the lock, and touches no guest page that is not present meanwhile: its fault would wait for the lock.
#[derive(Debug)]
pub struct Evicted {
    shelves: Mutex<Shelves>,
}

impl Evicted {
    /// Nothing is evicted yet. Only private memory needs a place for its contents: a file keeps its own.
    pub fn new(ram: &Ram) -> io::Result<Evicted> {
        let keep = !ram.backing().is_file();
        let extents = ram.extents();
        let shelves = extents.into_iter().filter(|_| keep).map(|extent| Shelf::new(extent, ram));
        Ok(Evicted { shelves: Mutex::new(Shelves { pages: 0, shelves: shelves.collect::<Result<_, _>>()? }) })
    }

    /// Takes the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shelves> {
        // A holder that panicked has ended the run.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has been evicted.
#[derive(Debug)]
pub(super) struct Shelves {
    /// Present pages of 4 KiB that were taken away, in all.
    pub(super) pages: u64,
    shelves: Vec<Shelf>,
}

/// Where the contents of a unit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where they always were.
    Ram,
    /// Nowhere: they were zeros.
    Zeros,
    /// At this host address, a unit of them.
    Kept(u64),
}

impl Shelves {
    /// Where the contents of the unit at this host address are.
    pub(super) fn place(&self, unit: u64) -> Place {
        self.shelves.iter().find_map(|shelf| shelf.place(unit)).unwrap_or(Place::Ram)
    }

    /// The unit's contents are in RAM again.
    pub(super) fn is_back(&mut self, unit: u64) {
        for shelf in &mut self.shelves {
            if let Some(index) = shelf.index(unit) {
                shelf.places[index] = Spot::Ram;
            }
        }
    }

    /// Keeps the contents of a unit whose pages are present as `present` says; it is going to be dropped. No guest code may
    /// run. Nothing is kept of a file's pages.
    pub(super) fn keep(&mut self, unit: u64, present: impl Iterator<Item = bool> + Clone) {
        let Some(shelf) = self.shelves.iter_mut().find(|shelf| shelf.index(unit).is_some()) else { return };
        shelf.keep(unit, present);
    }

    /// Copies everything that is evicted back into RAM, for readers after the run. No source of faults may watch RAM.
    pub(super) fn put_back(&mut self) {
        for shelf in &mut self.shelves {
            for index in 0..shelf.places.len() {
                if shelf.places[index] == Spot::Kept {
                    let offset = index as u64 * shelf.unit;
                    let (from, to) = (shelf.store.start() + offset, shelf.extent.host + offset);
                    // SAFETY: both ranges lie in mappings that `shelf` holds; guest RAM is reached by address only.
                    unsafe { copy_nonoverlapping(from as *const u8, to as *mut u8, shelf.unit as usize) };
                }
                shelf.places[index] = Spot::Ram;
            }
        }
    }
}

/// [`Place`] without the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Ram,
    Zeros,
    Kept,
}

/// The evicted pages of one extent: a mirror of it, of which only what is kept takes memory.
#[derive(Debug)]
struct Shelf {
    extent: Extent,
    /// What the extent lies in.
    _ram: Ram,
    unit: u64,
    store: Mapping,
    places: Vec<Spot>,
}

impl Shelf {
    fn new(extent: Extent, ram: &Ram) -> io::Result<Shelf> {
        let backing = ram.backing();
        let unit = backing.unit();
        let store = Mapping::anonymous(extent.size, unit)?;
        if backing == Backing::TransparentHuge {
            // So that a whole huge page can be moved back.
            store.advise(Advice::LinuxHugepage)?;
        }
        Ok(Shelf { extent, _ram: ram.clone(), unit, store, places: vec![Spot::Ram; (extent.size / unit) as usize] })
    }

    fn index(&self, unit: u64) -> Option<usize> {
        let offset = unit.checked_sub(self.extent.host).filter(|offset| *offset < self.extent.size)?;
        Some((offset / self.unit) as usize)
    }

    fn place(&self, unit: u64) -> Option<Place> {
        let index = self.index(unit)?;
        Some(match self.places[index] {
            Spot::Ram => Place::Ram,
            Spot::Zeros => Place::Zeros,
            Spot::Kept => Place::Kept(self.store.start() + index as u64 * self.unit),
        })
    }

    fn keep(&mut self, unit: u64, present: impl Iterator<Item = bool> + Clone) {
        let Some(index) = self.index(unit) else { return };
        let pages = (0..self.unit).step_by(PAGE_SIZE as usize).zip(present);
        let is_zero = |page: u64| {
            let words = (unit + page) as *const u64;
            // SAFETY: the page lies in guest RAM, which `_ram` holds, and no guest code runs that could write it.
            unsafe { slice::from_raw_parts(words, PAGE_SIZE as usize / 8) }.iter().all(|word| *word == 0)
        };
        if pages.clone().all(|(page, present)| !present || is_zero(page)) {
            self.places[index] = Spot::Zeros;
            return;
        }
        let store = self.store.start() + index as u64 * self.unit;
        for (page, present) in pages {
            let (from, to) = ((unit + page) as *const u8, (store + page) as *mut u8);
            // SAFETY: both pages lie in mappings that `self` holds, and the store's is ours alone.
            unsafe {
                if present {
                    copy_nonoverlapping(from, to, PAGE_SIZE as usize);
                } else {
                    write_bytes(to, 0, PAGE_SIZE as usize);
                }
            }
        }
        self.places[index] = Spot::Kept;
    }
}
