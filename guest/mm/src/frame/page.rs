//! What is known of one frame.

use pagelab_abi::code::Owner;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A frame's entry in the `Page` array. All zeros is a valid state, so that a fresh array needs no initialisation:
/// a frame that is reserved or inside (not at the head of) a block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Page {
    /// Whether this frame heads a free or an allocated block.
    pub state: PageState,
    /// Order of the block it heads.
    pub order: u8,
    /// Who has the block.
    pub owner: Owner,
    /// Zone index.
    pub zone: u8,
    /// References; a block goes back to the allocator when the last one is dropped.
    pub refcount: u32,
    /// Page-table entries that map it.
    pub mapcount: u32,
    /// Next in the list it is on (a frame number, 0 = none).
    pub next: u32,
    /// Previous in the list it is on (a frame number, 0 = none).
    pub prev: u32,
    /// For a page-cache page: the file.
    pub mapping: u32,
    /// For a page-cache page: its page index in the file.
    pub index: u32,
    /// For the owner's use: of a page-cache page [`Page::DIRTY`], of a page-cache node its branches in use.
    pub private: u32,
}

impl Page {
    /// In `private` of a page-cache page: a write has changed it.
    pub const DIRTY: u32 = 1;

    /// Whether its contents are a process's own: anonymous memory, or its copy of a file's page.
    #[inline]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.owner, Owner::Anon | Owner::FileCow)
    }

    /// Makes it the head of a free block. What else is in it no longer means anything.
    #[inline]
    pub(super) fn set_free(&mut self, order: u8, zone: u8, next: u32, prev: u32) {
        self.state = PageState::FREE;
        self.order = order;
        self.owner = Owner::None;
        self.zone = zone;
        self.next = next;
        self.prev = prev;
    }
}

/// Whether a frame heads a block.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PageState(pub u8);

impl PageState {
    /// Reserved, or inside a block that another frame heads.
    pub const TAIL: PageState = PageState(0);
    /// Heads a free block.
    pub const FREE: PageState = PageState(1);
    /// Heads an allocated block.
    pub const USED: PageState = PageState(2);
}

const _: () = assert!(size_of::<Page>() == 32);
