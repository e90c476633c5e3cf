//! A machine with caches, and what is known from outside of the objects it handed out.

use std::collections::BTreeMap;

use pagelab_mm::{
    abi::{boot::SlabDebug, code::SlabAllocator},
    context::Context,
    frame::{FramesConfig, Gfp, OutOfMemory},
    memblock::Memblock,
    sim::SimMachine,
    slab::{CacheFlags, CacheId, SlabError, memory},
    trace::NoTrace,
};

/// RAM of a machine; Miri needs time for each frame.
pub(crate) const RAM: u64 = if cfg!(miri) { 2 << 20 } else { 16 << 20 };

pub(crate) type Cx = Context<SimMachine, NoTrace>;

/// Each implementation, with each set of checks that is worth a run of its own; under Miri with none and with all.
pub(crate) fn every_kind() -> impl Iterator<Item = (SlabAllocator, SlabDebug)> {
    let checks = [SlabDebug::empty(), SlabDebug::RED_ZONE, SlabDebug::POISON | SlabDebug::TRACK, SlabDebug::all()];
    [SlabAllocator::Queued, SlabAllocator::Freelist].into_iter().flat_map(move |allocator| {
        checks.into_iter().step_by(if cfg!(miri) { 3 } else { 1 }).map(move |debug| (allocator, debug))
    })
}

/// A machine with this much RAM whose caches are of a kind.
pub(crate) fn context(bytes: u64, (allocator, debug): (SlabAllocator, SlabDebug)) -> Cx {
    let mut memblock = Memblock::new();
    memblock.add_ram(0, bytes).expect("one range");
    memblock.reserve(0, 1 << 20, pagelab_mm::abi::code::Owner::Boot).expect("one range");
    let mut cx = Context::new(SimMachine::new(bytes, Default::default()), NoTrace);
    cx.init_frames(FramesConfig::new(&mut memblock));
    cx.slabs.configure(allocator, debug);
    cx
}

/// A cache's objects as their users know them.
pub(crate) struct Model {
    pub(crate) id: CacheId,
    pub(crate) size: u32,
    constructed: bool,
    /// Each object by its address, with the value that fills it.
    pub(crate) live: BTreeMap<u64, u64>,
}

/// What a constructed object holds: every word its own address.
pub(crate) fn constructor(address: u64, word: usize) -> u64 {
    address + 8 * word as u64
}

impl Model {
    /// A new cache.
    pub(crate) fn new(cx: &mut Cx, name: &'static str, size: u32, align: u32, constructed: bool) -> Model {
        let constructor = constructed.then_some(constructor as fn(u64, usize) -> u64);
        let id = cx.kmem_cache_create(name, size, align, CacheFlags::empty(), constructor).expect("it is possible");
        Model { id, size, constructed, live: BTreeMap::new() }
    }

    fn words(&self) -> u64 {
        u64::from(self.size / 8)
    }

    /// Takes an object, checks what it holds and fills it.
    pub(crate) fn take(&mut self, cx: &mut Cx, value: u64) -> Result<u64, OutOfMemory> {
        let object = cx.kmem_cache_alloc(self.id, Gfp::KERNEL)?;
        self.taken(cx, object, value);
        Ok(object)
    }

    /// Checks and fills an object that was just taken.
    pub(crate) fn taken(&mut self, cx: &mut Cx, object: u64, value: u64) {
        let below = self.live.range(..=object).next_back().map_or(0, |(&other, _)| other + u64::from(self.size));
        let above = self.live.range(object..).next().map_or(u64::MAX, |(&other, _)| other);
        assert!(below <= object && object + u64::from(self.size) <= above, "{object:#x} overlaps another");
        for word in 0..self.words() {
            let address = object + 8 * word;
            if self.constructed {
                assert_eq!(memory::load(&cx.machine, address), constructor(object, word as usize));
            } else {
                memory::store(&mut cx.machine, address, value ^ word);
            }
        }
        self.live.insert(object, value);
    }

    /// Checks that an object holds what was put there.
    pub(crate) fn verify(&self, cx: &Cx, object: u64) {
        let value = self.live[&object];
        for word in 0..self.words() {
            let expected = if self.constructed { constructor(object, word as usize) } else { value ^ word };
            assert_eq!(memory::load(&cx.machine, object + 8 * word), expected, "contents of {object:#x}");
        }
    }

    /// Checks an object and gives it back.
    pub(crate) fn give(&mut self, cx: &mut Cx, object: u64) -> Result<(), SlabError> {
        self.verify(cx, object);
        self.live.remove(&object);
        cx.kmem_cache_free(self.id, object)
    }

    /// The object that a random number picks.
    pub(crate) fn pick(&self, random: u64) -> Option<u64> {
        let (&first, _) = self.live.first_key_value()?;
        let (&last, _) = self.live.last_key_value()?;
        let from = first + random % (last - first + 1);
        self.live.range(from..).next().map(|(&object, _)| object)
    }

    /// Gives everything back and destroys the cache.
    pub(crate) fn finish(mut self, cx: &mut Cx) {
        while let Some((&object, _)) = self.live.first_key_value() {
            self.give(cx, object).expect("it is handed out");
        }
        cx.kmem_cache_destroy(self.id).expect("nothing is left in it");
    }
}
