//! What can go wrong in the kernel's own virtual memory, with the places in the code that had a part in it.

use core::{fmt, panic::Location};

use pagelab_abi::{layout::PAGE_SIZE, snapshot::AreaFlags};

use crate::{
    frame::{FreeError, OutOfMemory},
    machine::{KernelFault, Pfn},
};

/// An area and who made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owned {
    /// First byte.
    pub start: u64,
    /// First byte after it, the guard page included.
    pub end: u64,
    /// What it is.
    pub flags: AreaFlags,
    /// Who asked for it, if anybody remembers.
    pub made: Option<&'static Location<'static>>,
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.flags {
            flags if flags.contains(AreaFlags::IOREMAP) => "ioremap",
            flags if flags.contains(AreaFlags::MAP) => "vmap",
            _ => "vmalloc",
        };
        write!(f, "the {kind} area {:#x}-{:#x}, made at ", self.start, self.end)?;
        place(f, self.made)
    }
}

/// A place in the code, if anybody remembers it.
pub(super) fn place(f: &mut fmt::Formatter<'_>, at: Option<&'static Location<'static>>) -> fmt::Result {
    match at {
        Some(location) => write!(f, "{location}"),
        None => f.write_str("an unknown place"),
    }
}

/// Why an area was not made. Everything is as it was before, but for page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// No bytes were asked for, or more than the machine has.
    Size {
        /// So many.
        bytes: u64,
    },
    /// No gap between the areas is large enough.
    NoRoom,
    /// No frame for the area, for a table or for the area's own entry.
    OutOfMemory,
    /// This frame cannot be mapped.
    BadFrame {
        /// The frame.
        pfn: Pfn,
        /// Why not.
        why: FreeError,
    },
    /// ioremap of RAM, or of addresses that no CPU has.
    NotADevice {
        /// First physical byte.
        physical: u64,
    },
    /// The place that was asked for is not free, or no place for areas.
    Overlap {
        /// The area that has it; `None` where no area can be.
        with: Option<Owned>,
    },
}

impl From<OutOfMemory> for MapError {
    fn from(_: OutOfMemory) -> Self {
        MapError::OutOfMemory
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { bytes } => write!(f, "an area of {bytes} bytes is none, or more than the machine has"),
            Self::NoRoom => f.write_str("no gap between the areas is large enough"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::BadFrame { pfn, why } => write!(f, "frame {:#x} cannot be mapped: {why}", pfn.0),
            Self::NotADevice { physical } => write!(f, "{physical:#x} is not a device's"),
            Self::Overlap { with: Some(area) } => write!(f, "the range overlaps {area}"),
            Self::Overlap { with: None } => f.write_str("the range is not one for areas"),
        }
    }
}

impl core::error::Error for MapError {}

/// An area was to be unmapped that is not there to be. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadUnmap {
    /// The address that was given.
    pub address: u64,
    /// By whom.
    pub by: &'static Location<'static>,
    /// What is wrong with it.
    pub reason: UnmapReason,
}

/// What is wrong with an address that is to be unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnmapReason {
    /// There is no area.
    NoArea,
    /// It is inside an area, whose first byte is wanted.
    Inside(Owned),
    /// The area was made in another way.
    WrongKind(Owned),
    /// There was an area, which has been unmapped already.
    AlreadyUnmapped {
        /// Who had made it.
        made: Option<&'static Location<'static>>,
        /// Who unmapped it.
        unmapped: Option<&'static Location<'static>>,
    },
}

impl fmt::Display for BadUnmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} unmaps {:#x}, which ", self.by, self.address)?;
        match self.reason {
            UnmapReason::NoArea => f.write_str("is in no area"),
            UnmapReason::Inside(area) => write!(f, "is inside {area}"),
            UnmapReason::WrongKind(area) => write!(f, "is of another kind: {area}"),
            UnmapReason::AlreadyUnmapped { made, unmapped } => {
                f.write_str("was made at ")?;
                place(f, made)?;
                f.write_str(" and unmapped at ")?;
                place(f, unmapped)
            }
        }
    }
}

impl core::error::Error for BadUnmap {}

/// Why a frame was not mapped by kmap or kmap_local, or not unmapped. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KmapError {
    /// Every page or slot has a user.
    NoSlot {
        /// One of them.
        last: Option<&'static Location<'static>>,
    },
    /// No frame for a table, or for the account of kmap's pool.
    OutOfMemory,
    /// Nothing is mapped there.
    NotMapped {
        /// Where; 0 if the frame is nowhere.
        address: u64,
        /// Who wants it unmapped.
        by: &'static Location<'static>,
        /// Who mapped the last frame there.
        made: Option<&'static Location<'static>>,
        /// Who unmapped it.
        unmapped: Option<&'static Location<'static>>,
    },
    /// What is mapped there is not what kmap_local has mapped last.
    OutOfOrder {
        /// Where.
        address: u64,
        /// Who wants it unmapped.
        by: &'static Location<'static>,
        /// Who mapped it.
        made: Option<&'static Location<'static>>,
        /// Who mapped the last one.
        last: Option<&'static Location<'static>>,
    },
}

impl From<OutOfMemory> for KmapError {
    fn from(_: OutOfMemory) -> Self {
        KmapError::OutOfMemory
    }
}

impl fmt::Display for KmapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoSlot { last } => {
                f.write_str("every slot has a user, one of them at ")?;
                place(f, last)
            }
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::NotMapped { address, by, made, unmapped } => {
                write!(f, "{by} unmaps {address:#x}, where nothing is mapped; last mapped at ")?;
                place(f, made)?;
                f.write_str(", unmapped at ")?;
                place(f, unmapped)
            }
            Self::OutOfOrder { address, by, made, last } => {
                write!(f, "{by} unmaps {address:#x}, mapped at ")?;
                place(f, made)?;
                f.write_str(", before what was mapped last, at ")?;
                place(f, last)
            }
        }
    }
}

impl core::error::Error for KmapError {}

/// The kernel touched an address that it must not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadAccess {
    /// The fault.
    pub fault: KernelFault,
    /// What is there.
    pub at: Where,
}

impl fmt::Display for BadAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault, self.at)
    }
}

impl core::error::Error for BadAccess {}

/// What is at an address of the kernel half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Where {
    /// The guard page of an area.
    Guard(Owned),
    /// Within an area.
    Area(Owned),
    /// An area was there.
    Unmapped {
        /// Who had made it.
        made: Option<&'static Location<'static>>,
        /// Who unmapped it.
        unmapped: Option<&'static Location<'static>>,
    },
    /// A gap between areas.
    Gap,
    /// A page of kmap's pool.
    Kmap {
        /// Who mapped a frame there last.
        made: Option<&'static Location<'static>>,
        /// Who unmapped one there last.
        unmapped: Option<&'static Location<'static>>,
    },
    /// A slot of kmap_local.
    KmapLocal {
        /// Who mapped a frame there last.
        made: Option<&'static Location<'static>>,
    },
    /// A named slot of the fixmap.
    Fixmap,
    /// None of these.
    Elsewhere,
    /// The frame allocator had nothing for the first touch of a page.
    OutOfMemory(Owned),
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard(area) => write!(f, "the guard page of {area} ({} bytes)", area.end - PAGE_SIZE - area.start),
            Self::Area(area) => write!(f, "a page of {area}"),
            Self::Unmapped { made, unmapped } => {
                f.write_str("an area that was made at ")?;
                place(f, *made)?;
                f.write_str(" and unmapped at ")?;
                place(f, *unmapped)
            }
            Self::Gap => f.write_str("no vmalloc area"),
            Self::Kmap { made, unmapped } => {
                f.write_str("a page of kmap, last mapped at ")?;
                place(f, *made)?;
                f.write_str(", last unmapped at ")?;
                place(f, *unmapped)
            }
            Self::KmapLocal { made } => {
                f.write_str("a slot of kmap_local, last mapped at ")?;
                place(f, *made)
            }
            Self::Fixmap => f.write_str("a slot of the fixmap"),
            Self::Elsewhere => f.write_str("not in the vmalloc area"),
            Self::OutOfMemory(area) => write!(f, "no frame for a page of {area}"),
        }
    }
}
