//! A TLB and paging-structure cache that keep everything until they are told to forget it.

use std::{
    collections::HashMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use pagelab_abi::layout::{LAST_PKMAP, PAGE_SHIFT, PKMAP_BASE};

use crate::machine::Pfn;

/// log2 of the bytes one lowest table covers.
const TABLE_SHIFT: u32 = 21;

/// Whether an address is in the kernel half.
pub(super) fn is_kernel(address: u64) -> bool {
    address >> 63 != 0
}

/// What the TLB knows of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// The frame.
    pub pfn: Pfn,
    /// Writes are allowed.
    pub writable: bool,
    /// Ring 3 may use it.
    pub user: bool,
    /// Instruction fetches are allowed.
    pub executable: bool,
    /// The dirty bit is set already, so a write needs no walk.
    pub dirty: bool,
}

/// What is cached of one address space.
#[derive(Default)]
pub(super) struct Cached {
    /// Translations by page number.
    pub(super) pages: HashMap<u64, Translation>,
    /// Lowest tables by the number of the 2 MiB region they cover.
    pub(super) tables: HashMap<u64, Pfn>,
}

/// The caches of one CPU, by top table (as if every address space had a PCID of its own).
#[derive(Default)]
pub struct Tlb {
    pub(super) spaces: HashMap<Pfn, Cached>,
    /// How many cached translations and tables refer to a frame.
    references: HashMap<Pfn, u32>,
    violations: Vec<String>,
    /// Single-page flushes so far.
    pub page_flushes: u64,
    /// Full flushes so far.
    pub full_flushes: u64,
}

impl Tlb {
    /// What is cached of a page.
    pub fn translation(&self, root: Pfn, address: u64) -> Option<Translation> {
        self.spaces.get(&root)?.pages.get(&(address >> PAGE_SHIFT)).copied()
    }

    /// The lowest table that is cached for an address.
    pub(super) fn table(&self, root: Pfn, address: u64) -> Option<Pfn> {
        self.spaces.get(&root)?.tables.get(&(address >> TABLE_SHIFT)).copied()
    }

    pub(super) fn insert(&mut self, root: Pfn, address: u64, translation: Translation) {
        *self.references.entry(translation.pfn).or_default() += 1;
        let old = self.spaces.entry(root).or_default().pages.insert(address >> PAGE_SHIFT, translation);
        self.forget(old.map(|old| old.pfn));
    }

    pub(super) fn insert_table(&mut self, root: Pfn, address: u64, table: Pfn) {
        *self.references.entry(table).or_default() += 1;
        let old = self.spaces.entry(root).or_default().tables.insert(address >> TABLE_SHIFT, table);
        self.forget(old);
    }

    /// What a page fault does: its page's translation goes, and the tables cached on the way to it.
    pub(super) fn drop_page(&mut self, root: Pfn, address: u64) {
        if let Some(space) = self.spaces.get_mut(&root) {
            let page = space.pages.remove(&(address >> PAGE_SHIFT)).map(|old| old.pfn);
            let table = space.tables.remove(&(address >> TABLE_SHIFT));
            self.forget(page);
            self.forget(table);
        }
    }

    /// INVLPG: the page's translation, and every cached table of the address space (SDM vol. 3A, 4.10.4.1).
    pub(super) fn flush_page(&mut self, root: Pfn, address: u64) {
        self.page_flushes += 1;
        if let Some(space) = self.spaces.get_mut(&root) {
            let page = space.pages.remove(&(address >> PAGE_SHIFT)).map(|old| old.pfn);
            let tables: Vec<Pfn> = space.tables.drain().map(|(_, table)| table).collect();
            self.forget(page.into_iter().chain(tables));
        }
    }

    pub(super) fn flush_all(&mut self, root: Pfn) {
        self.full_flushes += 1;
        if let Some(space) = self.spaces.remove(&root) {
            self.forget(space.pages.into_values().map(|old| old.pfn));
            self.forget(space.tables.into_values());
        }
    }

    /// INVLPG of a kernel address, which every address space has.
    pub(super) fn flush_kernel_page(&mut self, address: u64) {
        self.page_flushes += 1;
        let mut gone = Vec::new();
        for space in self.spaces.values_mut() {
            gone.extend(space.pages.remove(&(address >> PAGE_SHIFT)).map(|old| old.pfn));
            gone.extend(space.tables.drain().map(|(_, table)| table));
        }
        self.forget(gone);
    }

    /// Forgets the kernel half of every address space.
    pub(super) fn flush_kernel(&mut self) {
        self.full_flushes += 1;
        let mut gone = Vec::new();
        for space in self.spaces.values_mut() {
            let pages = space.pages.extract_if(|page, _| is_kernel(page << PAGE_SHIFT));
            gone.extend(pages.map(|(_, old)| old.pfn));
            gone.extend(space.tables.drain().map(|(_, table)| table));
        }
        self.forget(gone);
    }

    fn forget(&mut self, frames: impl IntoIterator<Item = Pfn>) {
        for pfn in frames {
            let count = self.references.get_mut(&pfn).expect("every cached frame is counted");
            *count -= 1;
            if *count == 0 {
                self.references.remove(&pfn);
            }
        }
    }

    /// Frames were given back: notes those that a translation still reaches.
    pub(super) fn frames_freed(&mut self, first: Pfn, frames: u32) {
        for pfn in (first.0..first.0 + frames).map(Pfn) {
            if self.references.contains_key(&pfn) && self.is_reached(pfn) {
                self.violations.push(format!("frame {:#x} was freed while the TLB still reaches it", pfn.0));
            }
        }
    }

    /// Whether a frame is reached in a way that it must not be once it is free: kmap's pool may show it until the next
    /// time round, as nobody looks there.
    fn is_reached(&self, pfn: Pfn) -> bool {
        let pool = PKMAP_BASE >> PAGE_SHIFT..(PKMAP_BASE >> PAGE_SHIFT) + LAST_PKMAP;
        self.spaces.values().any(|space| {
            space.tables.values().any(|&table| table == pfn)
                || space.pages.iter().any(|(page, cached)| cached.pfn == pfn && !pool.contains(page))
        })
    }

    /// Notes a contradiction.
    pub(super) fn report(&mut self, text: &str) {
        self.violations.push(text.to_string());
    }

    /// What was noted since the last call.
    pub fn take_violations(&mut self) -> Vec<String> {
        core::mem::take(&mut self.violations)
    }
}
