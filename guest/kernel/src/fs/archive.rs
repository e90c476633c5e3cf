//! The initramfs under the tree: an entry becomes an inode when a path first leads to it.

use pagelab_abi::initramfs::{IndexEntry, name_hash};
use pagelab_mm::{
    errno::Errno,
    file::cpio::{Archive, Entry},
};
use zerocopy::FromBytes;

use super::{
    Slot,
    inode::{Inode, Kind, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, System},
};
use crate::state::Kernel;

/// The entry whose header is at a place, if there is one.
pub(super) fn entry_at(archive: &'static [u8], place: usize) -> Option<Entry<'static>> {
    Archive::from(archive, place).next()
}

/// The last part of a path.
fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The inode that an entry becomes; `None` for a type that the initramfs does not hold.
pub(super) fn inode_of(entry: &Entry<'static>, system: System) -> Option<Inode> {
    let kind = match entry.mode & S_IFMT {
        S_IFDIR => Kind::Directory,
        S_IFREG => Kind::Regular,
        S_IFLNK => Kind::Link,
        _ => return None,
    };
    let mut inode = Inode::new(kind, system, entry.mode, u64::from(entry.inode));
    inode.links = entry.links;
    (inode.start, inode.length) = (entry.start as u32, entry.bytes.len() as u32);
    Some(inode)
}

impl Kernel {
    /// The names that the initramfs has in a directory.
    fn index(&self, directory: Slot) -> &'static [IndexEntry] {
        let inode = self.inode(directory);
        let (start, length) = (inode.start as usize, inode.length as usize);
        let bytes = self.fs.archive.get(start..start + length).unwrap_or_default();
        <[IndexEntry]>::ref_from_bytes(bytes).unwrap_or_default()
    }

    /// Looks a name up in the initramfs's directory, and makes its dentry and inode.
    pub(super) fn find_archived(&mut self, directory: Slot, hash: u32, text: &[u8]) -> Result<Option<Slot>, Errno> {
        if self.inode(directory).flags & Inode::LISTED != 0 {
            return Ok(None);
        }
        let index = self.index(directory);
        let first = index.partition_point(|entry| entry.hash() < hash);
        for candidate in index[first..].iter().take_while(|candidate| candidate.hash() == hash) {
            let entry = entry_at(self.fs.archive, candidate.place() as usize);
            if let Some(entry) = entry.filter(|entry| base_name(entry.name) == text) {
                return self.bring_in(directory, hash, text, &entry).map(Some);
            }
        }
        Ok(None)
    }

    /// Makes a dentry for every name that the initramfs has in a directory.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn list_archived(&mut self, directory: Slot) -> Result<(), Errno> {
        if self.inode(directory).flags & Inode::LISTED != 0 {
            return Ok(());
        }
        for candidate in self.index(directory) {
            let Some(entry) = entry_at(self.fs.archive, candidate.place() as usize) else { continue };
            let text = base_name(entry.name);
            if self.cached_dentry(directory, candidate.hash(), text).is_none() {
                self.bring_in(directory, candidate.hash(), text, &entry)?;
            }
        }
        self.inode_mut(directory).flags |= Inode::LISTED;
        Ok(())
    }

    fn bring_in(&mut self, directory: Slot, hash: u32, text: &[u8], entry: &Entry<'static>) -> Result<Slot, Errno> {
        let mut system = self.inode(directory).system();
        let in_root = directory == self.fs.root;
        match text {
            b"tmp" if in_root => system = System::Tmp,
            b"dev" if in_root => system = System::Dev,
            b"proc" if in_root => system = System::Proc,
            b"shm" if system == System::Dev => system = System::Tmp,
            _ => {}
        }
        let inode = inode_of(entry, system).ok_or(Errno::EIO)?;
        let slot = self.fs.slab.insert(&mut self.mm, inode)?;
        self.add_dentry(directory, hash, text, slot).inspect_err(|_| self.fs.slab.remove::<Inode>(&mut self.mm, slot))
    }

    /// Bytes of an inode's contents in the initramfs.
    pub(crate) fn archived(&self, slot: Slot) -> &'static [u8] {
        let inode = self.inode(slot);
        let (start, length) = (inode.start as usize, inode.length as usize);
        self.fs.archive.get(start..start + length).unwrap_or_default()
    }

    /// The dentry of a name in a directory (an inode slot); 0 where there is none.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn find_dentry(&mut self, directory: Slot, text: &[u8]) -> Result<Slot, Errno> {
        let hash = name_hash(text);
        if let Some(slot) = self.cached_dentry(directory, hash, text) {
            return Ok(if self.is_there(directory, self.dentry(slot).inode) { slot } else { 0 });
        }
        if let Some(slot) = self.find_archived(directory, hash, text)? {
            return Ok(slot);
        }
        if matches!(self.inode(directory).system(), System::Dev | System::Proc) {
            return self.find_special(directory, hash, text);
        }
        Ok(0)
    }
}
