//! What is said of a mistake in the use of objects.

use core::{fmt, panic::Location};

use super::cache::Cache;
use crate::trace::{CallSite, Trace};

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// The object is free already.
    DoubleFree,
    /// The object belongs to another cache.
    WrongCache {
        /// That one's name.
        owner: &'static str,
    },
    /// No slab has this address.
    NoObject,
    /// The address is inside a slab, but no object begins there.
    NotStart,
    /// The cache was destroyed.
    DestroyedCache,
    /// The red zone before the object was written over. The object is given back all the same.
    RedZoneBefore,
    /// The red zone after the object was written over. The object is given back all the same.
    RedZoneAfter,
    /// The object was written to while it was free. It is handed out all the same.
    Poison,
    /// What a slab knows of its free objects was written over. Those that it can no longer tell are not handed out.
    FreeList,
    /// A cache was to be destroyed whose objects are still handed out. The cache stays.
    Leak {
        /// So many.
        objects: u32,
    },
}

/// A mistake: which object, what was found, who took it and gave it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlabError {
    /// What is wrong.
    pub mistake: Mistake,
    /// Name of the cache; empty where none is known.
    pub cache: &'static str,
    /// Address of the object; for a leak, of the first one.
    pub object: u64,
    /// Bytes from the object's start to what was found, which is before it where negative.
    pub offset: i32,
    /// What was found there: a word of a red zone, a byte of poison.
    pub found: u64,
    /// What should be there.
    pub expected: u64,
    /// Who took the object, where that is kept ([`SlabDebug::TRACK`](pagelab_abi::boot::SlabDebug::TRACK)).
    pub allocated: CallSite,
    /// Who gave it back before, where that is kept.
    pub freed: CallSite,
    /// Who asked for what found the mistake.
    pub noticed: &'static Location<'static>,
}

impl SlabError {
    pub(super) fn new(mistake: Mistake, cache: &Cache, object: u64, noticed: &'static Location<'static>) -> SlabError {
        SlabError {
            mistake,
            cache: cache.name,
            object,
            offset: 0,
            found: 0,
            expected: 0,
            allocated: CallSite::UNKNOWN,
            freed: CallSite::UNKNOWN,
            noticed,
        }
    }

    pub(super) fn at(self, offset: i32, found: u64, expected: u64) -> SlabError {
        SlabError { offset, found, expected, ..self }
    }

    /// The report as text, with the places of the call sites that `trace` remembers.
    pub fn text<'a, T: Trace>(&'a self, trace: &'a T) -> impl fmt::Display + 'a {
        Text { error: self, trace }
    }
}

impl Mistake {
    /// Whether the object was given back all the same.
    pub const fn was_freed(self) -> bool {
        matches!(self, Self::RedZoneBefore | Self::RedZoneAfter)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoubleFree => f.write_str("object already free"),
            Self::WrongCache { owner } => write!(f, "object of cache {owner}"),
            Self::NoObject => f.write_str("no object at this address"),
            Self::NotStart => f.write_str("no object begins at this address"),
            Self::DestroyedCache => f.write_str("the cache was destroyed"),
            Self::RedZoneBefore => f.write_str("left red zone overwritten"),
            Self::RedZoneAfter => f.write_str("right red zone overwritten"),
            Self::Poison => f.write_str("poison overwritten"),
            Self::FreeList => f.write_str("free list overwritten"),
            Self::Leak { objects } => write!(f, "{objects} objects remaining on destroy"),
        }
    }
}

impl fmt::Display for SlabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cache = if self.cache.is_empty() { "?" } else { self.cache };
        write!(f, "BUG {cache}: {}: object {:#x}", self.mistake, self.object)?;
        if self.found != self.expected {
            write!(f, ", offset {}: found {:#x}, expected {:#x}", self.offset, self.found, self.expected)?;
        }
        Ok(())
    }
}

impl core::error::Error for SlabError {}

/// An error and who remembers its call sites.
struct Text<'a, T> {
    error: &'a SlabError,
    trace: &'a T,
}

impl<T: Trace> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let site = |site| self.trace.location(site);
        let places = [
            ("allocated", site(self.error.allocated)),
            ("freed", site(self.error.freed)),
            ("noticed", Some(self.error.noticed)),
        ];
        for (what, place) in places {
            if let Some(location) = place {
                write!(f, ", {what} at {}:{}", location.file(), location.line())?;
            }
        }
        Ok(())
    }
}
