//! Inodes: what a file is, apart from its names.

use pagelab_mm::{errno::Errno, file::FileId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Slot, Times, name, pipe,
    slab::{Family, Kept},
};
use crate::state::Kernel;

/// File types of `st_mode`.
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFIFO: u32 = 0o010_000;
pub(crate) const S_IFCHR: u32 = 0o020_000;
pub(crate) const S_IFBLK: u32 = 0o060_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;

/// The file systems there are; the number is the minor one of `st_dev`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum System {
    /// The root, filled from the initramfs: a ramfs.
    Root = 2,
    /// `/tmp` and `/dev/shm`, and memfds.
    Tmp = 3,
    /// `/dev`.
    Dev = 4,
    /// `/proc`.
    Proc = 5,
    /// Pipes, and the console that stands for standard output and error.
    Pipe = 6,
}

/// What stands behind an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Directory = 1,
    /// Bytes, of the initramfs or in the page cache.
    Regular = 2,
    /// A symbolic link: its target is in the initramfs, or at `payload`.
    Link = 3,
    /// A pipe; its ring is at `payload` while it is open.
    Pipe = 4,
    /// Standard output (`payload` 1) or standard error (2): writes go to the host.
    Console = 5,
    Null = 6,
    Zero = 7,
    Full = 8,
    Random = 9,
    /// The terminal that a process without one does not have.
    Tty = 10,
    /// A link of `/proc` that leads straight to a file; `payload` says to which.
    Magic = 11,
    /// What the kernel tells when it is read: [`crate::proc`] knows what `payload` stands for.
    Proc = 12,
}

impl Kind {
    const ALL: [Kind; 12] = [
        Kind::Directory,
        Kind::Regular,
        Kind::Link,
        Kind::Pipe,
        Kind::Console,
        Kind::Null,
        Kind::Zero,
        Kind::Full,
        Kind::Random,
        Kind::Tty,
        Kind::Magic,
        Kind::Proc,
    ];
}

/// An inode. Lives in a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Inode {
    /// Inode number.
    pub(crate) ino: u64,
    /// File type and permission bits.
    pub(crate) mode: u32,
    /// Names it has; a directory has two, and one for each directory in it.
    pub(crate) links: u32,
    /// Open descriptions, the working directory, and the dentries in a directory.
    pub(crate) users: u32,
    /// What memory management calls its contents; 0 while they are those of the initramfs, or none.
    pub(crate) file: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Its [`super::times::Times`]; 0 for those of the start.
    pub(crate) times: Slot,
    system: u8,
    kind: u8,
    pub(crate) flags: u8,
    /// F_SEAL_* of a memfd.
    pub(crate) seals: u8,
    /// Of a directory: its own dentry.
    pub(crate) dentry: Slot,
    /// Of a directory: the first dentry in it.
    pub(crate) children: Slot,
    /// Where its contents begin in the initramfs: bytes, a link's target, a directory's index.
    pub(crate) start: u32,
    /// How many bytes of them there are.
    pub(crate) length: u32,
    /// What [`Kind`] says.
    pub(crate) payload: u32,
    /// Of a directory: names in it.
    pub(crate) entries: u32,
}

impl Kept for Inode {
    const FAMILY: Family = Family::Inode;
}

impl Inode {
    /// In `flags`: every name of the directory's index has a dentry.
    pub(crate) const LISTED: u8 = 1;

    pub(crate) fn new(kind: Kind, system: System, mode: u32, ino: u64) -> Inode {
        let links = if kind == Kind::Directory { 2 } else { 1 };
        Inode { ino, mode, links, system: system as u8, kind: kind as u8, ..Inode::default() }
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.kind) - 1]
    }

    #[inline]
    pub(crate) fn system(&self) -> System {
        match self.system {
            3 => System::Tmp,
            4 => System::Dev,
            5 => System::Proc,
            6 => System::Pipe,
            _ => System::Root,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Whether what it is read as is text that is made when it is read.
    pub(crate) fn is_link(&self) -> bool {
        matches!(self.kind(), Kind::Link | Kind::Magic)
    }
}

impl Kernel {
    #[inline]
    pub(crate) fn inode(&self, slot: Slot) -> &Inode {
        self.fs.slab.get(&self.mm, slot)
    }

    #[inline]
    pub(crate) fn inode_mut(&mut self, slot: Slot) -> &mut Inode {
        self.fs.slab.get_mut(&mut self.mm, slot)
    }

    /// Stores an inode, with the next inode number if it has none, and the present as its times.
    pub(crate) fn new_inode(&mut self, mut inode: Inode) -> Result<Slot, Errno> {
        if inode.ino == 0 {
            self.fs.last_inode += 1;
            inode.ino = self.fs.last_inode;
        }
        let slot = self.fs.slab.insert(&mut self.mm, inode)?;
        if let Err(errno) = self.touch(slot, true, true) {
            self.fs.slab.remove::<Inode>(&mut self.mm, slot);
            return Err(errno);
        }
        Ok(slot)
    }

    /// Bytes of a file.
    pub(crate) fn size(&self, slot: Slot) -> u64 {
        /// What a name in a tmpfs directory adds to its size.
        const NAME: u64 = 20;
        let inode = self.inode(slot);
        match inode.kind() {
            Kind::Regular if inode.file != 0 => self.mm.file(FileId(inode.file)).length,
            Kind::Regular | Kind::Link if inode.payload == 0 => u64::from(inode.length),
            Kind::Link => name::length(self, inode.payload) as u64,
            Kind::Directory if inode.system() == System::Tmp => (2 + u64::from(inode.entries)) * NAME,
            _ => 0,
        }
    }

    /// One more user: an open description, or the working directory.
    pub(crate) fn hold(&mut self, slot: Slot) {
        self.inode_mut(slot).users += 1;
    }

    /// One user less; an inode without users and names is gone.
    pub(crate) fn let_go(&mut self, slot: Slot) {
        self.inode_mut(slot).users -= 1;
        self.release_unused(slot);
    }

    /// One name less.
    pub(crate) fn drop_link(&mut self, slot: Slot) {
        self.inode_mut(slot).links -= 1;
        self.release_unused(slot);
    }

    /// Frees an inode that nobody has any more, with what it holds; then the directory it was in, if it was the last
    /// that held that, and so on up.
    pub(crate) fn release_unused(&mut self, mut slot: Slot) {
        loop {
            let inode = *self.inode(slot);
            if inode.links > 0 || inode.users > 0 {
                return;
            }
            if inode.file != 0 {
                self.mm.put_file(FileId(inode.file));
            }
            match inode.kind() {
                Kind::Link if inode.payload != 0 => name::free(self, inode.payload),
                Kind::Pipe if inode.payload != 0 => pipe::free(self, inode.payload),
                _ => {}
            }
            if inode.times != 0 {
                self.fs.slab.remove::<Times>(&mut self.mm, inode.times);
            }
            self.fs.slab.remove::<Inode>(&mut self.mm, slot);
            if inode.dentry == 0 {
                return;
            }
            match self.release_dentry(inode.dentry) {
                0 => return,
                parent => slot = parent,
            }
        }
    }
}
