//! Random histories of areas, each answer compared with the model's: where an area is placed, what each page holds,
//! which mistake is told how, and that every frame comes back.
//!
//! `PAGELAB_SOAK=N` runs N times as many steps.

use pagelab_mm::{
    abi::{code::Owner, layout::DEVICE_PAGE_PHYS},
    frame::Gfp,
    kernel_space::{MapError, UnmapReason, Where},
    machine::Pfn,
    sim::SimContext,
};

use crate::{
    LITTLE, PAGE, check, machine,
    model::{Area, Content, Kind, Model},
};

/// Steps of a history, of which there are four.
const STEPS: u64 = if cfg!(miri) { 12 } else { 100_000 };
/// With fewer free frames than this a request may fail.
const SCARCE: u64 = 200;
/// Areas above which more are unmapped than made.
const MANY: usize = 60;
/// The test's own frames, for vmap.
const FRAMES: usize = 12;

/// Times the usual number of steps.
pub(crate) fn soak() -> u64 {
    std::env::var("PAGELAB_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Numbers without a pattern (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

struct World {
    cx: SimContext,
    model: Model,
    random: Random,
    /// What vmap gets, and what their first words hold.
    frames: Vec<(Pfn, u64)>,
    /// Frames taken away to make memory scarce.
    hoard: Vec<Pfn>,
    /// Free frames at the start, those of tables added.
    at_start: u64,
}

impl World {
    fn new(seed: u64, lazy: bool) -> World {
        let mut cx = machine(LITTLE);
        cx.kernel.lazy = lazy;
        let at_start = cx.frames.free() + cx.frames.owned(Owner::PageTable);
        let frames = (0..FRAMES)
            .map(|_| (cx.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::Buffer).expect("a frame"), 0))
            .collect();
        World { cx, model: Model::default(), random: Random(seed), frames, hoard: Vec::new(), at_start }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..21 if self.model.areas.len() > MANY => self.unmap(),
            0..14 => self.vmalloc(),
            14..18 => self.vmap(),
            18..21 => self.ioremap(),
            21..40 => self.unmap(),
            40..44 => self.unmap_wrongly(),
            44..66 => self.write(),
            66..90 => self.read(),
            90..97 => self.touch_outside(),
            97..98 => self.hoard(),
            _ => self.hoard.drain(..).for_each(|pfn| self.cx.free_frames(pfn, 0).expect("hoarded")),
        }
    }

    /// What an area of so many pages is answered with.
    fn made(&mut self, result: Result<u64, MapError>, kind: Kind, pages: Vec<Content>) {
        let expected = self.model.lowest_fit(pages.len() as u64);
        match result {
            Ok(address) => {
                assert_eq!(Some(address & !(PAGE - 1)), expected, "the lowest gap that fits");
                self.model.areas.insert(address & !(PAGE - 1), Area { kind, pages });
            }
            Err(MapError::OutOfMemory) => {
                assert!(self.cx.frames.free() < SCARCE, "there was memory");
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn vmalloc(&mut self) {
        let pages = match self.random.below(20) {
            0 => 30 + self.random.below(60),
            _ => 1 + self.random.below(5),
        };
        let size = pages * PAGE - self.random.below(PAGE);
        let zero = self.random.below(2) == 0;
        let before = self.accounted();
        let result = if zero { self.cx.vzalloc(size) } else { self.cx.vmalloc(size) };
        if result.is_err() {
            assert_eq!(self.accounted(), before, "a failure takes nothing");
        }
        let content = if zero || self.cx.kernel.lazy { Content::Word(0) } else { Content::Unknown };
        self.made(result, Kind::Vmalloc, vec![content; pages as usize]);
    }

    /// Frames that are free, in tables, or in the store of areas.
    fn accounted(&self) -> u64 {
        let owned = |owner| self.cx.frames.owned(owner);
        self.cx.frames.free() + owned(Owner::PageTable) + owned(Owner::Slab)
    }

    fn vmap(&mut self) {
        let numbers: Vec<usize> =
            (0..1 + self.random.below(6)).map(|_| self.random.below(FRAMES as u64) as usize).collect();
        let frames: Vec<Pfn> = numbers.iter().map(|&number| self.frames[number].0).collect();
        let result = self.cx.vmap(&frames);
        self.made(result, Kind::Vmap, numbers.into_iter().map(Content::Frame).collect());
    }

    fn ioremap(&mut self) {
        let offset = self.random.below(PAGE);
        let result = self.cx.ioremap(DEVICE_PAGE_PHYS + offset, 1 + self.random.below(PAGE - offset));
        if let Ok(address) = result {
            assert_eq!(address % PAGE, offset);
        }
        self.made(result, Kind::Device, vec![Content::Unknown]);
    }

    fn unmap(&mut self) {
        let number = self.random.next();
        let Some(start) = self.model.pick(number) else { return };
        let area = self.model.areas.remove(&start).expect("picked");
        match area.kind {
            Kind::Vmalloc => self.cx.vfree(start),
            Kind::Vmap => self.cx.vunmap(start),
            Kind::Device => self.cx.iounmap(start + number % PAGE),
        }
        .expect("it is there");
        if self.random.below(4) == 0 {
            let again = self.cx.vfree(start).expect_err("it is gone").reason;
            assert!(matches!(again, UnmapReason::AlreadyUnmapped { made: Some(_), unmapped: Some(_) }), "{again:?}");
        }
        // Nobody reaches it any more.
        let page = self.random.below(area.pages.len() as u64);
        let bad = self.cx.read_kernel_word(start + page * PAGE).expect_err("it is gone");
        assert!(matches!(bad.at, Where::Gap | Where::Unmapped { .. }), "{bad}");
    }

    fn unmap_wrongly(&mut self) {
        let number = self.random.next();
        let Some(start) = self.model.pick(number) else { return };
        let area = &self.model.areas[&start];
        let inside = start + 1 + self.random.below((area.pages.len() as u64 + 1) * PAGE - 1);
        let wrong = match area.kind {
            Kind::Vmalloc => self.cx.vunmap(start),
            _ => self.cx.vfree(start),
        };
        assert!(
            matches!(wrong.expect_err("another kind").reason, UnmapReason::WrongKind(owned) if owned.start == start)
        );
        let wrong = self.cx.vfree(inside).expect_err("inside").reason;
        assert!(matches!(wrong, UnmapReason::Inside(owned) if owned.start == start), "{wrong:?}");
    }

    /// A page of an area, with what it holds.
    fn page(&mut self) -> Option<(u64, u64, usize)> {
        let number = self.random.next();
        let start = self.model.pick(number)?;
        let page = self.random.below(self.model.areas[&start].pages.len() as u64);
        Some((start, start + page * PAGE, page as usize))
    }

    fn write(&mut self) {
        let Some((start, address, page)) = self.page() else { return };
        let value = self.random.next();
        match self.cx.write_kernel_word(address, value) {
            Ok(()) => {}
            Err(bad) => {
                assert!(matches!(bad.at, Where::OutOfMemory(_)) && self.cx.frames.free() < SCARCE, "{bad}");
                return;
            }
        }
        let area = self.model.areas.get_mut(&start).expect("picked");
        match &mut area.pages[page] {
            Content::Frame(number) => self.frames[*number].1 = value,
            // All areas of the device show the one page, so that what it holds is anybody's.
            _ if area.kind == Kind::Device => {}
            content => *content = Content::Word(value),
        }
    }

    fn read(&mut self) {
        let Some((start, address, page)) = self.page() else { return };
        let expected = match self.model.areas[&start].pages[page] {
            Content::Unknown => return,
            Content::Word(word) => word,
            Content::Frame(number) => self.frames[number].1,
        };
        match self.cx.read_kernel_word(address) {
            Ok(word) => assert_eq!(word, expected, "at {address:#x}"),
            Err(bad) => assert!(matches!(bad.at, Where::OutOfMemory(_)) && self.cx.frames.free() < SCARCE, "{bad}"),
        }
    }

    /// Guards and gaps are nobody's.
    fn touch_outside(&mut self) {
        let number = self.random.next();
        let Some(start) = self.model.pick(number) else { return };
        let guard = start + self.model.areas[&start].pages.len() as u64 * PAGE;
        let bad = self.cx.write_kernel_word(guard + 8 * (number % 512), number).expect_err("a guard page");
        assert!(matches!(bad.at, Where::Guard(owned) if owned.start == start), "{bad}");
        let behind = guard + PAGE;
        if self.model.at(behind).is_none() {
            assert!(self.cx.read_kernel_word(behind).is_err(), "a gap at {behind:#x}");
        }
    }

    fn hoard(&mut self) {
        while let Ok(pfn) = self.cx.alloc_frame(Gfp::KERNEL, Owner::Buffer) {
            self.hoard.push(pfn);
        }
    }

    fn check(&mut self) {
        check(&mut self.cx);
        assert_eq!(self.cx.area_count() as usize, self.model.areas.len());
        if !self.cx.kernel.lazy {
            assert_eq!(self.cx.frames.owned(Owner::Vmalloc), self.model.vmalloc_pages());
        }
    }

    fn finish(mut self) {
        while !self.model.areas.is_empty() {
            self.unmap();
        }
        self.check();
        self.hoard.drain(..).chain(self.frames.drain(..).map(|(pfn, _)| pfn)).for_each(|pfn| {
            self.cx.free_frames(pfn, 0).expect("no area holds it");
        });
        assert_eq!(self.accounted(), self.at_start, "every frame comes back");
        assert!(self.cx.frames.owned(Owner::Slab) <= 1, "the store keeps one frame");
        self.cx.frames.check(pagelab_mm::machine::Machine::pages(&self.cx.machine)).expect("the allocator is sound");
    }
}

#[test]
fn random_areas_are_where_and_what_the_model_says() {
    for (seed, lazy) in [(1, false), (2, true), (3, false), (4, true)] {
        let mut world = World::new(seed, lazy);
        for step in 0..STEPS * soak() {
            world.step();
            if step % 256 == 0 {
                world.check();
            }
        }
        world.finish();
    }
}
