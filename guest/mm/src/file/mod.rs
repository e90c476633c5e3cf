//! Files whose bytes lie in guest-physical memory (the initramfs), and the pages of them that were read.

mod cache;
pub mod cpio;

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    arena::Arena,
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::Machine,
    trace::Trace,
};

pub use crate::vma::FileId;
pub use cache::ReadError;

/// A registered file. Lives in an arena slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct File {
    /// Guest-physical address of the first byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Inode number.
    pub inode: u64,
    /// String id of its path.
    pub name: u32,
    /// Pages in the cache.
    pub cached: u32,
    /// Root of the page cache's tree: a node, or with `height` 0 the only page. 0 is none.
    root: u32,
    /// Levels of nodes.
    height: u32,
    reserved: [u64; 3],
}

impl File {
    /// Pages, the last one perhaps in part.
    #[inline]
    pub const fn pages(&self) -> u64 {
        self.length.div_ceil(PAGE_SIZE)
    }
}

/// The registered files.
pub type Files = Arena<File>;

impl<M: Machine, T: Trace> Context<M, T> {
    /// Registers a file whose `length` bytes begin at guest-physical address `start` and stay there. `name` is the
    /// string id of its path.
    ///
    /// # Errors
    /// No frame for the file's object.
    #[track_caller]
    pub fn add_file(&mut self, start: u64, length: u64, name: u32, inode: u64) -> Result<FileId, OutOfMemory> {
        if self.files.is_full() {
            let frame = self.alloc_frame(Gfp::KERNEL, Owner::Slab)?;
            self.files.add_frame(&mut self.machine, frame);
        }
        let height = cache::height(length.div_ceil(PAGE_SIZE));
        let file = File { start, length, inode, name, height, ..File::default() };
        self.files.insert(&mut self.machine, file).map(FileId).ok_or(OutOfMemory)
    }

    /// A registered file.
    #[inline]
    pub fn file(&self, id: FileId) -> &File {
        self.files.get(&self.machine, id.0)
    }
}
