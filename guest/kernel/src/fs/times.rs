//! Times of inodes, on the logical clock. A file of the initramfs has those of the start until it changes.

use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Slot,
    slab::{Family, Kept},
};
use crate::state::Kernel;

/// A time: seconds since 1970, nanoseconds.
pub(crate) type Time = [u64; 2];

/// The times of an inode. Lives in a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Times {
    /// Last read.
    pub(crate) accessed: Time,
    /// Last change of the contents.
    pub(crate) modified: Time,
    /// Last change of the inode.
    pub(crate) changed: Time,
    /// Creation.
    pub(crate) born: Time,
}

impl Kept for Times {
    const FAMILY: Family = Family::Times;
}

impl Kernel {
    /// An inode's times.
    pub(crate) fn times(&self, inode: Slot) -> Times {
        match self.inode(inode).times {
            0 => {
                let start = self.clock.start();
                Times { accessed: start, modified: start, changed: start, born: start }
            }
            slot => *self.fs.slab.get(&self.mm, slot),
        }
    }

    /// Sets an inode's times.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn set_times(&mut self, inode: Slot, times: Times) -> Result<(), Errno> {
        match self.inode(inode).times {
            0 => {
                let slot = self.fs.slab.insert(&mut self.mm, times)?;
                self.inode_mut(inode).times = slot;
            }
            slot => *self.fs.slab.get_mut(&mut self.mm, slot) = times,
        }
        Ok(())
    }

    /// An inode changed just now: its contents, too, with `modified`; and it is new with `born`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn touch(&mut self, inode: Slot, modified: bool, born: bool) -> Result<(), Errno> {
        let now = self.clock.calendar();
        let mut times = self.times(inode);
        times.changed = now;
        if modified {
            times.modified = now;
        }
        if born {
            (times.accessed, times.born) = (now, now);
        }
        self.set_times(inode, times)
    }

    /// [`Kernel::touch`] after a change that has happened: where memory is short, the times stay as they were.
    pub(crate) fn changed(&mut self, inode: Slot, modified: bool) {
        let _ = self.touch(inode, modified, false);
    }
}
