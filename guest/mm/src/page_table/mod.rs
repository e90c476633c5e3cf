//! x86-64 page tables: 4 levels, 4 KiB pages (Intel SDM vol. 3A, 4.5).
//!
//! A change to an entry the CPU may have cached is always followed by a flush, and no frame or table is given back
//! before that flush.

mod free;
mod moving;
mod pte;
mod range;

use pagelab_abi::code::Owner;

use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::{Machine, Pfn},
    trace::Trace,
};

pub use pte::Pte;
pub use range::FLUSH_CEILING;

/// Entries in a table.
pub const ENTRIES: usize = 512;
/// First entry of the top table that belongs to the kernel.
pub const KERNEL_HALF: usize = 256;
/// Level of the top table (PML4); the tables whose entries map pages are level 0.
const TOP: u32 = 3;
/// Bytes that one table of level 0 maps.
const LEAF_SPAN: u64 = span(1);
/// `PageTables::leaf_base` when no table is remembered: no table starts there.
const NO_LEAF: u64 = 1;

/// Bytes that one entry of a table of this level maps.
const fn span(level: u32) -> u64 {
    1 << (12 + 9 * level)
}

/// Index of an address in the tables of a level.
#[inline]
const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & (ENTRIES - 1)
}

/// Where the entry of one page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// The table.
    pub table: Pfn,
    /// The entry's place in it.
    pub index: usize,
}

/// The user half of one address space's page tables; or the kernel's, of which only 4 KiB pages are looked at.
#[derive(Debug)]
pub struct PageTables {
    /// Top table (PML4).
    pub root: Pfn,
    /// Table frames in use, the top one included.
    pub tables: u64,
    /// First address of the last table that [`PageTables::leaf`] found: most faults are next to the one before.
    leaf_base: u64,
    /// That table.
    leaf_table: Pfn,
}

impl PageTables {
    /// Tables that map nothing, the kernel neither.
    ///
    /// # Errors
    /// No frame for the top table.
    pub fn new<M: Machine, T: Trace>(cx: &mut Context<M, T>) -> Result<Self, OutOfMemory> {
        let root = new_table(cx)?;
        Ok(PageTables { root, tables: 1, leaf_base: NO_LEAF, leaf_table: Pfn::NONE })
    }

    /// The kernel's own tables, below a top table that boot has made and that counts as none of these.
    pub const fn of_kernel(root: Pfn) -> Self {
        PageTables { root, tables: 0, leaf_base: NO_LEAF, leaf_table: Pfn::NONE }
    }

    /// Tables that map no user page, and the kernel as the tables below `kernel_root` do. The kernel half of that
    /// root must not get new entries afterwards.
    ///
    /// # Errors
    /// No frame for the top table.
    pub fn new_with_kernel_half<M: Machine, T: Trace>(
        cx: &mut Context<M, T>,
        kernel_root: Pfn,
    ) -> Result<Self, OutOfMemory> {
        let tables = Self::new(cx)?;
        for index in KERNEL_HALF..ENTRIES {
            let entry = cx.machine.pte(kernel_root, index);
            if entry != 0 {
                cx.machine.set_pte(tables.root, index, entry);
            }
        }
        Ok(tables)
    }

    /// Where the entry of the page at `address` is; `None` if a table on the way is missing.
    #[inline]
    pub fn find_leaf<M: Machine>(&self, machine: &M, address: u64) -> Option<Leaf> {
        if let Some(leaf) = self.remembered(address) {
            return Some(leaf);
        }
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            let entry = Pte(machine.pte(table, index(address, level)));
            if !entry.is_present() {
                return None;
            }
            table = entry.pfn();
        }
        Some(Leaf { table, index: index(address, 0) })
    }

    /// The entries that a walk to the page at `address` meets, from the top table down; 0 below the one that ends it.
    /// The address may be anyone's, also one that the kernel has mapped by a huge page.
    pub fn entries<M: Machine>(&self, machine: &M, address: u64) -> [u64; TOP as usize + 1] {
        let mut entries = [0; TOP as usize + 1];
        let mut table = self.root;
        for (entry, level) in entries.iter_mut().zip((0..=TOP).rev()) {
            *entry = machine.pte(table, index(address, level));
            if !Pte(*entry).is_present() || Pte(*entry).is_huge() {
                break;
            }
            table = Pte(*entry).pfn();
        }
        entries
    }

    /// Where the entry of the page at `address` is, if it is in the table that was found last.
    #[inline]
    fn remembered(&self, address: u64) -> Option<Leaf> {
        let hit = address & !(LEAF_SPAN - 1) == self.leaf_base;
        hit.then_some(Leaf { table: self.leaf_table, index: index(address, 0) })
    }

    /// Where the entry of the page at `address` is; makes the tables that are missing on the way.
    ///
    /// # Errors
    /// No frame for a table. The tables made so far stay; [`PageTables::free_tables`] finds them.
    #[inline]
    pub fn leaf<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, address: u64) -> Result<Leaf, OutOfMemory> {
        let base = address & !(LEAF_SPAN - 1);
        if base != self.leaf_base {
            self.leaf_table = self.make_tables(cx, address)?;
            self.leaf_base = base;
        }
        Ok(Leaf { table: self.leaf_table, index: index(address, 0) })
    }

    /// The level-0 table for `address`, made if it is missing.
    fn make_tables<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, address: u64) -> Result<Pfn, OutOfMemory> {
        let mut table = self.root;
        for level in (1..=TOP).rev() {
            let index = index(address, level);
            let entry = Pte(cx.machine.pte(table, index));
            table = if entry.is_present() {
                entry.pfn()
            } else {
                let lower = new_table(cx)?;
                self.tables += 1;
                let bits = if address >> 63 == 0 { Pte::TABLE } else { Pte::KERNEL_TABLE };
                cx.machine.set_pte(table, index, lower.address() | bits);
                lower
            };
        }
        Ok(table)
    }

    /// The entry of the page at `address`; empty if a table on the way is missing.
    #[inline]
    pub fn get<M: Machine>(&self, machine: &M, address: u64) -> Pte {
        match self.find_leaf(machine, address) {
            Some(leaf) => Pte(machine.pte(leaf.table, leaf.index)),
            None => Pte::EMPTY,
        }
    }

    /// Writes the entry of a page that has none (so there is nothing to flush), making the tables it needs.
    ///
    /// # Errors
    /// No frame for a table; nothing was written.
    #[inline]
    pub fn set<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        address: u64,
        pte: Pte,
    ) -> Result<(), OutOfMemory> {
        let leaf = self.leaf(cx, address)?;
        debug_assert!(!Pte(cx.machine.pte(leaf.table, leaf.index)).is_mapped(), "{address:#x} is mapped already");
        cx.machine.set_pte(leaf.table, leaf.index, pte.0);
        Ok(())
    }

    /// Replaces the entry of a page and flushes it. Returns the old entry, with the accessed and dirty bits that it
    /// had at the end. Without a table for the page there is nothing to replace: does nothing, returns the empty
    /// entry.
    pub fn change<M: Machine, T: Trace>(&mut self, cx: &mut Context<M, T>, address: u64, new: Pte) -> Pte {
        match self.find_leaf(&cx.machine, address) {
            Some(leaf) => self.change_leaf(cx, leaf, address, new),
            None => Pte::EMPTY,
        }
    }

    /// [`PageTables::change`] for an entry whose place is known.
    #[inline]
    pub fn change_leaf<M: Machine, T: Trace>(
        &mut self,
        cx: &mut Context<M, T>,
        leaf: Leaf,
        address: u64,
        new: Pte,
    ) -> Pte {
        let old = Pte(cx.machine.swap_pte(leaf.table, leaf.index, new.0));
        if old.is_present() {
            cx.machine.flush_page(self.root, address);
        }
        old
    }
}

/// A table with no entries.
fn new_table<M: Machine, T: Trace>(cx: &mut Context<M, T>) -> Result<Pfn, OutOfMemory> {
    cx.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::PageTable)
}
