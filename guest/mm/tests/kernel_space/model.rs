//! What the areas must be like: their places, and what can be read at each page.

use std::collections::BTreeMap;

use pagelab_mm::abi::layout::{VMALLOC_LIMIT, VMALLOC_START};

use crate::PAGE;

/// How an area was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Vmalloc,
    Vmap,
    Device,
}

/// What the first word of a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// Whatever its frame held before.
    Unknown,
    /// This word.
    Word(u64),
    /// What the test's own frame of this number holds.
    Frame(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub(crate) kind: Kind,
    pub(crate) pages: Vec<Content>,
}

/// The areas by their first addresses.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) areas: BTreeMap<u64, Area>,
}

impl Model {
    /// Where the lowest gap is that has room for so many pages and a guard.
    pub(crate) fn lowest_fit(&self, pages: u64) -> Option<u64> {
        let mut below = VMALLOC_START;
        for (&start, area) in &self.areas {
            if start - below >= (pages + 1) * PAGE {
                break;
            }
            below = start + (area.pages.len() as u64 + 1) * PAGE;
        }
        (VMALLOC_LIMIT - below >= (pages + 1) * PAGE).then_some(below)
    }

    /// The area whose pages or guard an address is in.
    pub(crate) fn at(&self, address: u64) -> Option<(u64, &Area)> {
        let (&start, area) = self.areas.range(..=address).next_back()?;
        (address < start + (area.pages.len() as u64 + 1) * PAGE).then_some((start, area))
    }

    /// The first address of an area, by any number.
    pub(crate) fn pick(&self, number: u64) -> Option<u64> {
        let count = self.areas.len() as u64;
        (count > 0).then(|| *self.areas.keys().nth((number % count) as usize).expect("in range"))
    }

    /// Frames behind vmalloc areas that are all mapped.
    pub(crate) fn vmalloc_pages(&self) -> u64 {
        self.areas.values().filter(|area| area.kind == Kind::Vmalloc).map(|area| area.pages.len() as u64).sum()
    }
}
