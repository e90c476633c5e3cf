//! What the CPU does with an address: TLB look-up, page walk, rights, accessed and dirty bits
//! (Intel SDM vol. 3A, 4.5 to 4.8), with CR0.WP, CR4.SMEP and EFER.NXE set and CR4.SMAP clear.

use std::{format, string::String, vec::Vec};

use zerocopy::IntoBytes;

use super::{
    machine::{DEVICE, SimMachine},
    tlb::Translation,
};
use crate::{
    fault::Access,
    machine::{Machine, Pfn},
    page_table::Pte,
};

/// A page fault as the CPU reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFault {
    /// CR2.
    pub address: u64,
    /// The error code on the stack.
    pub error_code: u16,
}

impl PageFault {
    /// The translation was there but forbids the access.
    pub const PRESENT: u16 = 1 << 0;
    /// A write.
    pub const WRITE: u16 = 1 << 1;
    /// Ring 3.
    pub const USER: u16 = 1 << 2;
    /// A reserved bit was set: here, a frame beyond RAM.
    pub const RESERVED: u16 = 1 << 3;
    /// An instruction fetch.
    pub const FETCH: u16 = 1 << 4;
}

/// Where a walk ended.
struct Walk {
    table: Pfn,
    index: usize,
    pte: Pte,
    writable: bool,
    user: bool,
    executable: bool,
}

impl Walk {
    fn translation(&self) -> Translation {
        Translation {
            pfn: self.pte.pfn(),
            writable: self.writable,
            user: self.user,
            executable: self.executable,
            dirty: self.pte.is_dirty(),
        }
    }
}

impl SimMachine {
    /// Touches an address as ring 3 (`user`) or ring 0 does.
    ///
    /// # Errors
    /// The page fault that the CPU raises.
    pub fn access(&mut self, root: Pfn, address: u64, access: Access, user: bool) -> Result<Pfn, PageFault> {
        let cached = self.tlb.borrow().translation(root, address);
        if let Some(cached) = cached
            && !(access == Access::Write && cached.writable && !cached.dirty)
        {
            return self.check(root, address, access, user, cached).map(|()| cached.pfn);
        }
        let found = match self.walk(root, address) {
            Ok(walk) => walk,
            Err(code) => return Err(self.fault(root, address, access, user, code)),
        };
        self.check(root, address, access, user, found.translation())?;
        let mut bits = found.pte.0 | Pte::ACCESSED;
        if access == Access::Write {
            bits |= Pte::DIRTY;
        }
        self.set_pte(found.table, found.index, bits);
        let translation = Translation { dirty: Pte(bits).is_dirty(), ..found.translation() };
        self.tlb.borrow_mut().insert(root, address, translation);
        Ok(translation.pfn)
    }

    /// Reads the eight bytes at an address (a multiple of 8) as ring 3.
    ///
    /// # Errors
    /// The page fault that the CPU raises.
    pub fn load(&mut self, root: Pfn, address: u64) -> Result<u64, PageFault> {
        let pfn = self.access(root, address, Access::Read, true)?;
        Ok(self.physical(pfn).0[(address as usize & 0xfff) / 8])
    }

    /// Writes the eight bytes at an address (a multiple of 8) as ring 3.
    ///
    /// # Errors
    /// The page fault that the CPU raises.
    pub fn store(&mut self, root: Pfn, address: u64, value: u64) -> Result<(), PageFault> {
        let pfn = self.access(root, address, Access::Write, true)?;
        self.physical_mut(pfn).0[(address as usize & 0xfff) / 8] = value;
        Ok(())
    }

    /// Reads a byte as ring 3.
    ///
    /// # Errors
    /// The page fault that the CPU raises.
    pub fn load_byte(&mut self, root: Pfn, address: u64) -> Result<u8, PageFault> {
        let pfn = self.access(root, address, Access::Read, true)?;
        Ok(self.physical(pfn).as_bytes()[address as usize & 0xfff])
    }

    /// Single-page flushes and full flushes so far.
    pub fn flushes(&self) -> (u64, u64) {
        let tlb = self.tlb.borrow();
        (tlb.page_flushes, tlb.full_flushes)
    }

    /// Everything the TLB holds that it must not: what was noted when frames were freed, and each translation that
    /// now leads elsewhere or allows more than the tables. Empty for correct code. Forgets what it returns.
    pub fn take_incoherence(&mut self) -> Vec<String> {
        let stale: Vec<String> = {
            let tlb = self.tlb.borrow();
            let translations = tlb
                .spaces
                .iter()
                .flat_map(|(&root, space)| space.pages.iter().map(move |(page, cached)| (root, page << 12, *cached)));
            translations.filter_map(|(root, address, cached)| self.contradiction(root, address, cached)).collect()
        };
        let mut tlb = self.tlb.borrow_mut();
        for text in &stale {
            tlb.report(text);
        }
        tlb.take_violations()
    }

    /// [`SimMachine::take_incoherence`], as an assertion.
    ///
    /// # Panics
    /// When there is any.
    #[track_caller]
    pub fn assert_coherent(&mut self) {
        let found = self.take_incoherence();
        assert!(found.is_empty(), "stale translations: {found:#?}");
    }

    /// How a cached translation contradicts the tables, if it does.
    fn contradiction(&self, root: Pfn, address: u64, cached: Translation) -> Option<String> {
        let why = match self.walk_tables(root, address) {
            Err(_) => "nothing is mapped",
            Ok(walk) if walk.pte.pfn() != cached.pfn => "another frame is mapped",
            Ok(walk) if cached.writable && !walk.writable => "it is read-only",
            Ok(walk) if cached.user && !walk.user => "it is the kernel's",
            Ok(walk) if cached.executable && !walk.executable => "it is not executable",
            Ok(walk) if cached.dirty && !walk.pte.is_dirty() => "its dirty bit is clear",
            Ok(walk) if !walk.pte.is_accessed() => "its accessed bit is clear",
            Ok(_) => return None,
        };
        Some(format!("{address:#x} (root {:#x}) is cached as {cached:?}, but {why}", root.0))
    }

    /// Raises the fault that the rights call for.
    fn check(
        &mut self,
        root: Pfn,
        address: u64,
        access: Access,
        user: bool,
        found: Translation,
    ) -> Result<(), PageFault> {
        let allowed = match access {
            Access::Read => found.user || !user,
            Access::Write => found.writable && (found.user || !user),
            // SMEP: ring 0 does not execute user pages.
            Access::Execute => found.executable && found.user == user,
        };
        if allowed { Ok(()) } else { Err(self.fault(root, address, access, user, PageFault::PRESENT)) }
    }

    /// A fault, and what it does to the TLB (SDM vol. 3A, 4.10.4.1).
    fn fault(&mut self, root: Pfn, address: u64, access: Access, user: bool, code: u16) -> PageFault {
        self.tlb.borrow_mut().drop_page(root, address);
        let kind = match access {
            Access::Read => 0,
            Access::Write => PageFault::WRITE,
            Access::Execute => PageFault::FETCH,
        };
        PageFault { address, error_code: code | kind | if user { PageFault::USER } else { 0 } }
    }

    /// Walks from the cached lowest table if there is one, from the top otherwise.
    fn walk(&mut self, root: Pfn, address: u64) -> Result<Walk, u16> {
        let cached = self.tlb.borrow().table(root, address);
        if let Some(table) = cached {
            return self.leaf(table, address, true, true, true);
        }
        let walk = self.walk_tables(root, address)?;
        self.tlb.borrow_mut().insert_table(root, address, walk.table);
        Ok(walk)
    }

    /// Walks the tables as they are in memory.
    fn walk_tables(&self, root: Pfn, address: u64) -> Result<Walk, u16> {
        let (mut table, mut writable, mut user, mut executable) = (root, true, true, true);
        for shift in [39, 30, 21] {
            let entry = Pte(self.pte(table, (address >> shift) as usize & 511));
            self.usable(entry)?;
            writable &= entry.is_writable();
            user &= entry.is_user();
            executable &= !entry.is_nx();
            table = entry.pfn();
        }
        self.leaf(table, address, writable, user, executable)
    }

    fn leaf(&self, table: Pfn, address: u64, writable: bool, user: bool, executable: bool) -> Result<Walk, u16> {
        let index = (address >> 12) as usize & 511;
        let pte = Pte(self.pte(table, index));
        self.usable(pte)?;
        Ok(Walk {
            table,
            index,
            pte,
            writable: writable && pte.is_writable(),
            user: user && pte.is_user(),
            executable: executable && !pte.is_nx(),
        })
    }

    /// Whether the CPU can follow an entry; else the fault's code.
    fn usable(&self, entry: Pte) -> Result<(), u16> {
        if !entry.is_present() {
            return Err(0);
        }
        if entry.pfn().0 >= self.ram_frames() && entry.pfn() != DEVICE {
            return Err(PageFault::PRESENT | PageFault::RESERVED);
        }
        Ok(())
    }
}
