//! What the allocator must do, computed the naive way: one entry a frame, no lists, no joining.

use std::collections::BTreeMap;

use pagelab_mm::{
    abi::{
        code::{Owner, Zone},
        snapshot::ZoneEntry,
    },
    frame::{Gfp, Mistake},
    machine::Pfn,
};

use crate::machine::Setup;

/// The zones of a node in the order of fallback; a zone's number is its node times 5 plus its place here.
const ZONES: [Zone; 5] = [Zone::Dma, Zone::Dma32, Zone::Normal, Zone::HighMem, Zone::Movable];

/// What one frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    /// Not RAM, or reserved.
    Unmanaged,
    Free,
    /// In the block that begins at this frame.
    Taken(u32),
}

/// A block in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) order: u8,
    pub(crate) owner: Owner,
    pub(crate) refcount: u32,
    pub(crate) mapcount: u32,
}

/// One zone.
struct ZoneModel {
    number: usize,
    /// First frame of RAM, last frame of RAM plus one.
    span: (u32, u32),
    free: u64,
    /// As after boot: the marks are the allocator's own, other tests know what they must be.
    entry: ZoneEntry,
}

/// The model.
pub(crate) struct Oracle {
    frames: Vec<Use>,
    zone_of: Vec<usize>,
    pub(crate) blocks: BTreeMap<u32, Block>,
    zones: Vec<ZoneModel>,
    /// Nodes by nearness, for each.
    nodes: [Vec<usize>; 4],
}

/// Index of the highest zone, by Linux's table of the four zone bits.
pub(crate) fn highest_zone(gfp: Gfp) -> usize {
    let has = |flag| gfp.contains(flag);
    match (has(Gfp::DMA), has(Gfp::DMA32), has(Gfp::HIGHMEM), has(Gfp::MOVABLE)) {
        (true, ..) => 0,
        (_, true, ..) => 1,
        (_, _, true, true) => 4,
        (_, _, true, false) => 3,
        _ => 2,
    }
}

impl Oracle {
    /// The state after boot.
    pub(crate) fn new(setup: &Setup, entries: impl Iterator<Item = ZoneEntry>) -> Self {
        let memblock = setup.memblock();
        let length = memblock.ram().map(|ram| ram.end >> 12).max().unwrap_or(0) as usize;
        let mut zones: Vec<_> = entries
            .map(|entry| {
                let index = ZONES.iter().position(|&zone| zone == entry.zone).expect("a known zone");
                let span = (entry.start_pfn as u32, (entry.start_pfn + entry.spanned) as u32);
                ZoneModel { number: usize::from(entry.node) * 5 + index, span, free: 0, entry }
            })
            .collect();
        let (mut frames, mut zone_of) = (vec![Use::Unmanaged; length], vec![usize::MAX; length]);
        for ram in memblock.ram() {
            for pfn in (ram.start >> 12) as u32..(ram.end >> 12) as u32 {
                let address = u64::from(pfn) << 12;
                let node = usize::from(ram.node);
                let movable = zones.iter().find(|zone| zone.number == node * 5 + 4);
                let index = if movable.is_some_and(|zone| pfn >= zone.span.0) {
                    4
                } else if setup.highmem > 0 && address >= (length as u64 * 4096 - setup.highmem) / 4096 * 4096 {
                    3
                } else {
                    usize::from(address >= 1 << 24) + usize::from(address >= 1 << 32)
                };
                zone_of[pfn as usize] = node * 5 + index;
                if !memblock.reserved().any(|reserved| (reserved.start..reserved.end).contains(&address)) {
                    frames[pfn as usize] = Use::Free;
                    let zone = zones.iter_mut().find(|zone| zone.number == node * 5 + index);
                    zone.expect("each frame of RAM is in a zone").free += 1;
                }
            }
        }
        let nodes = std::array::from_fn(|node| {
            let mut others: Vec<usize> = (0..4).filter(|&other| other != node).collect();
            others.sort_by_key(|&other| (setup.distance[node][other], other < node));
            [vec![node], others].concat()
        });
        Oracle { frames, zone_of, blocks: BTreeMap::new(), zones, nodes }
    }

    pub(crate) fn free_frames(&self) -> u64 {
        self.zones.iter().map(|zone| zone.free).sum()
    }

    pub(crate) fn is_free(&self, pfn: u32) -> bool {
        self.frames[pfn as usize] == Use::Free
    }

    pub(crate) fn owned(&self, owner: Owner) -> u64 {
        self.blocks.values().filter(|block| block.owner == owner).map(|block| 1 << block.order).sum()
    }

    /// The zone a request must be met from. `on_list` says of a free frame whether a CPU's list has it.
    pub(crate) fn zone_for(&self, node: usize, order: u8, gfp: Gfp, on_list: impl Fn(u32) -> bool) -> Option<usize> {
        let must = gfp.contains(Gfp::NOFAIL | Gfp::DIRECT_RECLAIM);
        if order > 10 || must && order > 1 {
            return None;
        }
        let highest = highest_zone(gfp);
        let nodes = if gfp.contains(Gfp::THISNODE) { &self.nodes[node][..1] } else { &self.nodes[node][..] };
        let zones: Vec<&ZoneModel> = nodes
            .iter()
            .flat_map(|node| (0..=highest).rev().map(move |index| node * 5 + index))
            .filter_map(|number| self.zones.iter().find(|zone| zone.number == number))
            .collect();
        let enough =
            |zone: &ZoneModel, mark: u64| zone.free >= (1 << order) + mark + zone.entry.lowmem_reserve[highest];
        let low = |zone: &ZoneModel| enough(zone, zone.entry.watermark[1]);
        let last = |zone: &ZoneModel| {
            let min = zone.entry.watermark[0];
            let half = min - min / 2;
            let may_wait = gfp.intersects(Gfp::DIRECT_RECLAIM | Gfp::NOMEMALLOC);
            let mark = match (gfp.contains(Gfp::HIGH), may_wait) {
                (true, false) => half - half / 4,
                (true, true) => half,
                _ => min,
            };
            enough(zone, mark)
        };
        let all = |zone: &ZoneModel| zone.free > 0;
        let in_blocks = |zone: &ZoneModel| order == 0 || self.has_block(zone, order, |pfn| !on_list(pfn));
        let drained = |zone: &ZoneModel| self.has_block(zone, order, |_| true);
        let find = |marks: &dyn Fn(&ZoneModel) -> bool, has: &dyn Fn(&ZoneModel) -> bool| {
            zones.iter().find(|zone| marks(zone) && has(zone)).map(|zone| zone.number)
        };
        let reserves = !gfp.contains(Gfp::NOMEMALLOC) && (must || gfp.contains(Gfp::MEMALLOC));
        let deepest: &dyn Fn(&ZoneModel) -> bool = if reserves { &all } else { &last };
        find(&low, &in_blocks)
            .or_else(|| find(&last, &in_blocks))
            .or_else(|| find(deepest, &in_blocks))
            .or_else(|| if gfp.contains(Gfp::NORETRY) { None } else { find(deepest, &drained) })
    }

    /// Whether a zone has an aligned run of free frames that will do.
    fn has_block(&self, zone: &ZoneModel, order: u8, will_do: impl Fn(u32) -> bool) -> bool {
        let step = 1 << order;
        let fits = |pfn: u32| {
            self.frames.get(pfn as usize) == Some(&Use::Free)
                && self.zone_of[pfn as usize] == zone.number
                && will_do(pfn)
        };
        (zone.span.0.next_multiple_of(step)..zone.span.1)
            .step_by(step as usize)
            .any(|first| (first..first + step).all(fits))
    }

    /// Takes note of a block handed out; panics if it is not free, aligned RAM of the zone.
    pub(crate) fn take(&mut self, pfn: Pfn, order: u8, owner: Owner, zone: usize) {
        assert_eq!(pfn.0 % (1 << order), 0, "block of order {order} at {pfn:?} is not aligned");
        for frame in pfn.0..pfn.0 + (1 << order) {
            assert_eq!(self.frames[frame as usize], Use::Free, "frame {frame} was handed out and is not free");
            assert_eq!(self.zone_of[frame as usize], zone, "frame {frame} is in another zone");
            self.frames[frame as usize] = Use::Taken(pfn.0);
        }
        self.zone_mut(zone).free -= 1 << order;
        self.blocks.insert(pfn.0, Block { order, owner, refcount: 1, mapcount: 0 });
    }

    fn zone_mut(&mut self, number: usize) -> &mut ZoneModel {
        self.zones.iter_mut().find(|zone| zone.number == number).expect("a zone with RAM")
    }

    /// The block a reference can be taken of, or what is there instead.
    pub(crate) fn block_at(&self, pfn: Pfn) -> Result<&Block, Mistake> {
        if !self.zones.iter().any(|zone| (zone.span.0..zone.span.1).contains(&pfn.0)) {
            return Err(Mistake::Foreign);
        }
        match self.frames[pfn.index()] {
            Use::Unmanaged => Err(Mistake::Reserved),
            Use::Free => Err(Mistake::DoubleFree),
            Use::Taken(head) if head != pfn.0 => Err(Mistake::NotHead { head: Pfn(head) }),
            Use::Taken(head) => Ok(&self.blocks[&head]),
        }
    }

    /// What giving a block back must answer; takes note of it if it succeeds.
    pub(crate) fn give_back(&mut self, pfn: Pfn, order: u8) -> Result<(), Mistake> {
        let &block = self.block_at(pfn)?;
        if block.order != order {
            return Err(Mistake::WrongOrder { allocated: block.order });
        }
        if block.refcount != 1 {
            return Err(Mistake::Referenced { refcount: block.refcount });
        }
        if block.mapcount != 0 {
            return Err(Mistake::Mapped { mapcount: block.mapcount });
        }
        self.blocks.remove(&pfn.0);
        for frame in pfn.0..pfn.0 + (1 << order) {
            self.frames[frame as usize] = Use::Free;
        }
        self.zone_mut(self.zone_of[pfn.index()]).free += 1 << order;
        Ok(())
    }

    /// What dropping a reference must answer; takes note of it if it succeeds.
    pub(crate) fn put(&mut self, pfn: Pfn) -> Result<bool, Mistake> {
        let &block = self.block_at(pfn)?;
        if block.refcount > 1 {
            self.blocks.get_mut(&pfn.0).expect("found above").refcount -= 1;
            return Ok(false);
        }
        self.give_back(pfn, block.order).map(|()| true)
    }

    /// A live block, by a number that need not be in range.
    pub(crate) fn pick(&self, number: usize) -> Option<Pfn> {
        let at = number as u32 % (self.frames.len().max(1) as u32);
        let next = self.blocks.range(at..).next().or_else(|| self.blocks.iter().next());
        next.map(|(&pfn, _)| Pfn(pfn))
    }
}
