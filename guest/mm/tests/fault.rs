//! Every kind of fault: how it is classified, what the page-table entry becomes, and what is counted.

use pagelab_mm::{
    abi::{
        code::{FaultKind, Owner},
        layout::STACK_TOP,
        vmstat::Counter,
    },
    fault::{self, Access, Fault, NotMapped, Outcome},
    file::{FileId, FileSpec},
    frame::Gfp,
    machine::{Machine, Pfn},
    page_table::Pte,
    sim::{SimContext, new_context_with_file_bytes},
    space::{AddressSpace, MmapRequest, map, prot},
};

const PAGE: u64 = 4096;
const BASE: u64 = 0x4000_0000;
/// PROT_NONE.
const NO_ACCESS: u64 = 0;
const RW: u64 = prot::READ | prot::WRITE;
/// Bytes of the file: two pages and a half.
const FILE_BYTES: u64 = 2 * PAGE + PAGE / 2;

struct World {
    cx: SimContext,
    space: AddressSpace,
    file: FileId,
}

/// What a fault changed.
#[derive(Debug, PartialEq, Eq, Default, Clone, Copy)]
struct Counted {
    pgfault: u64,
    pgmajfault: u64,
    pgreuse: u64,
    min_flt: u64,
    maj_flt: u64,
    rss_anon: i64,
    rss_file: i64,
}

impl World {
    fn new() -> World {
        let bytes: Vec<u8> = (0..FILE_BYTES).map(|at| (at % 251) as u8 + 1).collect();
        let (mut cx, start) = new_context_with_file_bytes(16 << 20, &bytes);
        let file = cx.add_file(FileSpec::backed(start, FILE_BYTES, 7, 9)).expect("there is memory");
        let space = AddressSpace::new(&mut cx, 1).expect("there is memory");
        World { cx, space, file }
    }

    fn map(&mut self, prot: u64, flags: u64, file: Option<(FileId, u64)>) {
        let flags = flags | map::FIXED;
        let request = MmapRequest { addr: BASE, length: 4 * PAGE, prot, flags, file, ..MmapRequest::default() };
        self.space.mmap(&mut self.cx, &request).expect("the mapping is fine");
    }

    fn map_anon(&mut self, prot: u64) {
        self.map(prot, map::PRIVATE | map::ANONYMOUS, None);
    }

    fn map_file(&mut self, prot: u64, flags: u64) {
        self.map(prot, flags, Some((self.file, 0)));
    }

    fn counters(&self) -> Counted {
        Counted {
            pgfault: self.cx.stats.get(Counter::Pgfault),
            pgmajfault: self.cx.stats.get(Counter::Pgmajfault),
            pgreuse: self.cx.stats.get(Counter::Pgreuse),
            min_flt: self.space.usage.min_flt,
            maj_flt: self.space.usage.maj_flt,
            rss_anon: self.space.usage.rss_anon as i64,
            rss_file: self.space.usage.rss_file as i64,
        }
    }

    /// Takes a fault, checks what holds for every kind, and says what was counted.
    #[track_caller]
    fn fault(&mut self, address: u64, access: Access) -> (Outcome, Counted) {
        let before = self.counters();
        let outcome = fault::handle(&mut self.cx, &mut self.space, Fault { address, access, user: true });
        let after = self.counters();
        self.cx.machine.assert_coherent();
        let counted = Counted {
            pgfault: after.pgfault - before.pgfault,
            pgmajfault: after.pgmajfault - before.pgmajfault,
            pgreuse: after.pgreuse - before.pgreuse,
            min_flt: after.min_flt - before.min_flt,
            maj_flt: after.maj_flt - before.maj_flt,
            rss_anon: after.rss_anon - before.rss_anon,
            rss_file: after.rss_file - before.rss_file,
        };
        let kind = outcome.kind;
        assert_eq!(counted.pgfault, u64::from(kind.counts_as_pgfault()), "{kind:?}");
        assert_eq!(counted.min_flt + counted.maj_flt, u64::from(kind.counts_for_task()), "{kind:?}");
        assert_eq!(counted.maj_flt, u64::from(outcome.major), "{kind:?}");
        assert_eq!(outcome.pfn != Pfn::NONE, kind.counts_for_task(), "{kind:?}");
        assert_eq!(outcome.order, 0);
        if kind.counts_for_task() {
            let root = self.space.tables.root;
            assert_eq!(self.cx.machine.access(root, address, access, true), Ok(outcome.pfn), "the access works now");
            assert_eq!(self.pte(address).pfn(), outcome.pfn);
        }
        (outcome, counted)
    }

    /// A fault of this kind that counts only so much.
    #[track_caller]
    fn expect(&mut self, address: u64, access: Access, kind: FaultKind, counted: Counted) -> Pfn {
        let (outcome, seen) = self.fault(address, access);
        assert_eq!(outcome.kind, kind);
        assert_eq!(seen, counted);
        outcome.pfn
    }

    fn pte(&self, address: u64) -> Pte {
        self.space.tables.get(&self.cx.machine, address)
    }

    fn owner(&self, pfn: Pfn) -> Owner {
        self.cx.machine.pages()[pfn.index()].owner
    }

    /// Mappings and references of a frame.
    fn counts(&self, pfn: Pfn) -> (u32, u32) {
        let page = self.cx.machine.pages()[pfn.index()];
        (page.mapcount, page.refcount)
    }

    fn byte(&mut self, address: u64) -> u8 {
        self.cx.machine.load_byte(self.space.tables.root, address).expect("the page is mapped")
    }

    /// Takes every free frame. Gives them back with the second call's argument.
    fn exhaust(&mut self) -> Vec<Pfn> {
        let mut taken = Vec::new();
        while let Ok(pfn) = self.cx.alloc_frame(Gfp::KERNEL | Gfp::ATOMIC, Owner::Buffer) {
            taken.push(pfn);
        }
        taken
    }

    fn refill(&mut self, taken: Vec<Pfn>) {
        for pfn in taken {
            self.cx.put_frame(pfn).expect("the frame was taken");
        }
    }
}

/// A minor fault that counts nothing else.
const MINOR: Counted =
    Counted { pgfault: 1, pgmajfault: 0, pgreuse: 0, min_flt: 1, maj_flt: 0, rss_anon: 0, rss_file: 0 };
/// A major fault that counts nothing else.
const MAJOR: Counted = Counted { pgmajfault: 1, min_flt: 0, maj_flt: 1, ..MINOR };
const NOTHING: Counted = Counted { pgfault: 0, min_flt: 0, ..MINOR };
const FAILED: Counted = Counted { min_flt: 0, ..MINOR };

/// The bits of an entry below the address, and NX.
fn bits(pte: Pte) -> u64 {
    pte.0 & !Pte::ADDRESS
}

const READABLE: u64 = Pte::PRESENT | Pte::USER | Pte::ACCESSED;
const WRITTEN: u64 = READABLE | Pte::WRITABLE | Pte::DIRTY;

#[test]
fn anonymous_write_takes_a_zeroed_frame() {
    let mut world = World::new();
    world.map_anon(RW);
    let pfn = world.expect(BASE + 0x123, Access::Write, FaultKind::AnonWrite, Counted { rss_anon: 1, ..MINOR });
    assert_eq!(bits(world.pte(BASE)), WRITTEN | Pte::NX);
    assert_eq!(world.owner(pfn), Owner::Anon);
    assert_eq!(world.counts(pfn), (1, 1));
    assert_eq!(world.byte(BASE), 0);
    let (outcome, _) = world.fault(BASE + 3 * PAGE, Access::Write);
    assert_eq!(outcome.vma_start, BASE);
    assert_eq!(world.space.usage.hiwater_rss, 2);
}

#[test]
fn anonymous_read_maps_the_zero_page_and_a_write_copies_it() {
    let mut world = World::new();
    world.map_anon(RW);
    let zero = world.expect(BASE, Access::Read, FaultKind::AnonRead, MINOR);
    let again = world.expect(BASE + PAGE, Access::Read, FaultKind::AnonRead, MINOR);
    assert_eq!((zero, world.owner(zero)), (again, Owner::ZeroPage));
    assert_eq!(bits(world.pte(BASE)), READABLE | Pte::NX | Pte::SPECIAL);
    assert_eq!(world.counts(zero), (0, 1));
    let slot = world.space.vmas.first;
    assert_eq!(world.cx.vma(slot).anon, 0, "the zero page is no anonymous page");

    let pfn = world.expect(BASE, Access::Write, FaultKind::Cow, Counted { rss_anon: 1, ..MINOR });
    assert_eq!(bits(world.pte(BASE)), WRITTEN | Pte::NX);
    assert_ne!((pfn, world.cx.vma(slot).anon), (zero, 0));
    assert_eq!((world.owner(pfn), world.counts(pfn), world.counts(zero)), (Owner::Anon, (1, 1), (0, 1)));
}

#[test]
fn file_read_is_major_once_and_write_copies() {
    let mut world = World::new();
    world.map_file(RW | prot::EXEC, map::PRIVATE);
    let cached = world.expect(BASE, Access::Read, FaultKind::FileRead, Counted { rss_file: 1, ..MAJOR });
    assert_eq!(bits(world.pte(BASE)), READABLE);
    assert_eq!((world.owner(cached), world.counts(cached)), (Owner::File, (1, 2)));
    assert_eq!((world.byte(BASE), world.byte(BASE + 260)), (1, 10));

    let copy = world.expect(BASE, Access::Write, FaultKind::Cow, Counted { rss_anon: 1, rss_file: -1, ..MINOR });
    assert_eq!(bits(world.pte(BASE)), WRITTEN);
    assert_eq!((world.owner(copy), world.counts(copy)), (Owner::FileCow, (1, 1)));
    assert_eq!(world.counts(cached), (0, 1));
    assert_eq!(world.byte(BASE + 260), 10);

    let other = world.expect(BASE + PAGE, Access::Write, FaultKind::FileWrite, Counted { rss_anon: 1, ..MAJOR });
    assert_eq!((world.owner(other), bits(world.pte(BASE + PAGE))), (Owner::FileCow, WRITTEN));
    world.map_file(RW, map::PRIVATE);
    world.expect(BASE + PAGE, Access::Write, FaultKind::FileWrite, Counted { rss_anon: 1, ..MINOR });
    world.expect(BASE, Access::Read, FaultKind::FileRead, Counted { rss_file: 1, ..MINOR });
    assert_eq!(world.cx.cached(world.file, 0), Some(cached));
    let page = world.cx.machine.pages()[cached.index()];
    assert_eq!((page.mapping, page.index), (world.file.0, 0));
}

#[test]
fn executing_a_file_is_a_file_read() {
    let mut world = World::new();
    world.map_file(prot::READ | prot::EXEC, map::PRIVATE);
    world.expect(BASE, Access::Execute, FaultKind::FileRead, Counted { rss_file: 1, ..MAJOR });
    assert_eq!(bits(world.pte(BASE)), READABLE);
}

#[test]
fn shared_read_only_mapping() {
    let mut world = World::new();
    world.map_file(prot::READ, map::SHARED);
    world.expect(BASE, Access::Read, FaultKind::SharedRead, Counted { rss_file: 1, ..MAJOR });
    world.expect(BASE, Access::Write, FaultKind::SegvAccErr, NOTHING);
}

#[test]
fn the_last_page_ends_in_zeros_and_beyond_it_is_sigbus() {
    let mut world = World::new();
    world.map_file(RW, map::PRIVATE);
    world.expect(BASE + 2 * PAGE, Access::Read, FaultKind::FileRead, Counted { rss_file: 1, ..MAJOR });
    assert_ne!(world.byte(BASE + FILE_BYTES - 1), 0);
    assert_eq!((world.byte(BASE + FILE_BYTES), world.byte(BASE + 3 * PAGE - 1)), (0, 0));
    world.expect(BASE + 3 * PAGE, Access::Read, FaultKind::SigBus, FAILED);
    world.expect(BASE + 3 * PAGE, Access::Write, FaultKind::SigBus, FAILED);
    assert_eq!(world.cx.trace.in_use(Owner::FileCow), 0, "the frame for the copy was given back");
}

#[test]
fn stack_growth() {
    let mut world = World::new();
    world.space.map_stack(&mut world.cx, PAGE, false).expect("there is memory");
    let slot = world.space.vmas.first;
    let start = world.cx.vma(slot).start;
    world.expect(start, Access::Write, FaultKind::AnonWrite, Counted { rss_anon: 1, ..MINOR });
    let below = start - 3 * PAGE + 8;
    let (outcome, counted) = world.fault(below, Access::Write);
    assert_eq!((outcome.kind, outcome.vma_start), (FaultKind::Stack, start - 3 * PAGE));
    assert_eq!(counted, Counted { rss_anon: 1, ..MINOR });
    world.expect(start - 4 * PAGE, Access::Read, FaultKind::Stack, MINOR);
    world.expect(STACK_TOP - (9 << 20), Access::Write, FaultKind::SegvMapErr, NOTHING);
}

#[test]
fn rights_come_back_in_place() {
    let mut world = World::new();
    world.map_anon(RW);
    let (outcome, _) = world.fault(BASE, Access::Write);
    world.space.mprotect(&mut world.cx, BASE, PAGE, prot::READ).expect("it is mapped");
    world.expect(BASE, Access::Write, FaultKind::SegvAccErr, NOTHING);
    world.space.mprotect(&mut world.cx, BASE, PAGE, NO_ACCESS).expect("it is mapped");
    let pte = world.pte(BASE);
    assert!(pte.is_mapped() && !pte.is_present());
    world.expect(BASE, Access::Read, FaultKind::SegvAccErr, NOTHING);
    world.space.mprotect(&mut world.cx, BASE, PAGE, RW).expect("it is mapped");
    assert_eq!((world.pte(BASE).pfn(), bits(world.pte(BASE))), (outcome.pfn, WRITTEN | Pte::NX));
}

#[test]
fn a_frame_that_nobody_shares_any_more_is_written_in_place() {
    let mut world = World::new();
    world.map_anon(RW);
    let (first, _) = world.fault(BASE, Access::Write);
    world.cx.get_frame(first.pfn).expect("it is allocated");
    world.space.mprotect(&mut world.cx, BASE, PAGE, prot::READ).expect("it is mapped");
    world.space.mprotect(&mut world.cx, BASE, PAGE, RW).expect("it is mapped");
    assert_eq!(bits(world.pte(BASE)) & !Pte::DIRTY, READABLE | Pte::NX);
    world.cx.put_frame(first.pfn).expect("it is ours");
    let pfn = world.expect(BASE, Access::Write, FaultKind::Prot, Counted { pgreuse: 1, ..MINOR });
    assert_eq!((pfn, bits(world.pte(BASE))), (first.pfn, WRITTEN | Pte::NX));
}

#[test]
fn a_frame_that_others_hold_is_copied() {
    let mut world = World::new();
    world.map_anon(RW);
    let (first, _) = world.fault(BASE, Access::Write);
    world.cx.machine.store(world.space.tables.root, BASE, 0x5a).expect("it is mapped");
    world.cx.get_frame(first.pfn).expect("it is allocated");
    world.space.mprotect(&mut world.cx, BASE, PAGE, prot::READ).expect("it is mapped");
    world.space.mprotect(&mut world.cx, BASE, PAGE, RW).expect("it is mapped");
    let copy = world.expect(BASE, Access::Write, FaultKind::Cow, MINOR);
    assert_ne!(copy, first.pfn);
    assert_eq!((world.counts(first.pfn), world.counts(copy)), ((0, 1), (1, 1)));
    assert_eq!(world.byte(BASE), 0x5a);
    assert_eq!(world.owner(copy), Owner::Anon);
}

#[test]
fn spurious_faults_flush_and_go_on() {
    let mut world = World::new();
    world.map_anon(RW);
    world.fault(BASE, Access::Write);
    let (pages, _) = world.cx.machine.flushes();
    world.expect(BASE, Access::Write, FaultKind::Spurious, MINOR);
    world.expect(BASE, Access::Read, FaultKind::Spurious, MINOR);
    assert_eq!(world.cx.machine.flushes().0, pages + 2);
}

#[test]
fn what_no_vma_grants() {
    let mut world = World::new();
    world.map_anon(prot::READ);
    for (address, access, kind) in [
        (BASE - 1, Access::Read, FaultKind::SegvMapErr),
        (BASE + 4 * PAGE, Access::Write, FaultKind::SegvMapErr),
        (0, Access::Read, FaultKind::SegvMapErr),
        (u64::MAX, Access::Write, FaultKind::SegvMapErr),
        (0xffff_8880_0000_0000, Access::Read, FaultKind::SegvMapErr),
        (BASE, Access::Write, FaultKind::SegvAccErr),
        (BASE, Access::Execute, FaultKind::SegvAccErr),
    ] {
        let (outcome, counted) = world.fault(address, access);
        assert_eq!((outcome.kind, counted), (kind, NOTHING), "{address:#x}");
        assert_eq!(outcome.vma_start, if kind == FaultKind::SegvAccErr { BASE } else { 0 });
    }
    world.map_anon(NO_ACCESS);
    world.expect(BASE, Access::Read, FaultKind::SegvAccErr, NOTHING);
    world.map_anon(prot::WRITE);
    world.expect(BASE, Access::Read, FaultKind::AnonRead, MINOR);
}

#[test]
fn without_frames_nothing_changes() {
    let mut world = World::new();
    world.map_anon(RW);
    let taken = world.exhaust();
    world.expect(BASE, Access::Write, FaultKind::Oom, FAILED);
    world.expect(BASE, Access::Read, FaultKind::Oom, FAILED);
    assert_eq!(world.pte(BASE), Pte::EMPTY);
    world.refill(taken);
    world.fault(BASE, Access::Read);
    let taken = world.exhaust();
    world.expect(BASE, Access::Write, FaultKind::Oom, FAILED);
    assert!(world.pte(BASE).is_special(), "the zero page is still there");
    world.refill(taken);

    world.map_file(RW, map::PRIVATE);
    world.space.tables.leaf(&mut world.cx, BASE).expect("there is memory");
    let taken = world.exhaust();
    world.expect(BASE, Access::Read, FaultKind::Oom, FAILED);
    world.expect(BASE, Access::Write, FaultKind::Oom, FAILED);
    world.refill(taken);
    world.expect(BASE, Access::Read, FaultKind::FileRead, Counted { rss_file: 1, ..MAJOR });
}

#[test]
fn the_kernel_reaches_what_the_program_reaches() {
    let mut world = World::new();
    world.map_anon(RW);
    let resolve = |world: &World, address, write| fault::resolve(&world.cx, &world.space, address, write);
    assert_eq!(resolve(&world, BASE, false), Err(NotMapped));
    let (read, _) = world.fault(BASE, Access::Read);
    assert_eq!(resolve(&world, BASE + 5, false), Ok(read.pfn));
    assert_eq!(resolve(&world, BASE + 5, true), Err(NotMapped));
    let (written, _) = world.fault(BASE, Access::Write);
    assert_eq!(resolve(&world, BASE + 5, true), Ok(written.pfn));
    world.space.mprotect(&mut world.cx, BASE, PAGE, NO_ACCESS).expect("it is mapped");
    assert_eq!(resolve(&world, BASE, false), Err(NotMapped));
    assert_eq!(resolve(&world, u64::MAX, false), Err(NotMapped));
    assert_eq!(resolve(&world, 0xffff_8880_0000_0000, false), Err(NotMapped));
}
