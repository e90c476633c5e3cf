//! Changes of the tree: names that come, go and move. What paths mean is the caller's business.

use pagelab_abi::initramfs::name_hash;
use pagelab_mm::errno::Errno;

use super::{
    Slot,
    contents::SEAL_SEAL,
    inode::{Inode, Kind, S_IFLNK, System},
    name,
    path::Found,
    pipe,
};
use crate::state::Kernel;

impl Kernel {
    /// Whether names may come and go in a directory (an inode slot).
    ///
    /// # Errors
    /// ENOENT: it is gone itself; EPERM, EACCES: it shows what the kernel has.
    pub(crate) fn may_change(&self, directory: Slot) -> Result<(), Errno> {
        let inode = self.inode(directory);
        match inode.system() {
            System::Proc => Err(Errno::ENOENT),
            _ if inode.links == 0 => Err(Errno::ENOENT),
            _ => Ok(()),
        }
    }

    /// Makes a new file in a directory, with permission bits `mode` less the umask.
    ///
    /// # Errors
    /// As [`Kernel::may_change`]; ENOMEM.
    pub(crate) fn create(&mut self, directory: Slot, text: &[u8], kind: Kind, mode: u32) -> Result<Found, Errno> {
        self.may_change(directory)?;
        let system = self.inode(directory).system();
        let mut inode = Inode::new(kind, system, mode, 0);
        if system == System::Tmp {
            // Only a memfd is made for seals.
            inode.seals = SEAL_SEAL;
        }
        let inode = self.new_inode(inode)?;
        match self.name_inode(directory, text, inode) {
            Ok(dentry) => Ok(Found { dentry, inode }),
            Err(errno) => {
                self.inode_mut(inode).links = 0;
                self.release_unused(inode);
                Err(errno)
            }
        }
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As [`Kernel::create`].
    pub(crate) fn create_link(&mut self, directory: Slot, text: &[u8], target: &[u8]) -> Result<(), Errno> {
        let target = name::store(self, target)?;
        let found =
            self.create(directory, text, Kind::Link, S_IFLNK | 0o777).inspect_err(|_| name::free(self, target))?;
        self.inode_mut(found.inode).payload = target;
        Ok(())
    }

    /// Makes a pipe with a name.
    ///
    /// # Errors
    /// As [`Kernel::create`].
    pub(crate) fn create_pipe(&mut self, directory: Slot, text: &[u8], mode: u32) -> Result<(), Errno> {
        self.may_change(directory)?;
        let inode = pipe::new(self)?;
        let entry = self.inode_mut(inode);
        entry.mode = mode;
        if let Err(errno) = self.name_inode(directory, text, inode) {
            self.drop_link(inode);
            return Err(errno);
        }
        Ok(())
    }

    /// A name for a file that no directory has; the caller lets the dentry go.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn add_unlinked_dentry(&mut self, text: &[u8], inode: Slot) -> Result<Slot, Errno> {
        let root = self.fs.root;
        let dentry = self.add_dentry(root, name_hash(text), text, inode)?;
        self.hold_dentry(dentry);
        self.remove_dentry(root, dentry);
        Ok(dentry)
    }

    /// Whether a directory is in `above`, at any depth, or is it itself.
    pub(crate) fn is_inside(&self, mut directory: Slot, above: Slot) -> bool {
        loop {
            if directory == above {
                return true;
            }
            if directory == self.fs.root {
                return false;
            }
            directory = self.dentry(self.inode(directory).dentry).parent;
        }
    }

    /// Gives an inode a name where none is. Its links are as they should be already.
    pub(crate) fn name_inode(&mut self, directory: Slot, text: &[u8], inode: Slot) -> Result<Slot, Errno> {
        let gone = self.find_dentry(directory, text)?;
        let dentry = self.add_dentry(directory, name_hash(text), text, inode)?;
        if gone != 0 {
            // The new one stands before it; a later removal leaves another.
            self.remove_dentry(directory, gone);
        }
        if self.inode(inode).is_directory() {
            self.inode_mut(directory).links += 1;
        }
        self.changed(directory, true);
        Ok(dentry)
    }

    /// Takes a name away, and with it a link of what it named.
    ///
    /// # Errors
    /// ENOMEM: the name could not be marked as gone.
    pub(crate) fn unname(&mut self, directory: Slot, dentry: Slot) -> Result<(), Errno> {
        let inode = self.dentry(dentry).inode;
        self.detach(directory, dentry)?;
        if self.inode(inode).is_directory() {
            self.inode_mut(directory).links -= 1;
            self.inode_mut(inode).links -= 1;
        }
        self.changed(directory, true);
        self.changed(inode, false);
        self.drop_link(inode);
        Ok(())
    }

    /// Takes a dentry out of a directory. One that the initramfs would show again leaves a mark.
    fn detach(&mut self, directory: Slot, dentry: Slot) -> Result<(), Errno> {
        let place = self.inode(directory);
        if place.system() == System::Dev || place.length > 0 && place.flags & Inode::LISTED == 0 {
            let mut text = [0; 255];
            let length = self.name_of(dentry, &mut text);
            let text = &text[..length];
            self.add_dentry(directory, name_hash(text), text, 0)?;
        }
        self.remove_dentry(directory, dentry);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// ENOTEMPTY, ENOMEM.
    pub(crate) fn remove_directory(&mut self, directory: Slot, found: Found) -> Result<(), Errno> {
        self.check_empty(found.inode)?;
        self.purge(found.inode);
        self.unname(directory, found.dentry)
    }

    /// # Errors
    /// ENOTEMPTY, ENOMEM.
    pub(crate) fn check_empty(&mut self, directory: Slot) -> Result<(), Errno> {
        self.list_archived(directory)?;
        if self.inode(directory).entries > 0 { Err(Errno::ENOTEMPTY) } else { Ok(()) }
    }

    /// Forgets the marks of names that are gone, in a directory that goes itself.
    fn purge(&mut self, directory: Slot) {
        loop {
            match self.inode(directory).children {
                0 => return,
                mark => self.remove_dentry(directory, mark),
            }
        }
    }

    /// Moves a name, in place of `replaced` if there is something.
    ///
    /// # Errors
    /// ENOTEMPTY: a directory in the way has names; ENOMEM.
    pub(crate) fn move_name(
        &mut self,
        from: (Slot, Found),
        to: (Slot, &[u8]),
        replaced: Option<Found>,
    ) -> Result<(), Errno> {
        let (old_directory, found) = from;
        let (directory, text) = to;
        if let Some(replaced) = replaced {
            if self.inode(replaced.inode).is_directory() {
                self.remove_directory(directory, replaced)?;
            } else {
                self.unname(directory, replaced.dentry)?;
            }
        }
        self.name_inode(directory, text, found.inode)?;
        self.detach(old_directory, found.dentry)?;
        if self.inode(found.inode).is_directory() {
            self.inode_mut(old_directory).links -= 1;
        }
        self.changed(old_directory, true);
        self.changed(found.inode, false);
        Ok(())
    }

    /// Exchanges what two names name.
    pub(crate) fn exchange_names(&mut self, one: (Slot, Found), other: (Slot, Found)) {
        for (dentry, inode) in [(one.1.dentry, other.1.inode), (other.1.dentry, one.1.inode)] {
            self.dentry_mut(dentry).inode = inode;
            if self.inode(inode).is_directory() {
                self.set_dentry(inode, dentry);
            }
        }
        let is_directory = |kernel: &Kernel, found: Found| u32::from(kernel.inode(found.inode).is_directory());
        let (of_one, of_other) = (is_directory(self, one.1), is_directory(self, other.1));
        let links = self.inode(one.0).links + of_other - of_one;
        self.inode_mut(one.0).links = links;
        let links = self.inode(other.0).links + of_one - of_other;
        self.inode_mut(other.0).links = links;
        for inode in [one.0, other.0] {
            self.changed(inode, true);
        }
        for inode in [one.1.inode, other.1.inode] {
            self.changed(inode, false);
        }
    }
}
