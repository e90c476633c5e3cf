//! Files: one tree of directories, filled from the initramfs and writable, with `/dev` and `/proc` in it.

mod archive;
pub(crate) mod contents;
mod dentry;
pub(crate) mod inode;
pub(crate) mod io;
pub(crate) mod mapped;
mod name;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod pipe;
mod slab;
pub(crate) mod special;
mod times;
mod tree;
pub(crate) mod wait;

pub(crate) use inode::{Inode, Kind, S_IFDIR, S_IFIFO, S_IFREG, System};
pub(crate) use mapped::MappedNames;
pub(crate) use open::{Descriptors, Open};
pub(crate) use slab::Slot;
pub(crate) use times::Times;

use dentry::Buckets;
use pagelab_mm::errno::Errno;
use path::{Found, PathBuffers};
use slab::Slab;

use crate::state::{Kernel, Mm};

/// The file that the VMM puts the program's standard input in.
const STDIN: &[u8] = b"/.stdin";
/// The link to the working directory that the VMM makes if that is not the root.
const DIRECTORY: &[u8] = b"/.cwd";
/// Inode numbers from here on are for files that the initramfs does not have.
const FIRST_NEW_INODE: u64 = 1 << 24;

/// The file system.
pub(crate) struct Fs {
    slab: Slab,
    buckets: Buckets,
    paths: PathBuffers,
    /// The root directory's inode.
    pub(crate) root: Slot,
    /// The initramfs.
    archive: &'static [u8],
    /// Its guest-physical address.
    archive_start: u64,
    /// The number that the last inode got.
    last_inode: u64,
    /// The number that the last dentry got.
    last_name: u32,
    /// Paths of mapped files.
    pub(crate) mapped: MappedNames,
}

impl Fs {
    /// A tree whose contents are a cpio archive in RAM. It has no root before [`Kernel::start_files`].
    pub(crate) fn new(mm: &Mm, start: u64, size: u64) -> Fs {
        Fs {
            slab: Slab::new(),
            buckets: Buckets::new(),
            paths: PathBuffers::new(),
            root: 0,
            archive: mm.machine.bytes(start, size as usize),
            archive_start: start,
            last_inode: FIRST_NEW_INODE,
            last_name: 0,
            mapped: MappedNames::new(),
        }
    }

    fn archive_end(&self) -> u64 {
        self.archive_start + self.archive.len() as u64
    }
}

impl Kernel {
    /// Makes the root, and the three descriptors that a program starts with.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn start_files(&mut self) -> Result<(), Errno> {
        let root = archive::entry_at(self.fs.archive, 0)
            .filter(|entry| entry.name == b".")
            .and_then(|entry| archive::inode_of(&entry, System::Root))
            .unwrap_or_else(|| Inode::new(Kind::Directory, System::Root, S_IFDIR | 0o755, 1));
        self.fs.root = self.fs.slab.insert(&mut self.mm, root)?;
        self.add_root_dentry(self.fs.root)?;
        self.process.directory = match path::walk_text(self, DIRECTORY) {
            Ok(found) if self.inode(found.inode).is_directory() => found.inode,
            _ => self.fs.root,
        };
        self.hold(self.process.directory);

        let input = match path::walk_text(self, STDIN) {
            Ok(found) => found,
            // An empty file, as /dev/null in its place would be.
            Err(_) => self.unnamed(Inode::new(Kind::Regular, System::Root, S_IFREG | 0o400, 1))?,
        };
        self.open_found(input, open::O_RDONLY)?;
        // Standard output and error are pipes, as in a run whose output is captured.
        for stream in [1, 2] {
            let mut console = Inode::new(Kind::Console, System::Pipe, S_IFIFO | 0o600, 1 + u64::from(stream));
            console.payload = stream;
            let found = self.unnamed(console)?;
            self.open_found(found, open::O_WRONLY)?;
        }
        Ok(())
    }

    fn unnamed(&mut self, inode: Inode) -> Result<Found, Errno> {
        let inode = self.fs.slab.insert(&mut self.mm, inode)?;
        Ok(Found { dentry: 0, inode })
    }
}
