//! What the allocator must do, computed the naive way: one entry a frame, no lists, no joining.

use std::collections::BTreeMap;

use pagelab_mm::{
    abi::{code::Owner, snapshot::ZoneEntry},
    frame::{Gfp, Mistake},
    machine::Pfn,
    memblock::Memblock,
};

/// First frame of DMA32 and of Normal.
const ZONE_STARTS: [u32; 3] = [0, 1 << 12, 1 << 20];

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

/// The model.
pub(crate) struct Oracle {
    frames: Vec<Use>,
    pub(crate) blocks: BTreeMap<u32, Block>,
    /// By zone index: first frame of RAM, last frame of RAM plus one.
    spans: [(u32, u32); 3],
    managed: [u64; 3],
    free: [u64; 3],
    watermarks: [[u64; 3]; 3],
}

fn zone_of(pfn: u32) -> usize {
    ZONE_STARTS.iter().rposition(|&start| start <= pfn).expect("zone DMA starts at 0")
}

impl Oracle {
    /// The state after boot. Watermarks are the allocator's own: another test knows what they must be.
    pub(crate) fn new(memblock: &Memblock, entries: impl Iterator<Item = ZoneEntry>) -> Self {
        let length = memblock.ram().map(|ram| ram.end >> 12).max().unwrap_or(0);
        let mut oracle = Oracle {
            frames: vec![Use::Unmanaged; length as usize],
            blocks: BTreeMap::new(),
            spans: [(u32::MAX, 0); 3],
            managed: [0; 3],
            free: [0; 3],
            watermarks: [[0; 3]; 3],
        };
        for entry in entries {
            oracle.watermarks[usize::from(entry.zone.0)] = entry.watermark;
        }
        for address in (0..length << 12).step_by(4096) {
            let holds = |region: &pagelab_mm::memblock::Region| region.start <= address && address < region.end;
            if !memblock.ram().any(|ram| holds(&ram)) {
                continue;
            }
            let pfn = (address >> 12) as u32;
            let zone = zone_of(pfn);
            let (first, last) = oracle.spans[zone];
            oracle.spans[zone] = (first.min(pfn), last.max(pfn + 1));
            if !memblock.reserved().any(|reserved| holds(&reserved)) {
                oracle.frames[pfn as usize] = Use::Free;
                oracle.managed[zone] += 1;
                oracle.free[zone] += 1;
            }
        }
        oracle
    }

    pub(crate) fn free_frames(&self) -> u64 {
        self.free.iter().sum()
    }

    pub(crate) fn owned(&self, owner: Owner) -> u64 {
        self.blocks.values().filter(|block| block.owner == owner).map(|block| 1 << block.order).sum()
    }

    /// The zone a request must be met from.
    pub(crate) fn zone_for(&self, order: u8, gfp: Gfp) -> Option<usize> {
        let highest = if gfp.contains(Gfp::DMA) {
            0
        } else if gfp.contains(Gfp::DMA32) {
            1
        } else {
            2
        };
        let fits = |zone: usize, mark: u64| {
            let ratio = [256, 256, 32][zone];
            let reserve = self.managed[zone + 1..].iter().take(highest - zone).sum::<u64>() / ratio;
            self.free[zone] >= (1 << order) + mark + reserve && self.has_block(zone, order)
        };
        let last_mark = |zone: usize| {
            let min = self.watermarks[zone][0];
            let half = min - min / 2;
            match (gfp.contains(Gfp::HIGH), gfp.contains(Gfp::DIRECT_RECLAIM)) {
                (true, false) => half - half / 4,
                (true, true) => half,
                _ => min,
            }
        };
        let first_try = (0..=highest).rev().find(|&zone| fits(zone, self.watermarks[zone][1]));
        first_try.or_else(|| (0..=highest).rev().find(|&zone| fits(zone, last_mark(zone))))
    }

    /// Whether a zone has an aligned run of free frames.
    fn has_block(&self, zone: usize, order: u8) -> bool {
        let (start, end) = self.spans[zone];
        let step = 1 << order;
        (start.next_multiple_of(step)..end)
            .step_by(step as usize)
            .any(|first| (first..first + step).all(|pfn| self.frames.get(pfn as usize) == Some(&Use::Free)))
    }

    /// Takes note of a block handed out; panics if it is not free, aligned RAM of the zone.
    pub(crate) fn take(&mut self, pfn: Pfn, order: u8, owner: Owner, zone: usize) {
        assert_eq!(pfn.0 % (1 << order), 0, "block of order {order} at {pfn:?} is not aligned");
        for frame in pfn.0..pfn.0 + (1 << order) {
            assert_eq!(self.frames[frame as usize], Use::Free, "frame {frame} was handed out and is not free");
            assert_eq!(zone_of(frame), zone, "frame {frame} is in another zone");
            self.frames[frame as usize] = Use::Taken(pfn.0);
        }
        self.free[zone] -= 1 << order;
        self.blocks.insert(pfn.0, Block { order, owner, refcount: 1, mapcount: 0 });
    }

    /// The block a reference can be taken of, or what is there instead.
    pub(crate) fn block_at(&self, pfn: Pfn) -> Result<&Block, Mistake> {
        if !self.spans.iter().any(|&(start, end)| (start..end).contains(&pfn.0)) {
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
        self.free[zone_of(pfn.0)] += 1 << order;
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
        self.blocks.keys().nth(number % self.blocks.len().max(1)).map(|&pfn| Pfn(pfn))
    }
}
