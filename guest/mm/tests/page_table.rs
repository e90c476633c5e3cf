//! Page tables against a map of pages, on a CPU whose TLB forgets nothing by itself.

use std::collections::{BTreeMap, BTreeSet};

use pagelab_mm::{
    abi::code::Owner,
    fault::Access,
    frame::Gfp,
    machine::{Machine, Pfn},
    page_table::{PageTables, Pte},
    sim::{PageFault, SimContext, new_context},
    vma::VmFlags,
};
use proptest::prelude::*;

const PAGE: u64 = 4096;
/// Where the pages are: around the borders of tables of every level, and at both ends of the user half.
const REGIONS: [u64; 5] = [0x1_0000, 0x3fff_c000, 0x7f_ffff_c000, 0x5555_5555_4000, 0x7fff_ffff_7000];
const REGION_PAGES: u64 = 8;
const PAGES: u64 = REGIONS.len() as u64 * REGION_PAGES;

fn address(page: u64) -> u64 {
    REGIONS.map(|base| base / PAGE)[(page / REGION_PAGES) as usize] * PAGE + page % REGION_PAGES * PAGE
}

/// The regions in order of address are not in order of index: a range of addresses, from two page numbers.
fn range(a: u64, b: u64) -> (u64, u64) {
    let (a, b) = (address(a), address(b));
    (a.min(b), a.max(b) + PAGE)
}

#[derive(Clone, Debug)]
enum Op {
    Map(u64, VmFlags),
    Change(u64, VmFlags),
    Unmap(u64, u64),
    UnmapAndFree(u64, u64),
    Protect(u64, u64, VmFlags),
    ClearAccessed(u64, u64),
    Touch(u64, Access),
}

fn flags() -> impl Strategy<Value = VmFlags> {
    (0u32..8).prop_map(VmFlags::from_bits_truncate)
}

fn op() -> impl Strategy<Value = Op> {
    let page = || 0..PAGES;
    let access = prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::Execute)];
    prop_oneof![
        4 => (page(), flags()).prop_map(|(page, flags)| Op::Map(page, flags)),
        1 => (page(), flags()).prop_map(|(page, flags)| Op::Change(page, flags)),
        1 => (page(), page()).prop_map(|(a, b)| Op::Unmap(a, b)),
        1 => (page(), page()).prop_map(|(a, b)| Op::UnmapAndFree(a, b)),
        1 => (page(), page(), flags()).prop_map(|(a, b, flags)| Op::Protect(a, b, flags)),
        1 => (page(), page()).prop_map(|(a, b)| Op::ClearAccessed(a, b)),
        6 => (page(), access).prop_map(|(page, access)| Op::Touch(page, access)),
    ]
}

/// What the model knows of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    pfn: Pfn,
    accessible: bool,
    writable: bool,
    executable: bool,
    accessed: bool,
    dirty: bool,
}

impl Page {
    fn of(pte: Pte) -> Page {
        Page {
            pfn: pte.pfn(),
            accessible: pte.is_present(),
            writable: pte.is_writable(),
            executable: !pte.is_nx(),
            accessed: pte.is_accessed(),
            dirty: pte.is_dirty(),
        }
    }

    fn protect(&mut self, flags: VmFlags) {
        self.accessible = !flags.is_empty();
        self.writable = flags.contains(VmFlags::WRITE);
        self.executable = flags.contains(VmFlags::EXEC);
    }
}

/// The tables under test and the model.
struct World {
    cx: SimContext,
    tables: PageTables,
    model: BTreeMap<u64, Page>,
    /// Pages that may have tables: unmapping alone keeps them, as for a VMA whose pages were dropped.
    tabled: BTreeSet<u64>,
}

/// A fresh entry as a fault would write it.
fn entry(pfn: Pfn, flags: VmFlags) -> Pte {
    let pte = Pte::user(pfn, flags);
    if flags.contains(VmFlags::WRITE) { pte.written() } else { pte }
}

impl World {
    fn new() -> World {
        let mut cx = new_context(16 << 20);
        let tables = PageTables::new(&mut cx).expect("there is memory");
        World { cx, tables, model: BTreeMap::new(), tabled: BTreeSet::new() }
    }

    fn frame(&mut self) -> Pfn {
        self.cx.alloc_frame(Gfp::HIGHUSER_MOVABLE, Owner::Anon).expect("there is memory")
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Map(page, flags) => {
                let address = address(page);
                if !self.model.contains_key(&address) {
                    let pte = entry(self.frame(), flags);
                    self.tables.set(&mut self.cx, address, pte).expect("there is memory");
                    self.model.insert(address, Page::of(pte));
                    self.tabled.insert(address);
                }
            }
            Op::Change(page, flags) => {
                let address = address(page);
                if let Some(expected) = self.model.get(&address).copied() {
                    let pte = entry(self.frame(), flags);
                    let old = self.tables.change(&mut self.cx, address, pte);
                    assert_eq!(Page::of(old), expected);
                    self.cx.put_frame(old.pfn()).expect("the frame was in use");
                    self.model.insert(address, Page::of(pte));
                }
            }
            Op::Unmap(a, b) => {
                let (start, end) = range(a, b);
                self.unmap(start, end);
            }
            Op::UnmapAndFree(a, b) => {
                let (start, end) = range(a, b);
                self.unmap(start, end);
                let floor = self.tabled.range(..start).next_back().map_or(0, |page| page + PAGE);
                let ceiling = self.tabled.range(end..).next().map_or(u64::MAX, |page| *page);
                self.tables.free_tables(&mut self.cx, start, end, floor, ceiling);
                self.tabled.retain(|page| !(start..end).contains(page));
            }
            Op::Protect(a, b, flags) => {
                let (start, end) = range(a, b);
                self.tables.protect_range(&mut self.cx, start, end, flags);
                self.model.range_mut(start..end).for_each(|(_, page)| page.protect(flags));
            }
            Op::ClearAccessed(a, b) => {
                let (start, end) = range(a, b);
                let expected = self.model.range(start..end).filter(|(_, page)| page.accessed).count();
                assert_eq!(self.tables.clear_accessed(&mut self.cx, start, end), expected as u64);
                self.model.range_mut(start..end).for_each(|(_, page)| page.accessed = false);
            }
            Op::Touch(page, access) => self.touch(address(page), access),
        }
    }

    fn unmap(&mut self, start: u64, end: u64) {
        let mut seen = BTreeMap::new();
        self.tables.unmap_range(&mut self.cx, start, end, |cx, address, pte| {
            cx.put_frame(pte.pfn()).expect("the frame was in use");
            seen.insert(address, Page::of(pte));
        });
        let expected: BTreeMap<u64, Page> = self.model.range(start..end).map(|(&page, &state)| (page, state)).collect();
        assert_eq!(seen, expected);
        self.model.retain(|page, _| !(start..end).contains(page));
    }

    fn touch(&mut self, address: u64, access: Access) {
        let result = self.cx.machine.access(self.tables.root, address, access, true);
        let Some(page) = self.model.get_mut(&address).filter(|page| page.accessible) else {
            let fault = result.expect_err("nothing is mapped there");
            assert_eq!(fault.error_code & PageFault::PRESENT, 0);
            return;
        };
        let allowed = match access {
            Access::Read => true,
            Access::Write => page.writable,
            Access::Execute => page.executable,
        };
        if allowed {
            assert_eq!(result, Ok(page.pfn));
            page.accessed = true;
            page.dirty |= access == Access::Write;
        } else {
            assert_eq!(result.expect_err("no right to it").error_code & PageFault::PRESENT, PageFault::PRESENT);
        }
    }

    fn check(&mut self) {
        let mut seen = BTreeMap::new();
        self.tables.walk_range(&self.cx.machine, 0, 1 << 47, |address, pte| {
            seen.insert(address, Page::of(pte));
        });
        assert_eq!(seen, self.model);
        for page in 0..PAGES {
            let pte = self.tables.get(&self.cx.machine, address(page));
            assert_eq!(pte.is_mapped().then(|| Page::of(pte)), self.model.get(&address(page)).copied());
        }
        self.cx.machine.assert_coherent();
        assert_eq!(self.tables.tables, self.cx.trace.in_use(Owner::PageTable));
    }

    fn finish(mut self) {
        self.unmap(0, 1 << 47);
        self.tables.free_tables(&mut self.cx, 0, 1 << 47, 0, u64::MAX);
        assert_eq!(self.tables.tables, 1);
        self.tables.destroy(&mut self.cx);
        self.cx.machine.assert_coherent();
        assert_eq!(self.cx.trace.in_use(Owner::PageTable), 0);
        assert_eq!(self.cx.trace.in_use(Owner::Anon), 0);
        assert_eq!(self.cx.frames.free(), self.cx.frames.managed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn tables_agree_with_a_map_of_pages(ops in prop::collection::vec(op(), 1..200)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
            world.check();
        }
        world.finish();
    }
}

/// A world with one page mapped read-write, whose translation the TLB has.
fn touched() -> World {
    let mut world = World::new();
    world.apply(&Op::Map(0, VmFlags::READ | VmFlags::WRITE));
    world.apply(&Op::Touch(0, Access::Write));
    world.check();
    world
}

/// What the checker says after an operation whose flushes were dropped.
fn without_flush(operation: impl FnOnce(&mut World)) -> Vec<String> {
    let mut world = touched();
    world.cx.machine.drop_flushes(true);
    operation(&mut world);
    world.cx.machine.take_incoherence()
}

#[test]
fn a_missing_flush_is_caught() {
    let unmap = without_flush(|world| world.unmap(address(0), address(0) + PAGE));
    assert!(unmap.iter().any(|text| text.contains("was freed while the TLB still reaches it")), "{unmap:?}");
    assert!(unmap.iter().any(|text| text.contains("nothing is mapped")), "{unmap:?}");

    let protect = without_flush(|world| world.apply(&Op::Protect(0, 0, VmFlags::READ)));
    assert!(protect.iter().any(|text| text.contains("it is read-only")), "{protect:?}");

    let change = without_flush(|world| {
        let pte = entry(world.frame(), VmFlags::READ);
        world.tables.change(&mut world.cx, address(0), pte);
    });
    assert!(change.iter().any(|text| text.contains("another frame is mapped")), "{change:?}");

    let cleared = without_flush(|world| world.apply(&Op::ClearAccessed(0, 0)));
    assert!(cleared.iter().any(|text| text.contains("its accessed bit is clear")), "{cleared:?}");
}

#[test]
fn a_missing_flush_is_used_by_the_cpu() {
    let mut world = touched();
    world.cx.machine.drop_flushes(true);
    world.apply(&Op::Protect(0, 0, VmFlags::empty()));
    assert!(world.cx.machine.store(world.tables.root, address(0), 1).is_ok(), "the stale translation serves");
}

#[test]
fn a_table_freed_without_a_flush_is_caught() {
    let mut world = touched();
    world.cx.machine.drop_flushes(true);
    world.unmap(address(0), address(0) + PAGE);
    // What the missing flush of the page itself did has been said; now the table's.
    world.cx.machine.take_incoherence();
    world.tables.free_tables(&mut world.cx, address(0), address(0) + PAGE, 0, u64::MAX);
    let found = world.cx.machine.take_incoherence();
    assert!(found.iter().any(|text| text.contains("was freed while the TLB still reaches it")), "{found:?}");
}

#[test]
fn many_pages_are_flushed_at_once() {
    let mut cx = new_context(16 << 20);
    let mut tables = PageTables::new(&mut cx).expect("there is memory");
    let base = 0x4000_0000;
    let map = |cx: &mut SimContext, tables: &mut PageTables, pages: u64| {
        for page in 0..pages {
            let pfn = cx.alloc_frame(Gfp::USER, Owner::Anon).expect("there is memory");
            tables.set(cx, base + page * PAGE, entry(pfn, VmFlags::WRITE)).expect("there is memory");
        }
    };
    let free = |cx: &mut SimContext, _: u64, pte: Pte| {
        cx.put_frame(pte.pfn()).expect("the frame was in use");
    };
    map(&mut cx, &mut tables, 33);
    tables.unmap_range(&mut cx, 0, 1 << 47, free);
    assert_eq!(cx.machine.flushes(), (33, 0));
    map(&mut cx, &mut tables, 34);
    tables.protect_range(&mut cx, 0, 1 << 47, VmFlags::READ);
    assert_eq!(cx.machine.flushes(), (33, 1));
    tables.unmap_range(&mut cx, 0, 1 << 47, free);
    assert_eq!(cx.machine.flushes(), (33, 2));
}

#[test]
fn the_kernel_half_is_copied_and_never_freed() {
    let mut cx = new_context(16 << 20);
    let kernel = PageTables::new(&mut cx).expect("there is memory");
    cx.machine.set_pte(kernel.root, 273, 0x5003);
    cx.machine.set_pte(kernel.root, 3, 0x6003);
    let mut tables = PageTables::new_with_kernel_half(&mut cx, kernel.root).expect("there is memory");
    assert_eq!(cx.machine.pte(tables.root, 273), 0x5003);
    assert_eq!(cx.machine.pte(tables.root, 3), 0);
    tables.free_tables(&mut cx, 0, u64::MAX, 0, u64::MAX);
    assert_eq!(cx.machine.pte(tables.root, 273), 0x5003);
}
