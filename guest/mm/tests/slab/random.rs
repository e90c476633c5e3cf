//! A million random operations and more, over both implementations and every set of checks, against the model.

use pagelab_mm::{
    abi::code::Owner,
    frame::Gfp,
    machine::Machine,
    slab::{CACHES, Mistake},
};

use crate::model::{Cx, Model, RAM, context, every_kind};

/// Operations of one kind of allocator.
fn operations() -> u64 {
    let soak = std::env::var("PAGELAB_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1u64);
    if cfg!(miri) { 40 } else { 160_000 * soak.max(1) }
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Sizes, alignments and whether there is a constructor: management inside and outside, more than one frame, odd sizes.
const SHAPES: [(&str, u32, u32, bool); 8] = [
    ("tiny", 8, 0, false),
    ("odd", 40, 0, true),
    ("line", 64, 64, false),
    ("node", 320, 64, false),
    ("constructed", 192, 0, true),
    ("half", 2048, 0, false),
    ("page", 4096, 4096, false),
    ("big", 7000 / 8 * 8, 0, false),
];

struct World {
    cx: Cx,
    caches: Vec<Model>,
    large: Vec<(u64, u64)>,
    hoard: Vec<pagelab_mm::machine::Pfn>,
    mistakes: u64,
    refused: u64,
}

impl World {
    fn step(&mut self, random: &mut Random) {
        let which = random.below(SHAPES.len() as u64) as usize;
        let cache = &mut self.caches[which];
        // Between growing and shrinking phases every list is filled and emptied.
        let growing = random.0 >> 40 & 3 != 0;
        let most = [3000, 400, 400, 100, 100, 24, 12, 12][which];
        match random.below(100) {
            0..46 if growing || cache.live.len() < 3 => {
                if cache.live.len() < most && cache.take(&mut self.cx, random.next()).is_err() {
                    self.refused += 1;
                }
            }
            0..88 => {
                if let Some(object) = cache.pick(random.next()) {
                    cache.give(&mut self.cx, object).expect("it is handed out");
                }
            }
            88..91 => self.make_a_mistake(which, random),
            91..93 => self.bulk(which, random),
            93 => {
                self.cx.kmem_cache_shrink(cache.id);
            }
            94..97 => self.kmalloc(random),
            97 if random.below(8) == 0 => self.starve(which, random),
            _ => {
                if let Some(object) = cache.pick(random.next()) {
                    cache.verify(&self.cx, object);
                }
            }
        }
    }

    /// Frees what may not be freed; each is noticed, once, and nothing changes.
    fn make_a_mistake(&mut self, which: usize, random: &mut Random) {
        let other = self.caches[(which + 1) % SHAPES.len()].id;
        let cache = &mut self.caches[which];
        let Some(object) = cache.pick(random.next()) else { return };
        let id = cache.id;
        let expected = match random.below(4) {
            0 => {
                cache.give(&mut self.cx, object).expect("it is handed out");
                // Where that emptied a slab that went, no object is there any more.
                let error = self.cx.kmem_cache_free(id, object).expect_err("it is free");
                assert!(matches!(error.mistake, Mistake::DoubleFree | Mistake::NoObject), "{error}");
                self.mistakes += 1;
                return self.count();
            }
            1 => (self.cx.kmem_cache_free(other, object), Mistake::WrongCache { owner: SHAPES[which].0 }),
            2 => (self.cx.kmem_cache_free(id, object + 4), Mistake::NotStart),
            _ => (self.cx.kmem_cache_free(id, random.next() << 3), Mistake::NoObject),
        };
        assert_eq!(expected.0.expect_err("it is a mistake").mistake, expected.1);
        self.mistakes += 1;
        self.count();
    }

    fn count(&self) {
        assert_eq!(self.cx.slabs.reported(), self.mistakes, "each mistake is reported once");
    }

    fn bulk(&mut self, which: usize, random: &mut Random) {
        let cache = &mut self.caches[which];
        let mut objects = [0; 12];
        let some = &mut objects[..1 + random.below(12) as usize];
        if self.cx.kmem_cache_alloc_bulk(cache.id, Gfp::KERNEL, some).is_err() {
            self.refused += 1;
            return;
        }
        for &object in &*some {
            cache.taken(&mut self.cx, object, random.next());
        }
        for object in &*some {
            cache.verify(&self.cx, *object);
            cache.live.remove(object);
        }
        self.cx.kmem_cache_free_bulk(cache.id, some).expect("they are handed out");
    }

    /// Memory of any size, some of it made larger on the way.
    fn kmalloc(&mut self, random: &mut Random) {
        if self.large.len() > 40 || random.below(2) == 0 && !self.large.is_empty() {
            let (address, bytes) = self.large.swap_remove(random.below(self.large.len() as u64) as usize);
            let usable = self.cx.ksize(address).expect("it is handed out");
            assert!(usable >= bytes);
            return self.cx.kfree(address).expect("it is handed out");
        }
        let bits = random.below(15);
        let bytes = 1 + random.below(1 << bits);
        let Ok(address) = self.cx.kmalloc(bytes, Gfp::KERNEL | Gfp::ZERO) else {
            self.refused += 1;
            return;
        };
        let word = |cx: &Cx, address| pagelab_mm::slab::memory::load(&cx.machine, address);
        assert_eq!(word(&self.cx, address), 0, "it was asked for zeros");
        pagelab_mm::slab::memory::store(&mut self.cx.machine, address, !address);
        let (bytes, old) = (bytes + random.below(bytes), address);
        let address = self.cx.krealloc(address, bytes, Gfp::KERNEL).unwrap_or(address);
        assert_eq!(word(&self.cx, address), !old, "contents move along");
        self.large.push((address, bytes.min(self.cx.ksize(address).expect("it is handed out"))));
    }

    /// Takes all frames but a few, so that a cache cannot grow, and lets go of them.
    fn starve(&mut self, which: usize, random: &mut Random) {
        let left = random.below(3);
        while let Ok(pfn) = self.cx.alloc_frame(Gfp::KERNEL | Gfp::ATOMIC, Owner::Anon) {
            self.hoard.push(pfn);
        }
        for _ in 0..left {
            let pfn = self.hoard.pop().expect("there is RAM");
            self.cx.free_frames(pfn, 0).expect("it was taken");
        }
        let cache = &mut self.caches[which];
        let mut taken = Vec::new();
        while let Ok(object) = cache.take(&mut self.cx, random.next()) {
            taken.push(object);
            assert!(taken.len() < 1 << 20, "memory has an end");
        }
        self.refused += 1;
        self.cx.check_slabs().expect("a refusal leaves everything whole");
        for object in taken {
            cache.give(&mut self.cx, object).expect("it is handed out");
        }
        for pfn in self.hoard.drain(..) {
            self.cx.free_frames(pfn, 0).expect("it was taken");
        }
        cache.take(&mut self.cx, 1).expect("there is memory again");
    }

    fn finish(mut self) {
        for (address, _) in self.large {
            self.cx.kfree(address).expect("it is handed out");
        }
        for cache in self.caches {
            cache.finish(&mut self.cx);
        }
        self.cx.check_slabs().expect("the caches are whole");
        self.cx.frames.check(self.cx.machine.pages()).expect("the free lists are whole");
        // What is left are the arrays of the general caches themselves, and the managements of their slabs.
        let general: Vec<_> = self.cx.slabs.general_caches().collect();
        for cache in general.into_iter().rev() {
            self.cx.kmem_cache_shrink(cache);
        }
        assert!(self.cx.frames.owned(Owner::Slab) <= 8, "{} frames are left", self.cx.frames.owned(Owner::Slab));
    }
}

#[test]
fn any_history_keeps_objects_apart_and_whole() {
    for kind in every_kind() {
        let mut cx = context(RAM, kind);
        let caches = SHAPES.map(|(name, size, align, made)| Model::new(&mut cx, name, size, align, made));
        let mut world =
            World { cx, caches: Vec::from(caches), large: Vec::new(), hoard: Vec::new(), mistakes: 0, refused: 0 };
        let mut random = Random(0x5eed_0000 + kind.1.bits() as u64);
        for step in 0..operations() {
            world.step(&mut random);
            if step % 512 == 0 {
                world.cx.check_slabs().unwrap_or_else(|error| panic!("{kind:?}, step {step}: {error:?}"));
                for cache in &world.caches {
                    assert_eq!(world.cx.slabs.active(cache.id) as usize, cache.live.len());
                }
            }
        }
        world.count();
        assert!(cfg!(miri) || world.mistakes > 1000 && world.refused > 10, "mistakes and refusals were among it");
        world.finish();
    }
    const { assert!(SHAPES.len() < CACHES) };
}
