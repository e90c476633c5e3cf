//! The allocator of early boot: which memory is RAM, which of it is in use, over fixed arrays.
//!
//! It serves until [`crate::context::Context::init_frames`] hands what is left to the buddy allocators.
//! RAM shrinks inward to whole frames, reservations grow outward, so a frame is free only if all of it is.

use core::{fmt, iter};

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};

/// RAM ranges a memblock can hold after merging.
pub const MAX_RAM: usize = 16;
/// Reserved ranges a memblock can hold after merging.
pub const MAX_RESERVED: usize = 64;
/// End of the guest-physical addresses that a 32-bit frame number reaches.
pub const ADDRESS_LIMIT: u64 = (u32::MAX as u64) * PAGE_SIZE;

/// A range of whole frames, `start..end` in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Who has it; [`Owner::None`] for RAM and for free ranges.
    pub owner: Owner,
    /// For RAM: its NUMA node. 0 for a reserved range, which may reach over several.
    pub node: u8,
}

impl Region {
    const EMPTY: Region = Region { start: 0, end: 0, owner: Owner::None, node: 0 };

    /// Bytes in the range.
    pub const fn size(&self) -> u64 {
        self.end - self.start
    }
}

/// Why a range was not taken over. The memblock is as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemblockError {
    /// The range ends before it starts.
    Backwards,
    /// The range reaches past [`ADDRESS_LIMIT`].
    TooHigh,
    /// The fixed array has no room left.
    Full,
}

impl fmt::Display for MemblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backwards => "memory range ends before it starts",
            Self::TooHigh => "memory range reaches past the highest frame number",
            Self::Full => "too many separate memory ranges",
        })
    }
}

impl core::error::Error for MemblockError {}

/// RAM and what is reserved of it. Frame 0 is always reserved.
#[derive(Clone, Debug)]
pub struct Memblock {
    ram: Regions<MAX_RAM>,
    reserved: Regions<MAX_RESERVED>,
}

impl Memblock {
    /// No RAM, and nothing reserved but frame 0.
    pub fn new() -> Self {
        let mut memblock = Memblock { ram: Regions::new(), reserved: Regions::new() };
        memblock.reserved.items[0] = Region { end: PAGE_SIZE, owner: Owner::Reserved, ..Region::EMPTY };
        memblock.reserved.count = 1;
        memblock
    }

    /// Adds RAM of node 0: see [`Memblock::add_ram_of_node`].
    pub fn add_ram(&mut self, start: u64, end: u64) -> Result<(), MemblockError> {
        self.add_ram_of_node(start, end, 0)
    }

    /// Adds RAM: the whole frames within `start..end`. Ranges may overlap and touch; what was added keeps its node.
    pub fn add_ram_of_node(&mut self, start: u64, end: u64, node: u8) -> Result<(), MemblockError> {
        check_range(start, end)?;
        let (start, end) = (start.next_multiple_of(PAGE_SIZE), end / PAGE_SIZE * PAGE_SIZE);
        self.ram.cover(Region { start, end, owner: Owner::None, node })
    }

    /// Reserves all frames that `start..end` touches, in RAM or not. What is reserved already keeps its owner.
    pub fn reserve(&mut self, start: u64, end: u64, owner: Owner) -> Result<(), MemblockError> {
        check_range(start, end)?;
        if start == end {
            return Ok(());
        }
        let (start, end) = (start / PAGE_SIZE * PAGE_SIZE, end.next_multiple_of(PAGE_SIZE));
        self.reserved.cover(Region { start, end, owner, node: 0 })
    }

    /// Takes `size` bytes, rounded up to whole frames, at the lowest free address above the kernel that is a multiple
    /// of `align` (a power of two, at least a frame), all on one node. `None` if there is no such place or no room to note it.
    pub fn alloc(&mut self, size: u64, align: u64, owner: Owner) -> Option<u64> {
        let size = size.checked_next_multiple_of(PAGE_SIZE).filter(|&size| size > 0)?;
        let align = align.checked_next_power_of_two()?.max(PAGE_SIZE);
        let kernel_end = self.reserved().filter(|r| r.owner == Owner::Kernel).map(|r| r.end).max().unwrap_or(0);
        let start = self.free().find_map(|region| {
            let start = region.start.max(kernel_end).checked_next_multiple_of(align)?;
            (start.checked_add(size)? <= region.end).then_some(start)
        })?;
        self.reserve(start, start + size, owner).ok()?;
        Some(start)
    }

    /// RAM by address; the ranges do not overlap, and touching ones are of different nodes.
    pub fn ram(&self) -> impl Iterator<Item = Region> + '_ {
        self.ram.iter()
    }

    /// Reserved ranges by address; they do not overlap, and touching ones have different owners.
    pub fn reserved(&self) -> impl Iterator<Item = Region> + '_ {
        self.reserved.iter()
    }

    /// The parts of the reserved ranges that are RAM, by address.
    pub fn reserved_ram(&self) -> impl Iterator<Item = Region> + '_ {
        self.reserved().flat_map(|reserved| {
            self.ram().filter_map(move |ram| {
                let (start, end) = (ram.start.max(reserved.start), ram.end.min(reserved.end));
                (start < end).then_some(Region { start, end, owner: reserved.owner, node: ram.node })
            })
        })
    }

    /// RAM that is not reserved, by address.
    pub fn free(&self) -> impl Iterator<Item = Region> + '_ {
        let mut at = 0;
        iter::from_fn(move || {
            loop {
                let ram = self.ram().find(|ram| ram.end > at)?;
                at = at.max(ram.start);
                match self.reserved().find(|reserved| reserved.end > at) {
                    Some(reserved) if reserved.start <= at => at = reserved.end,
                    next => {
                        let end = next.map_or(ram.end, |next| next.start.min(ram.end));
                        let free = Region { start: at, end, owner: Owner::None, node: ram.node };
                        at = end;
                        return Some(free);
                    }
                }
            }
        })
    }
}

impl Default for Memblock {
    fn default() -> Self {
        Self::new()
    }
}

fn check_range(start: u64, end: u64) -> Result<(), MemblockError> {
    if start > end {
        Err(MemblockError::Backwards)
    } else if end > ADDRESS_LIMIT {
        Err(MemblockError::TooHigh)
    } else {
        Ok(())
    }
}

/// Ranges by address that do not overlap; touching ones have different owners or nodes.
#[derive(Clone, Debug)]
struct Regions<const N: usize> {
    items: [Region; N],
    count: usize,
}

impl<const N: usize> Regions<N> {
    const fn new() -> Self {
        Regions { items: [Region::EMPTY; N], count: 0 }
    }

    fn iter(&self) -> impl Iterator<Item = Region> + '_ {
        self.items[..self.count].iter().copied()
    }

    /// The first part of `start..end` that no range covers, and where it would be inserted.
    fn first_gap(&self, start: u64, end: u64) -> Option<(usize, u64, u64)> {
        let mut at = start;
        for (position, region) in self.iter().enumerate() {
            if region.end <= at {
                continue;
            }
            if at >= end || region.start > at {
                return (at < end).then_some((position, at, end.min(region.start)));
            }
            at = region.end;
        }
        (at < end).then_some((self.count, at, end))
    }

    /// Takes over the parts of a range that no other covers.
    fn cover(&mut self, range: Region) -> Result<(), MemblockError> {
        let (mut count, mut most) = (self.count, self.count);
        let mut at = range.start;
        while let Some((position, start, end)) = self.first_gap(at, range.end) {
            let (before, after) = self.joins(position, &Region { start, end, ..range });
            count = count + 1 - usize::from(before) - usize::from(after);
            most = most.max(count);
            at = end;
        }
        if most > N {
            return Err(MemblockError::Full);
        }
        at = range.start;
        while let Some((position, start, end)) = self.first_gap(at, range.end) {
            self.insert(position, Region { start, end, ..range });
            at = end;
        }
        Ok(())
    }

    /// Whether a range put at `position` would touch its neighbours of its owner and node: the one before, the one after.
    fn joins(&self, position: usize, range: &Region) -> (bool, bool) {
        let items = &self.items[..self.count];
        let before = position.checked_sub(1).and_then(|previous| items.get(previous));
        let after = items.get(position);
        let alike = |other: &Region| other.owner == range.owner && other.node == range.node;
        (
            before.is_some_and(|other| alike(other) && other.end == range.start),
            after.is_some_and(|other| alike(other) && other.start == range.end),
        )
    }

    /// Puts a range in, joined with the neighbours it touches. The caller has made sure of the room.
    fn insert(&mut self, position: usize, region: Region) {
        match self.joins(position, &region) {
            (true, true) => {
                self.items[position - 1].end = self.items[position].end;
                self.items.copy_within(position + 1..self.count, position);
                self.count -= 1;
            }
            (true, false) => self.items[position - 1].end = region.end,
            (false, true) => self.items[position].start = region.start,
            (false, false) => {
                self.items.copy_within(position..self.count, position + 1);
                self.items[position] = region;
                self.count += 1;
            }
        }
    }
}
