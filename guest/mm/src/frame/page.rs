//! What is known of one frame.

use pagelab_abi::code::Owner;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::trace::CallSite;

/// A frame's entry in the `Page` array. All zeros is a valid state, so that a fresh array needs no initialisation:
/// a frame that is reserved or inside (not at the head of) a block.
///
/// In a block of order > 0 the fields `next`, `prev`, `mapping`, `index` and `private` of the frames behind the head are
/// the owner's to use while it has the block. The allocator trusts none of them afterwards.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Page {
    /// Whether this frame heads a free or an allocated block.
    pub state: PageState,
    /// Order of the block it heads.
    pub order: u8,
    /// Who has the block.
    pub owner: Owner,
    /// The zone of the block it heads: node * 5 + the zone's index in the node.
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
    /// For the owner's use: of a page-cache page [`Page::DIRTY`].
    pub private: u32,
    /// [`PageFlags`].
    pub flags: PageFlags,
    /// Who took the block that it heads, or gave it back last.
    pub site: CallSite,
}

/// Flags of a frame, and in its pageblock's first frame the pageblock's migrate type.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PageFlags(u32);

bitflags::bitflags! {
    impl PageFlags: u32 {
        /// The pageblock's migrate type, its lowest bit inverted so that 0 is Movable.
        const PAGEBLOCK_TYPE = 0b111;
        /// The block's contents can be moved: it was asked for with [`Gfp::MOVABLE`](super::Gfp::MOVABLE).
        const MOVABLE = 1 << 3;
    }
}

impl PageFlags {
    /// What is kept whoever has the frame.
    #[inline]
    pub(super) fn of_pageblock(self) -> PageFlags {
        self & PageFlags::PAGEBLOCK_TYPE
    }

    /// What is said of the block alone.
    #[inline]
    pub(super) fn of_block(self) -> PageFlags {
        self - PageFlags::PAGEBLOCK_TYPE
    }
}

impl Page {
    /// In `private` of a page-cache page: a write has changed it.
    pub const DIRTY: u32 = 1;

    /// Whether its contents are a process's own: anonymous memory, or its copy of a file's page.
    #[inline]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.owner, Owner::Anon | Owner::FileCow)
    }

    /// Makes it the head of a free block. What else is in it no longer means anything, but for the pageblock's type and
    /// who freed it.
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
    /// Free, on a CPU's list.
    pub const PCP: PageState = PageState(3);
}

const _: () = assert!(size_of::<Page>() == 40);
