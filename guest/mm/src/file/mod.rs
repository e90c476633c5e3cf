//! Files as memory management sees them: a length, perhaps bytes in guest-physical memory behind them (the initramfs),
//! and the pages that were read or written.
//!
//! A page that no write has made and no backing covers is a *hole*: it reads as zeros.

mod cache;
pub mod cpio;
mod drop;
mod resize;

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    context::Context,
    frame::{Gfp, OutOfMemory},
    machine::Machine,
    slab::{CacheId, typed},
    trace::Trace,
};

pub use crate::vma::FileId;
pub(crate) use cache::NODE_SIZE;
pub use cache::ReadError;

/// A file to register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSpec {
    /// Guest-physical address of its first byte, whose `length` bytes stay there; `None` for a file of holes.
    pub backing: Option<u64>,
    /// Bytes.
    pub length: u64,
    /// tmpfs, a memfd, or shared anonymous memory: its pages are [`Owner::Shmem`].
    pub shmem: bool,
    /// String id of its path.
    pub name: u32,
    /// Inode number.
    pub inode: u64,
}

impl FileSpec {
    /// A file whose `length` bytes begin at guest-physical address `start`.
    pub const fn backed(start: u64, length: u64, name: u32, inode: u64) -> FileSpec {
        FileSpec { backing: Some(start), length, shmem: false, name, inode }
    }
}

/// A registered file. Lives in an object of cache `address_space`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct File {
    /// Guest-physical address of the first byte of its backing.
    pub start: u64,
    /// Bytes of the backing that still stand for what was there: a truncation shortens them for ever.
    pub backed: u64,
    /// Bytes.
    pub length: u64,
    /// Inode number.
    pub inode: u64,
    /// String id of its path.
    pub name: u32,
    /// Pages in the cache.
    pub cached: u32,
    /// Who holds it: one reference for each mapping, one for its inode.
    pub references: u32,
    /// Root of the page cache's tree: a node's slot, or with `height` 0 the only page. 0 is none.
    root: u32,
    /// Levels of nodes.
    height: u32,
    /// 1 for shared memory.
    shmem: u32,
    /// Pages that were promised when it was made; without that, each page of shared memory is when it comes.
    pub promised: u64,
}

impl File {
    /// Pages, the last one perhaps in part.
    #[inline]
    pub const fn pages(&self) -> u64 {
        self.length.div_ceil(PAGE_SIZE)
    }

    /// Whether its pages are shared memory (tmpfs, memfd, shared anonymous).
    #[inline]
    pub const fn is_shmem(&self) -> bool {
        self.shmem != 0
    }

    /// Whether each of its pages is promised when it comes.
    #[inline]
    pub(crate) const fn promises_by_page(&self) -> bool {
        self.is_shmem() && self.promised == 0
    }

    /// Who its pages belong to.
    #[inline]
    pub const fn owner(&self) -> Owner {
        if self.is_shmem() { Owner::Shmem } else { Owner::File }
    }
}

impl<M: Machine, T: Trace> Context<M, T> {
    /// Registers a file, with one reference, which is the caller's.
    ///
    /// # Errors
    /// No frame for the file's object.
    #[track_caller]
    pub fn add_file(&mut self, spec: FileSpec) -> Result<FileId, OutOfMemory> {
        let file = File {
            start: spec.backing.unwrap_or(0),
            backed: if spec.backing.is_some() { spec.length } else { 0 },
            length: spec.length,
            inode: spec.inode,
            name: spec.name,
            references: 1,
            shmem: u32::from(spec.shmem),
            ..File::default()
        };
        let slot = typed::slot_of(self.kmem_cache_alloc(CacheId::ADDRESS_SPACE, Gfp::KERNEL)?);
        *typed::get_mut(&mut self.machine, slot) = file;
        Ok(FileId(slot))
    }

    /// A registered file.
    #[inline]
    pub fn file(&self, id: FileId) -> &File {
        typed::get(&self.machine, id.0)
    }

    /// A registered file, writable.
    #[inline]
    pub(crate) fn file_mut(&mut self, id: FileId) -> &mut File {
        typed::get_mut(&mut self.machine, id.0)
    }

    /// Gives a file the string id of its path, which its mappings show from now on.
    pub fn name_file(&mut self, id: FileId, name: u32) {
        self.file_mut(id).name = name;
    }

    /// Takes one more reference to a file.
    #[inline]
    pub fn get_file(&mut self, id: FileId) {
        self.file_mut(id).references += 1;
    }
}
