//! What the kernel's test-only feature `omit-flush` does, in the simulator: nothing is ever flushed. Each way to take a
//! page or a right away from a program must be caught by the TLB that forgets nothing by itself, and seen by the program.

use pagelab_mm::{
    fault::{Access, Fault, handle},
    machine::Pfn,
    sim::{SimContext, new_context},
    space::{AddressSpace, Advice, MmapRequest, map, prot},
};

const PAGE: u64 = 4096;
const ALL: u64 = prot::READ | prot::WRITE | prot::EXEC;
const HEAP: u64 = 0x60_0000;

/// A program whose pages have all been written.
struct World {
    cx: SimContext,
    space: AddressSpace,
    /// Where they are.
    area: u64,
    /// How long they are, in bytes.
    length: u64,
}

impl World {
    fn new(pages: u64) -> World {
        let mut cx = new_context(16 << 20);
        let mut space = AddressSpace::new(&mut cx, 1).expect("there is memory");
        space.set_brk_start(HEAP);
        let length = pages * PAGE;
        assert_eq!(space.brk(&mut cx, HEAP + length), HEAP + length);
        let mut world = World { cx, space, area: 0, length };
        world.area = world.map(0, 0);
        for page in 0..pages {
            world.write(world.area + page * PAGE);
            world.write(HEAP + page * PAGE);
        }
        world.cx.machine.assert_coherent();
        world
    }

    fn map(&mut self, addr: u64, flags: u64) -> u64 {
        let flags = map::PRIVATE | map::ANONYMOUS | flags;
        let request = MmapRequest { addr, length: self.length, prot: ALL, flags, ..MmapRequest::default() };
        self.space.mmap(&mut self.cx, &request).expect("there is room")
    }

    fn write(&mut self, address: u64) {
        while !self.reaches(address, Access::Write) {
            let fault = Fault { address, access: Access::Write, user: true };
            assert_ne!(handle(&mut self.cx, &mut self.space, fault).pfn, Pfn::NONE);
        }
    }

    /// Whether the program gets through without a page fault.
    fn reaches(&mut self, address: u64, access: Access) -> bool {
        self.cx.machine.access(self.space.tables.root, address, access, true).is_ok()
    }
}

type Take = fn(&mut World);

/// What is taken away from both areas, and an access that must then fault.
const WAYS: [(&str, Take, Access); 7] = [
    ("read-only", |w| w.space.mprotect(&mut w.cx, w.area, w.length, prot::READ).expect("valid"), Access::Write),
    ("no-access", |w| w.space.mprotect(&mut w.cx, w.area, w.length, 0).expect("valid"), Access::Read),
    (
        "no-execute",
        |w| w.space.mprotect(&mut w.cx, w.area, w.length, prot::READ | prot::WRITE).expect("valid"),
        Access::Execute,
    ),
    ("unmapped", |w| w.space.munmap(&mut w.cx, w.area, w.length).expect("valid"), Access::Read),
    ("discarded", |w| w.space.madvise(&mut w.cx, w.area, w.length, Advice::DontNeed).expect("valid"), Access::Read),
    (
        "replaced",
        |w| {
            w.map(w.area, map::FIXED);
        },
        Access::Read,
    ),
    (
        "shrunk-heap",
        |w| {
            w.space.brk(&mut w.cx, HEAP);
            w.area = HEAP;
        },
        Access::Read,
    ),
];

#[test]
fn an_omitted_tlb_flush_is_caught_by_the_lazy_tlb() {
    // One page is flushed by itself, many are flushed at once.
    for pages in [1, 36] {
        for (way, take, access) in WAYS {
            let case = format!("{way}, {pages} pages");
            let mut right = World::new(pages);
            take(&mut right);
            right.cx.machine.assert_coherent();
            assert!(!right.reaches(right.area, access), "{case}: the page is gone");

            let mut broken = World::new(pages);
            broken.cx.machine.drop_flushes(true);
            take(&mut broken);
            assert!(broken.reaches(broken.area, access), "{case}: the stale translation serves");
            let found = broken.cx.machine.take_incoherence();
            assert!(found.len() >= pages as usize, "{case}: {found:?}");
        }
    }
}
