//! Random work against a naive model: for each page its rights and what is in it, and nothing else. After each step
//! the answers, the pages and all that must hold inside are checked.

use pagelab_mm::{
    abi::layout::MMAP_BASE,
    errno::Errno,
    space::{Advice, map},
    vma::VmFlags,
};
use proptest::prelude::*;

use crate::world::{PAGE, RW, World};

/// Pages of each of the two windows.
const PAGES: usize = 48;
/// The window where mappings without a hint go, up to [`MMAP_BASE`].
const HIGH: u64 = MMAP_BASE - PAGES as u64 * PAGE;
/// The window where the heap is, at its beginning.
const LOW: u64 = 0x10_0000_0000;

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Zeros,
    Own,
}

type Page = Option<(u64, Content)>;

#[derive(Clone, Debug)]
enum Step {
    MapAnywhere { pages: usize, prot: u64 },
    MapThere { page: usize, pages: usize, prot: u64, flags: u64 },
    Unmap { page: usize, pages: usize },
    Protect { page: usize, pages: usize, prot: u64 },
    Forget { page: usize, pages: usize },
    Brk { pages: usize, rest: u64 },
    Touch { page: usize, write: bool },
}

/// The model: both windows, one after the other, and the break in pages from the start of the heap.
struct Model {
    pages: [Page; 2 * PAGES],
    brk: usize,
}

fn address(page: usize) -> u64 {
    if page < PAGES { HIGH + page as u64 * PAGE } else { LOW + (page - PAGES) as u64 * PAGE }
}

fn range() -> impl Strategy<Value = (usize, usize)> {
    (0..2 * PAGES, 1..10usize).prop_map(|(page, pages)| {
        let end = if page < PAGES { PAGES } else { 2 * PAGES };
        (page, pages.min(end - page))
    })
}

fn step() -> impl Strategy<Value = Step> {
    let rights = || proptest::sample::select(vec![0, 1, RW, RW, 5]);
    let place = proptest::sample::select(vec![map::FIXED, map::FIXED, map::FIXED_NOREPLACE, 0]);
    prop_oneof![
        2 => (1..8usize, rights()).prop_map(|(pages, prot)| Step::MapAnywhere { pages, prot }),
        4 => (range(), rights(), place)
            .prop_map(|((page, pages), prot, flags)| Step::MapThere { page, pages, prot, flags }),
        3 => range().prop_map(|(page, pages)| Step::Unmap { page, pages }),
        4 => (range(), rights()).prop_map(|((page, pages), prot)| Step::Protect { page, pages, prot }),
        1 => range().prop_map(|(page, pages)| Step::Forget { page, pages }),
        3 => (0..PAGES, 0..PAGE).prop_map(|(pages, rest)| Step::Brk { pages, rest }),
        6 => (0..2 * PAGES, any::<bool>()).prop_map(|(page, write)| Step::Touch { page, write }),
    ]
}

impl Model {
    fn new() -> Model {
        Model { pages: [None; 2 * PAGES], brk: 0 }
    }

    fn is_free(&self, from: usize, to: usize) -> bool {
        self.pages[from..to].iter().all(Option::is_none)
    }

    /// Where so many pages go without a hint; `None` for below the window.
    fn highest_room(&self, pages: usize) -> Option<usize> {
        (0..=PAGES - pages).rev().find(|&from| self.is_free(from, from + pages))
    }

    fn apply(&mut self, world: &mut World, step: &Step) {
        match *step {
            Step::MapAnywhere { pages, prot } => self.map_anywhere(world, pages, prot),
            Step::MapThere { page, pages, prot, flags } => self.map_there(world, page, pages, prot, flags),
            Step::Unmap { page, pages } => {
                assert_eq!(world.unmap(address(page), pages as u64 * PAGE), Ok(()));
                self.pages[page..page + pages].fill(None);
            }
            Step::Protect { page, pages, prot } => {
                let range = &mut self.pages[page..page + pages];
                let mapped = range.iter_mut().map_while(|page| page.as_mut());
                let changed = mapped.map(|page| page.0 = prot).count();
                let expected = if changed == pages { Ok(()) } else { Err(Errno::ENOMEM) };
                assert_eq!(world.protect(address(page), pages as u64 * PAGE, prot), expected);
            }
            Step::Forget { page, pages } => {
                let range = &mut self.pages[page..page + pages];
                let changed = range.iter_mut().flatten().map(|page| page.1 = Content::Nothing).count();
                let expected = if changed == pages { Ok(()) } else { Err(Errno::ENOMEM) };
                let length = pages as u64 * PAGE;
                assert_eq!(world.space.madvise(&mut world.cx, address(page), length, Advice::DontNeed), expected);
            }
            Step::Brk { pages, rest } => self.move_brk(world, pages, rest),
            Step::Touch { page, write } => self.touch(world, page, write),
        }
    }

    fn map_anywhere(&mut self, world: &mut World, pages: usize, prot: u64) {
        let length = pages as u64 * PAGE;
        let got = world.map(0, length, prot, 0).expect("there is room");
        match self.highest_room(pages) {
            Some(page) => {
                assert_eq!(got, address(page));
                self.pages[page..page + pages].fill(Some((prot, Content::Nothing)));
            }
            None => {
                // It ends at the window's first mapping, or at the window.
                let free = (0..PAGES).take_while(|&page| self.is_free(page, page + 1)).count();
                assert_eq!(got, HIGH + free as u64 * PAGE - length);
                world.unmap(got, length).expect("just mapped");
            }
        }
    }

    fn map_there(&mut self, world: &mut World, page: usize, pages: usize, prot: u64, flags: u64) {
        let length = pages as u64 * PAGE;
        let free = self.is_free(page, page + pages);
        let got = world.map(address(page), length, prot, flags);
        if flags == map::FIXED_NOREPLACE && !free {
            assert_eq!(got, Err(Errno::EEXIST));
        } else if flags == 0 && !free {
            let got = got.expect("there is room elsewhere");
            assert_ne!(got, address(page));
            // Where it goes is the other step's business, if it is in the window at all.
            if let Some(page) = self.highest_room(pages) {
                assert_eq!(got, address(page));
            }
            world.unmap(got, length).expect("just mapped");
        } else {
            assert_eq!(got, Ok(address(page)));
            self.pages[page..page + pages].fill(Some((prot, Content::Nothing)));
        }
    }

    fn move_brk(&mut self, world: &mut World, pages: usize, rest: u64) {
        let wanted = LOW + pages as u64 * PAGE + rest;
        let new = pages + usize::from(rest > 0);
        let before = world.brk(0);
        let (heap, old) = (PAGES, self.brk);
        let possible = if new > old {
            // One page more stays free below the next mapping. Nothing is mapped above the window.
            self.is_free(heap + old, (heap + new + 1).min(2 * PAGES))
        } else {
            // Something of what is to go must still be there.
            new == old || !self.is_free(heap + new, heap + old)
        };
        assert_eq!(world.brk(wanted), if possible { wanted } else { before });
        if possible {
            match new > old {
                true => self.pages[heap + old..heap + new].fill(Some((RW, Content::Nothing))),
                false => self.pages[heap + new..heap + old].fill(None),
            }
            self.brk = new;
        }
    }

    fn touch(&mut self, world: &mut World, page: usize, write: bool) {
        let allowed = self.pages[page].is_some_and(|(prot, _)| if write { prot & 2 != 0 } else { prot != 0 });
        assert_eq!(world.touch(address(page), write), allowed);
        if let (true, Some((_, content))) = (allowed, &mut self.pages[page]) {
            match (write, *content) {
                (true, _) => *content = Content::Own,
                (false, Content::Nothing) => *content = Content::Zeros,
                (false, _) => {}
            }
        }
    }

    /// Checks that the address space holds exactly these pages.
    fn verify(&self, world: &mut World) {
        world.check();
        let mut mapped = 0;
        for (number, page) in self.pages.iter().enumerate() {
            let slot = world.space.vmas.containing(&world.cx, address(number));
            let rights = slot.map(|slot| u64::from((world.cx.vma(slot).flags() & VmFlags::ACCESS).bits()));
            assert_eq!(rights, page.map(|page| page.0), "page {number}");
            let pte = world.space.tables.get(&world.cx.machine, address(number));
            let content = match (pte.is_mapped(), pte.is_special()) {
                (false, _) => Content::Nothing,
                (true, true) => Content::Zeros,
                (true, false) => Content::Own,
            };
            assert_eq!(content, page.map_or(Content::Nothing, |page| page.1), "content of page {number}");
            mapped += u64::from(page.is_some());
        }
        assert_eq!(world.space.usage.total_vm, mapped, "pages outside of the windows");
        self.verify_merges(world);
    }

    /// No two neighbours are left that could be one. The start of the heap is the exception: there the heap begins a
    /// VMA of its own.
    fn verify_merges(&self, world: &World) {
        let mut slot = world.space.vmas.first;
        while slot != 0 && world.cx.vma(slot).next != 0 {
            let vma = world.cx.vma(slot);
            let next = world.cx.vma(vma.next);
            let alike = vma.flags() == next.flags() && vma.pgoff_at(vma.end) == next.pgoff;
            let anon_fits = vma.anon == 0 || next.anon == 0 || vma.anon == next.anon;
            assert!(!(vma.end == next.start && alike && anon_fits) || vma.end == LOW, "left apart at {:#x}", vma.end);
            slot = vma.next;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 70, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_address_space_is_what_a_naive_map_says(steps in prop::collection::vec(step(), 1500..2000)) {
        let mut world = World::new();
        world.space.set_brk_start(LOW);
        let mut model = Model::new();
        for step in &steps {
            model.apply(&mut world, step);
            model.verify(&mut world);
            world.cx.trace.vmas.clear();
        }
        world.finish();
    }
}
