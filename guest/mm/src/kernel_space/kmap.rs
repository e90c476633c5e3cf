//! kmap: frames of zone HighMem at kernel addresses for as long as it takes, in a pool of 512 pages.
//!
//! ```text
//! count  0   1   3   0   2  ...      0: free    1: mapped, of no use to anyone, and perhaps in the TLB
//! page   |   | A | B |   | C |       n: mapped, n - 1 users
//!          ^ last: the search for a free page goes on behind it
//! ```
//!
//! Unmapping only counts down. A page whose count is 1 keeps its frame, so that mapping that frame again costs nothing;
//! it becomes free when the search comes round to the first page: all such pages are taken out of the table then, and one
//! flush serves them all. A page is never given another frame before that.
//!
//! The pool keeps its own account in three frames, taken on first use: of each page count, frame and the next in its
//! chain; the heads of the chains, by frame; and who mapped and unmapped it last.

use core::panic::Location;

use pagelab_abi::{
    code::Owner,
    layout::{LAST_PKMAP, PAGE_OFFSET, PAGE_SIZE, PKMAP_BASE},
};

use super::{KmapError, Where};
use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    page_table::{FLUSH_CEILING, Pte},
    trace::{CallSite, Trace},
};

/// Pages of the pool, and chains.
const PAGES: usize = LAST_PKMAP as usize;
/// Most users of one page.
const MAX_COUNT: u16 = u16::MAX;

const _: () = assert!(PAGES * 8 == PAGE_SIZE as usize);

/// The pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pkmap {
    /// The frame with each page's [`Entry`]; none before first use.
    entries: Pfn,
    /// The frame with the first page of each chain: its number and one more.
    chains: Pfn,
    /// The frame with who mapped (low half) and unmapped each page last.
    sites: Pfn,
    /// The table that maps the pages.
    table: Pfn,
    /// The page that the last search ended at.
    last: usize,
    /// Pages with users.
    used: usize,
    /// Pages that are mapped and have none.
    idle: usize,
}

impl Pkmap {
    pub(super) const fn new() -> Pkmap {
        let none = Pfn::NONE;
        Pkmap { entries: none, chains: none, sites: none, table: none, last: 0, used: 0, idle: 0 }
    }
}

/// What is known of one page, in a word.
#[derive(Clone, Copy)]
struct Entry {
    count: u16,
    /// The next page in its chain: its number and one more; 0 for none.
    next: u16,
    pfn: Pfn,
}

impl Entry {
    const fn of_word(word: u64) -> Entry {
        Entry { count: word as u16, next: (word >> 16) as u16, pfn: Pfn((word >> 32) as u32) }
    }

    const fn to_word(self) -> u64 {
        self.count as u64 | (self.next as u64) << 16 | (self.pfn.0 as u64) << 32
    }
}

/// The address of a page of the pool.
const fn address_of(page: usize) -> u64 {
    PKMAP_BASE + page as u64 * PAGE_SIZE
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// The address that a frame can be reached at until [`Context::kunmap`]. Everyone who maps a frame gets the same.
    ///
    /// # Errors
    /// Every page of the pool has a user: [`KmapError::NoSlot`] (Linux would wait for one). Or there are no frames for
    /// the pool itself.
    #[track_caller]
    pub fn kmap(&mut self, pfn: Pfn) -> Result<u64, KmapError> {
        if !self.frames.is_highmem(pfn) {
            return Ok(PAGE_OFFSET + pfn.address());
        }
        assert!(pfn.index() < self.machine.pages().len(), "frame {pfn:?} is beyond RAM");
        self.prepare_pkmap()?;
        let page = match self.pkmap_page(pfn) {
            Some(page) => page,
            None => self.map_pkmap(pfn)?,
        };
        let mut entry = self.pkmap_entry(page);
        match entry.count {
            MAX_COUNT => return Err(KmapError::NoSlot { last: self.pkmap_sites(page).0 }),
            1 => {
                self.kernel.pkmap.idle -= 1;
                self.kernel.pkmap.used += 1;
            }
            _ => {}
        }
        entry.count += 1;
        self.set_pkmap_entry(page, entry);
        let site = u64::from(self.trace.remember(Location::caller()).0);
        let sites = &mut self.machine.frame_mut(self.kernel.pkmap.sites).0[page];
        *sites = *sites & !0xffff_ffff | site;
        self.kernel.counts.kmap += 1;
        Ok(address_of(page))
    }

    /// Gives up one use of a frame's address.
    ///
    /// # Errors
    /// It has no user: [`KmapError::NotMapped`].
    #[track_caller]
    pub fn kunmap(&mut self, pfn: Pfn) -> Result<(), KmapError> {
        if !self.frames.is_highmem(pfn) {
            return Ok(());
        }
        let by = Location::caller();
        let Some(page) = self.pkmap_page(pfn) else {
            return Err(KmapError::NotMapped { address: 0, by, made: None, unmapped: None });
        };
        let mut entry = self.pkmap_entry(page);
        if entry.count == 1 {
            let (made, unmapped) = self.pkmap_sites(page);
            return Err(KmapError::NotMapped { address: address_of(page), by, made, unmapped });
        }
        entry.count -= 1;
        if entry.count == 1 {
            self.kernel.pkmap.used -= 1;
            self.kernel.pkmap.idle += 1;
        }
        self.set_pkmap_entry(page, entry);
        let site = u64::from(self.trace.remember(by).0);
        let sites = &mut self.machine.frame_mut(self.kernel.pkmap.sites).0[page];
        *sites = *sites & 0xffff_ffff | site << 32;
        Ok(())
    }

    /// Pages of kmap's pool that have users.
    pub fn kmaps(&self) -> usize {
        self.kernel.pkmap.used
    }

    /// What is at an address of the pool, as far as it has been used.
    pub(super) fn pkmap_at(&self, address: u64) -> Option<Where> {
        let page = (address.checked_sub(PKMAP_BASE)? / PAGE_SIZE) as usize;
        if page >= PAGES || self.kernel.pkmap.table == Pfn::NONE {
            return None;
        }
        let (made, unmapped) = self.pkmap_sites(page);
        Some(Where::Kmap { made, unmapped })
    }

    /// Takes the frames of the pool's account and the table of its pages.
    fn prepare_pkmap(&mut self) -> Result<(), OutOfMemory> {
        if self.kernel.pkmap.table != Pfn::NONE {
            return Ok(());
        }
        let table = self.kernel_leaf(PKMAP_BASE)?.table;
        let mut frames = [Pfn::NONE; 3];
        for index in 0..frames.len() {
            match self.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::Buffer) {
                Ok(pfn) => frames[index] = pfn,
                Err(error) => {
                    for &pfn in &frames[..index] {
                        self.free_frames(pfn, 0).expect("the frame is ours");
                    }
                    return Err(error);
                }
            }
        }
        let [entries, chains, sites] = frames;
        self.kernel.pkmap = Pkmap { entries, chains, sites, table, ..Pkmap::new() };
        Ok(())
    }

    fn pkmap_entry(&self, page: usize) -> Entry {
        Entry::of_word(self.machine.frame(self.kernel.pkmap.entries).0[page])
    }

    fn set_pkmap_entry(&mut self, page: usize, entry: Entry) {
        self.machine.frame_mut(self.kernel.pkmap.entries).0[page] = entry.to_word();
    }

    /// Who mapped and who unmapped a page last.
    fn pkmap_sites(&self, page: usize) -> (Option<&'static Location<'static>>, Option<&'static Location<'static>>) {
        let word = self.machine.frame(self.kernel.pkmap.sites).0[page];
        (self.trace.location(CallSite(word as u32)), self.trace.location(CallSite((word >> 32) as u32)))
    }

    /// The page that shows a frame, in use or not.
    fn pkmap_page(&self, pfn: Pfn) -> Option<usize> {
        if self.kernel.pkmap.table == Pfn::NONE {
            return None;
        }
        let mut at = self.machine.frame(self.kernel.pkmap.chains).0[pfn.index() % PAGES] as usize;
        while at != 0 {
            let entry = self.pkmap_entry(at - 1);
            if entry.pfn == pfn {
                return Some(at - 1);
            }
            at = entry.next.into();
        }
        None
    }

    /// Maps a frame at a free page, without a user yet.
    fn map_pkmap(&mut self, pfn: Pfn) -> Result<usize, KmapError> {
        let page = self.free_pkmap()?;
        let chains = self.kernel.pkmap.chains;
        let chain = core::mem::replace(&mut self.machine.frame_mut(chains).0[pfn.index() % PAGES], page as u64 + 1);
        self.set_pkmap_entry(page, Entry { count: 1, next: chain as u16, pfn });
        self.machine.set_pte(self.kernel.pkmap.table, page, Pte::kernel(pfn).0);
        self.kernel.pkmap.idle += 1;
        Ok(page)
    }

    /// The next page whose count is 0. Coming round, those that are idle become free.
    fn free_pkmap(&mut self) -> Result<usize, KmapError> {
        if self.kernel.pkmap.used == PAGES {
            return Err(KmapError::NoSlot { last: self.pkmap_sites(self.kernel.pkmap.last).0 });
        }
        loop {
            let page = (self.kernel.pkmap.last + 1) % PAGES;
            self.kernel.pkmap.last = page;
            if page == 0 {
                self.flush_idle_pkmaps();
            }
            if self.pkmap_entry(page).count == 0 {
                return Ok(page);
            }
        }
    }

    /// Takes the pages without users out of the table and flushes them.
    fn flush_idle_pkmaps(&mut self) {
        let idle = core::mem::take(&mut self.kernel.pkmap.idle);
        if idle == 0 {
            return;
        }
        let root = self.kernel.tables.root;
        for page in 0..PAGES {
            let entry = self.pkmap_entry(page);
            if entry.count != 1 {
                continue;
            }
            self.unchain_pkmap(page, entry);
            self.set_pkmap_entry(page, Entry::of_word(0));
            self.machine.swap_pte(self.kernel.pkmap.table, page, 0);
            if idle <= FLUSH_CEILING {
                self.machine.flush_page(root, address_of(page));
            }
        }
        if idle > FLUSH_CEILING {
            self.machine.flush_all(root);
        }
        self.kernel.counts.kmap_flushes += 1;
    }

    /// Takes a page out of its chain.
    fn unchain_pkmap(&mut self, page: usize, entry: Entry) {
        let (chains, chain) = (self.kernel.pkmap.chains, entry.pfn.index() % PAGES);
        let mut at = self.machine.frame(chains).0[chain] as usize;
        if at == page + 1 {
            self.machine.frame_mut(chains).0[chain] = entry.next.into();
            return;
        }
        while at != 0 {
            let mut before = self.pkmap_entry(at - 1);
            if usize::from(before.next) == page + 1 {
                before.next = entry.next;
                self.set_pkmap_entry(at - 1, before);
                return;
            }
            at = before.next.into();
        }
    }
}
