//! What is known of one cache.

use pagelab_abi::boot::SlabDebug;

use super::{CPUS, list::List};

/// Which cache: its place in the table, and which of those that were there one after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CacheId {
    pub(super) index: u16,
    pub(super) generation: u16,
}

impl CacheId {
    /// A cache that is there from the start.
    pub(super) const fn builtin(index: usize) -> CacheId {
        CacheId { index: index as u16, generation: 0 }
    }

    /// Its place in the table, which also numbers its name: [`pagelab_abi::name::FIRST_CACHE`] and this.
    pub const fn number(self) -> usize {
        self.index as usize
    }
}

/// What word `word` of a fresh object at `address` holds. Called for each word once when the object is first handed
/// out; who gives an object back leaves it in that state. With [`CacheFlags::POISON`] it is called at each alloc.
pub type Constructor = fn(address: u64, word: usize) -> u64;

bitflags::bitflags! {
    /// Flags of a cache, with Linux's values.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct CacheFlags: u32 {
        /// Each object that is given back has its slab checked.
        const CONSISTENCY_CHECKS = 0x100;
        /// Red zones around each object.
        const RED_ZONE = 0x400;
        /// Free objects are filled with a pattern.
        const POISON = 0x800;
        /// Objects begin at cache lines.
        const HWCACHE_ALIGN = 0x2000;
        /// Who took and who gave back each object is kept.
        const STORE_USER = 0x1_0000;
        /// Its slabs can be taken back by reclaim: migrate type Reclaimable, SReclaimable in meminfo.
        const RECLAIM_ACCOUNT = 0x2_0000;
    }
}

impl CacheFlags {
    /// The checks that the flags ask for.
    pub(super) fn checks(self) -> SlabDebug {
        let pairs = [
            (CacheFlags::CONSISTENCY_CHECKS, SlabDebug::CHECKS),
            (CacheFlags::RED_ZONE, SlabDebug::RED_ZONE),
            (CacheFlags::POISON, SlabDebug::POISON),
            (CacheFlags::STORE_USER, SlabDebug::TRACK),
        ];
        let wanted = pairs.into_iter().filter(|(flag, _)| self.contains(*flag));
        wanted.fold(SlabDebug::empty(), |checks, (_, check)| checks | check)
    }
}

/// What a CPU keeps of a cache's objects, so that it need not look for a slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerCpu {
    /// Queued: where the array of objects is; 0 before the cache's second slab, when it is `front`.
    pub(super) entries: u64,
    /// Objects in the array; the last one put in comes first out.
    pub(super) available: u32,
    /// Freelist: first frame of the slab that this CPU takes from, which is in no list; 0 = none.
    pub(super) slab: u32,
    /// The first array of a cache.
    pub(super) front: [Kept; FRONT],
}

/// Objects that a CPU keeps before a cache's second slab.
pub(super) const FRONT: usize = 4;

/// An object that a CPU keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Its address.
    pub(super) object: u64,
    /// Where its entry in the slab's management is: frame, and number of the 16-bit word in it.
    pub(super) entry: (u32, u32),
}

impl Kept {
    const NONE: Kept = Kept { object: 0, entry: (0, 0) };
}

impl PerCpu {
    const NONE: PerCpu = PerCpu { entries: 0, available: 0, slab: 0, front: [Kept::NONE; FRONT] };
}

/// A cache. One that was not made yet, or is no more, has room for no object in a slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cache {
    pub(super) per_cpu: [PerCpu; CPUS],
    /// Slabs with objects handed out and free ones.
    pub(super) partial: List,
    /// Slabs without a free object.
    pub(super) full: List,
    /// Slabs all of whose objects are free.
    pub(super) empty: List,
    /// Bytes of an object's place.
    pub(super) stride: u32,
    /// Objects in a slab; 0 for no cache.
    pub(super) objects: u16,
    /// log2 of a slab's frames.
    pub(super) order: u8,
    /// Queued: whether the management is in the slab itself.
    pub(super) on_slab: bool,
    /// Bytes of an object.
    pub(super) size: u32,
    /// Bytes of an object's place before the object: its red zone.
    pub(super) before: u32,
    /// Bytes before the first place, without colour: the management, where it is in the slab.
    pub(super) first: u32,
    /// Freelist: where in a free object the address of the next one is.
    pub(super) link: u32,
    /// Objects handed out.
    pub(super) active: u32,
    /// Objects free in slabs.
    pub(super) free: u32,
    /// Most objects a CPU keeps.
    pub(super) limit: u16,
    /// How many it takes or gives back at a time.
    pub(super) batch: u16,
    /// Colours: how many different places the first object can have.
    pub(super) colours: u16,
    /// The next slab's colour.
    pub(super) next_colour: u16,
    /// Bytes from one colour to the next.
    pub(super) colour_step: u16,
    pub(super) generation: u16,
    pub(super) checks: SlabDebug,
    pub(super) flags: CacheFlags,
    pub(super) constructor: Option<Constructor>,
    pub(super) name: &'static str,
}

impl Cache {
    /// No cache.
    pub(super) const NONE: Cache = Cache {
        per_cpu: [PerCpu::NONE; CPUS],
        partial: List::EMPTY,
        full: List::EMPTY,
        empty: List::EMPTY,
        stride: 0,
        objects: 0,
        order: 0,
        on_slab: false,
        size: 0,
        before: 0,
        first: 0,
        link: 0,
        active: 0,
        free: 0,
        limit: 0,
        batch: 0,
        colours: 0,
        next_colour: 0,
        colour_step: 0,
        generation: 0,
        checks: SlabDebug::empty(),
        flags: CacheFlags::empty(),
        constructor: None,
        name: "",
    };

    /// Slabs, in lists and in the hands of CPUs.
    pub(super) fn slabs(&self) -> u32 {
        let in_hand = self.per_cpu.iter().filter(|cpu| cpu.slab != 0).count() as u32;
        self.partial.count + self.full.count + self.empty.count + in_hand
    }

    /// Where an object's right red zone begins.
    pub(super) fn after(&self) -> u32 {
        self.size.next_multiple_of(8)
    }

    /// Where it is kept who took an object and who gave it back.
    pub(super) fn track(&self) -> u32 {
        self.after() + if self.checks.contains(SlabDebug::RED_ZONE) { 8 } else { 0 }
    }

    /// Frames of a slab.
    pub(super) fn frames(&self) -> u32 {
        1 << self.order
    }
}
