//! Dentries: names in directories, found by a hash of directory and name.
//!
//! A dentry without an inode says that a name of the initramfs is there no more. The names in a directory form a ring,
//! oldest first, with a number each that only grows, so that a listing goes on where it was whatever comes and goes.

use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Slot, name,
    slab::{Family, Kept},
};
use crate::{state::Kernel, take_once::TakeOnce};

/// Lists of dentries by hash.
const BUCKETS: usize = 4096;
/// Bytes of a name that its dentry has room for.
const INLINE: usize = 30;

static TABLE: TakeOnce<[Slot; BUCKETS]> = TakeOnce::new([0; BUCKETS]);

/// A name in a directory. Lives in a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Dentry {
    /// The directory that it is in (an inode slot); the root is in itself.
    pub(crate) parent: Slot,
    /// What it names; 0 for a name that is gone.
    pub(crate) inode: Slot,
    hash: u32,
    /// Next with a hash of the same list.
    chain: Slot,
    /// Next in the directory; 0 for the last.
    pub(crate) next: Slot,
    /// Previous in the directory; the last one's for the first.
    prev: Slot,
    /// Who needs it to stay: the directory it names, open descriptions.
    users: u32,
    /// Its number in the directory, for listings.
    pub(crate) number: u32,
    length: u8,
    flags: u8,
    /// The name, or the slot of a longer one.
    name: [u8; INLINE],
}

impl Kept for Dentry {
    const FAMILY: Family = Family::Dentry;
}

impl Dentry {
    /// In `flags`: it is in no directory any more.
    const DELETED: u8 = 1;

    pub(crate) fn is_deleted(&self) -> bool {
        self.flags & Self::DELETED != 0
    }

    fn long(&self) -> Slot {
        u32::from_le_bytes([self.name[0], self.name[1], self.name[2], self.name[3]])
    }
}

/// The lists.
pub(crate) struct Buckets(&'static mut [Slot; BUCKETS]);

impl Buckets {
    pub(super) fn new() -> Buckets {
        Buckets(TABLE.take())
    }
}

fn bucket(parent: Slot, hash: u32) -> usize {
    (hash ^ parent.wrapping_mul(0x9e37_79b9) >> 12) as usize % BUCKETS
}

impl Kernel {
    #[inline]
    pub(crate) fn dentry(&self, slot: Slot) -> &Dentry {
        self.fs.slab.get(&self.mm, slot)
    }

    #[inline]
    pub(crate) fn dentry_mut(&mut self, slot: Slot) -> &mut Dentry {
        self.fs.slab.get_mut(&mut self.mm, slot)
    }

    /// Copies a dentry's name; says its length.
    pub(crate) fn name_of(&self, slot: Slot, to: &mut [u8; 255]) -> usize {
        let dentry = self.dentry(slot);
        let length = usize::from(dentry.length);
        if length <= INLINE {
            to[..length].copy_from_slice(&dentry.name[..length]);
            length
        } else {
            name::load(self, dentry.long(), to)
        }
    }

    fn has_name(&self, dentry: &Dentry, text: &[u8]) -> bool {
        if usize::from(dentry.length) != text.len() {
            return false;
        }
        if text.len() <= INLINE { dentry.name[..text.len()] == *text } else { name::equals(self, dentry.long(), text) }
    }

    /// The dentry of a name in the directory `parent` (an inode slot), if it has been needed before.
    pub(super) fn cached_dentry(&self, parent: Slot, hash: u32, text: &[u8]) -> Option<Slot> {
        let mut slot = self.fs.buckets.0[bucket(parent, hash)];
        while slot != 0 {
            let dentry = self.dentry(slot);
            if dentry.hash == hash && dentry.parent == parent && self.has_name(dentry, text) {
                return Some(slot);
            }
            slot = dentry.chain;
        }
        None
    }

    /// Makes a name in a directory (an inode slot). The links of `inode` are the caller's business; 0 makes a name that
    /// is gone.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn add_dentry(&mut self, directory: Slot, hash: u32, text: &[u8], inode: Slot) -> Result<Slot, Errno> {
        let mut dentry = Dentry { parent: directory, inode, hash, length: text.len() as u8, ..Dentry::default() };
        if text.len() <= INLINE {
            dentry.name[..text.len()].copy_from_slice(text);
        } else {
            let long = name::store(self, text)?;
            dentry.name[..4].copy_from_slice(&long.to_le_bytes());
        }
        let list = bucket(directory, hash);
        dentry.chain = self.fs.buckets.0[list];
        self.fs.last_name += 1;
        dentry.number = self.fs.last_name;
        let slot = match self.fs.slab.insert(&mut self.mm, dentry) {
            Ok(slot) => slot,
            Err(errno) => {
                if text.len() > INLINE {
                    name::free(self, dentry.long());
                }
                return Err(errno);
            }
        };
        self.fs.buckets.0[list] = slot;
        self.join_ring(directory, slot);
        self.hold(directory);
        if inode != 0 {
            self.inode_mut(directory).entries += 1;
            if self.inode(inode).is_directory() {
                self.set_dentry(inode, slot);
            }
        }
        Ok(slot)
    }

    /// Says what a directory (an inode slot) is called, which keeps the dentry.
    pub(super) fn set_dentry(&mut self, directory: Slot, dentry: Slot) {
        self.hold_dentry(dentry);
        let old = core::mem::replace(&mut self.inode_mut(directory).dentry, dentry);
        self.let_dentry_go(old);
    }

    /// The root's dentry, which is its own parent.
    pub(super) fn add_root_dentry(&mut self, inode: Slot) -> Result<(), Errno> {
        let dentry = Dentry { parent: inode, inode, users: 1, ..Dentry::default() };
        let slot = self.fs.slab.insert(&mut self.mm, dentry)?;
        self.inode_mut(inode).dentry = slot;
        Ok(())
    }

    fn join_ring(&mut self, directory: Slot, slot: Slot) {
        let first = self.inode(directory).children;
        if first == 0 {
            self.dentry_mut(slot).prev = slot;
            self.inode_mut(directory).children = slot;
            return;
        }
        let last = self.dentry(first).prev;
        self.dentry_mut(last).next = slot;
        self.dentry_mut(first).prev = slot;
        self.dentry_mut(slot).prev = last;
    }

    fn leave_ring(&mut self, directory: Slot, slot: Slot) {
        let Dentry { next, prev, .. } = *self.dentry(slot);
        let first = self.inode(directory).children;
        if first == slot {
            self.inode_mut(directory).children = next;
        } else {
            self.dentry_mut(prev).next = next;
        }
        let first = self.inode(directory).children;
        if next != 0 {
            self.dentry_mut(next).prev = prev;
        } else if first != 0 {
            self.dentry_mut(first).prev = prev;
        }
    }

    /// Takes a name out of its directory (an inode slot). The dentry stays as long as it has users.
    pub(super) fn remove_dentry(&mut self, directory: Slot, slot: Slot) {
        let Dentry { parent, hash, chain, inode, .. } = *self.dentry(slot);
        let list = bucket(parent, hash);
        if self.fs.buckets.0[list] == slot {
            self.fs.buckets.0[list] = chain;
        } else {
            let mut at = self.fs.buckets.0[list];
            while self.dentry(at).chain != slot {
                at = self.dentry(at).chain;
            }
            self.dentry_mut(at).chain = chain;
        }
        self.leave_ring(directory, slot);
        if inode != 0 {
            self.inode_mut(directory).entries -= 1;
        }
        self.dentry_mut(slot).flags |= Dentry::DELETED;
        self.free_unused_dentry(slot);
    }

    /// One more who needs a dentry; 0 is none.
    pub(crate) fn hold_dentry(&mut self, slot: Slot) {
        if slot != 0 {
            self.dentry_mut(slot).users += 1;
        }
    }

    /// One less who needs a dentry; 0 is none.
    pub(crate) fn let_dentry_go(&mut self, slot: Slot) {
        if slot != 0 {
            let parent = self.release_dentry(slot);
            if parent != 0 {
                self.release_unused(parent);
            }
        }
    }

    fn free_unused_dentry(&mut self, slot: Slot) {
        self.dentry_mut(slot).users += 1;
        self.let_dentry_go(slot);
    }

    /// One less who needs a dentry. If it is gone by that, the directory it was in has one user less, and is returned.
    pub(super) fn release_dentry(&mut self, slot: Slot) -> Slot {
        self.dentry_mut(slot).users -= 1;
        let dentry = *self.dentry(slot);
        if !dentry.is_deleted() || dentry.users > 0 {
            return 0;
        }
        if usize::from(dentry.length) > INLINE {
            name::free(self, dentry.long());
        }
        self.fs.slab.remove::<Dentry>(&mut self.mm, slot);
        self.inode_mut(dentry.parent).users -= 1;
        dentry.parent
    }

    /// The absolute path of a dentry, written to the end of `to`; says where it begins. `None` where there is no room.
    pub(crate) fn path_of(&self, mut slot: Slot, to: &mut [u8]) -> Option<usize> {
        let mut at = to.len();
        let mut text = [0; 255];
        while self.dentry(slot).inode != self.fs.root {
            let length = self.name_of(slot, &mut text);
            at = at.checked_sub(length + 1)?;
            to[at] = b'/';
            to[at + 1..at + 1 + length].copy_from_slice(&text[..length]);
            slot = self.inode(self.dentry(slot).parent).dentry;
        }
        if at == to.len() {
            at = at.checked_sub(1)?;
            to[at] = b'/';
        }
        Some(at)
    }
}
