//! The fixmap: addresses that are known when the kernel is compiled, for whatever physical page is put there.

use pagelab_abi::layout::{FIXADDR_TOP, FIXMAP_SLOTS, KMAP_LOCAL_SLOTS, PAGE_SIZE};

use super::Where;
use crate::{
    context::Context,
    frame::OutOfMemory,
    machine::{Machine, Pfn},
    page_table::{Leaf, PageTables, Pte},
    trace::Trace,
};

/// A slot with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Fixmap {
    /// The trace ring's header: [`pagelab_abi::layout::DEVICE_PAGE_PHYS`].
    TraceRing = 0,
    /// The local APIC (Linux's FIX_APIC_BASE).
    LocalApic = 1,
    /// The I/O APIC (Linux's FIX_IO_APIC_BASE_0).
    IoApic = 2,
}

impl Fixmap {
    /// All of them.
    pub const ALL: [Fixmap; FIXMAP_SLOTS as usize] = [Fixmap::TraceRing, Fixmap::LocalApic, Fixmap::IoApic];

    /// The slot's address.
    pub const fn address(self) -> u64 {
        slot_address(self as u64)
    }
}

/// How the CPU may cache a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// As memory (write-back).
    Memory,
    /// Not at all: a device.
    Uncached,
}

/// The address of a slot by its number: named ones first, then those of kmap_local.
pub(super) const fn slot_address(slot: u64) -> u64 {
    FIXADDR_TOP - (slot + 1) * PAGE_SIZE
}

// One table maps all slots.
const _: () = assert!(slot_address(FIXMAP_SLOTS + KMAP_LOCAL_SLOTS - 1) >> 21 == slot_address(0) >> 21);

impl<M: Machine, T: Trace> Context<M, T> {
    /// Puts a physical page into a slot, in place of the one that was there, and returns the slot's address.
    ///
    /// # Errors
    /// No frame for the table of the fixmap, which is made on first use. Nothing has changed.
    pub fn set_fixmap(&mut self, slot: Fixmap, page: Pfn, caching: Caching) -> Result<u64, OutOfMemory> {
        let pte = match caching {
            Caching::Memory => Pte::kernel(page),
            Caching::Uncached => Pte::kernel(page).uncached(),
        };
        let table = self.fixmap_table()?;
        self.change_slot(table, slot.address(), pte);
        Ok(slot.address())
    }

    /// Empties a slot. Nothing happens if it is empty.
    pub fn clear_fixmap(&mut self, slot: Fixmap) {
        if self.kernel.fixmap_table != Pfn::NONE {
            self.change_slot(self.kernel.fixmap_table, slot.address(), Pte::EMPTY);
        }
    }

    /// What is at an address in the fixmap or in kmap's pool.
    pub(super) fn fixed_at(&self, address: u64) -> Option<Where> {
        let first = slot_address(FIXMAP_SLOTS - 1);
        self.pkmap_at(address)
            .or_else(|| self.local_slot_at(address))
            .or_else(|| (first..FIXADDR_TOP).contains(&address).then_some(Where::Fixmap))
    }

    /// The table that maps the slots, made on first use.
    #[inline]
    pub(super) fn fixmap_table(&mut self) -> Result<Pfn, OutOfMemory> {
        if self.kernel.fixmap_table == Pfn::NONE {
            self.kernel.fixmap_table = self.kernel_leaf(slot_address(0))?.table;
        }
        Ok(self.kernel.fixmap_table)
    }

    /// Where the entry of a kernel page is, with the tables on the way made.
    pub(super) fn kernel_leaf(&mut self, address: u64) -> Result<Leaf, OutOfMemory> {
        let mut tables = core::mem::replace(&mut self.kernel.tables, PageTables::of_kernel(Pfn::NONE));
        let result = tables.leaf(self, address);
        self.kernel.tables = tables;
        result
    }

    /// Writes the entry of a page whose table is known, and flushes what was there.
    #[inline]
    pub(super) fn change_slot(&mut self, table: Pfn, address: u64, pte: Pte) {
        let old = Pte(self.machine.swap_pte(table, (address / PAGE_SIZE) as usize % 512, pte.0));
        if old.is_present() {
            self.machine.flush_page(self.kernel.tables.root, address);
        }
    }
}
