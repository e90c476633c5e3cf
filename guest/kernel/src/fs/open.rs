//! Open descriptions, which dup shares, and the table of descriptors.

use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Slot,
    inode::Kind,
    path::Found,
    pipe::{self, READERS, WRITERS},
    slab::{Family, Kept},
};
use crate::{proc, state::Kernel, take_once::TakeOnce};

/// Flags of open (Linux's `asm-generic/fcntl.h`).
pub(crate) const O_ACCMODE: u32 = 3;
pub(crate) const O_RDONLY: u32 = 0;
pub(crate) const O_WRONLY: u32 = 1;
pub(crate) const O_RDWR: u32 = 2;
pub(crate) const O_CREAT: u32 = 0o100;
pub(crate) const O_EXCL: u32 = 0o200;
pub(crate) const O_NOCTTY: u32 = 0o400;
pub(crate) const O_TRUNC: u32 = 0o1000;
pub(crate) const O_APPEND: u32 = 0o2000;
pub(crate) const O_NONBLOCK: u32 = 0o4000;
pub(crate) const O_LARGEFILE: u32 = 0o100_000;
pub(crate) const O_DIRECTORY: u32 = 0o200_000;
pub(crate) const O_NOFOLLOW: u32 = 0o400_000;
pub(crate) const O_CLOEXEC: u32 = 0o2_000_000;
pub(crate) const O_PATH: u32 = 0o10_000_000;
pub(crate) const O_TMPFILE: u32 = 0o20_000_000;

/// Descriptors that the table has room for: what RLIMIT_NOFILE may be raised to.
pub(crate) const MAX_OPEN: usize = 4096;
/// RLIMIT_NOFILE of a program.
pub(crate) const DEFAULT_OPEN: u64 = 1024;
const WORDS: usize = MAX_OPEN / 64;

static TABLE: TakeOnce<Table> =
    TakeOnce::new(Table { descriptions: [0; MAX_OPEN], used: [0; WORDS], close: [0; WORDS] });

/// An open description. Lives in a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Open {
    /// What is open.
    pub(crate) inode: Slot,
    /// By which name; 0 if it has none.
    pub(crate) dentry: Slot,
    /// O_* flags: the access mode and what F_SETFL can change.
    pub(crate) flags: u32,
    /// Descriptors.
    references: u32,
    /// Where the next read or write begins; in a directory the number of the last dentry listed.
    pub(crate) offset: u64,
    /// The text of `/proc` that is being read: a kernel address, 0 if there is none.
    pub(crate) text: u64,
    /// Bytes of it.
    pub(crate) text_length: u64,
    reserved: [u64; 3],
}

impl Kept for Open {
    const FAMILY: Family = Family::Open;
}

impl Open {
    pub(crate) fn is_readable(&self) -> bool {
        self.flags & O_PATH == 0 && self.flags & O_ACCMODE != O_WRONLY
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.flags & O_PATH == 0 && matches!(self.flags & O_ACCMODE, O_WRONLY | O_RDWR)
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.flags & O_NONBLOCK != 0
    }
}

struct Table {
    /// The open description behind each descriptor; 0 if it is closed.
    descriptions: [Slot; MAX_OPEN],
    /// A bit for each open descriptor.
    used: [u64; WORDS],
    /// A bit for each that exec would close.
    close: [u64; WORDS],
}

/// The descriptors of the program.
pub(crate) struct Descriptors(&'static mut Table);

impl Descriptors {
    pub(crate) fn new() -> Descriptors {
        Descriptors(TABLE.take())
    }

    /// The open description behind a descriptor. Only the low half of the register counts, as in Linux.
    #[inline]
    pub(crate) fn get(&self, fd: u64) -> Result<Slot, Errno> {
        match self.0.descriptions.get(fd as u32 as usize) {
            Some(&slot) if slot != 0 => Ok(slot),
            _ => Err(Errno::EBADF),
        }
    }

    /// The lowest free descriptor from `from` on; `None` if the table is full.
    fn free_from(&self, from: u64) -> Option<u64> {
        let mut word = (from / 64) as usize;
        let mut mask = !0 << (from % 64);
        while word < WORDS {
            let free = !self.0.used[word] & mask;
            if free != 0 {
                return Some(word as u64 * 64 + u64::from(free.trailing_zeros()));
            }
            (word, mask) = (word + 1, !0);
        }
        None
    }

    /// The lowest open descriptor from `from` on.
    pub(crate) fn next_open(&self, from: u64) -> Option<u64> {
        let mut word = (from / 64) as usize;
        let mut mask = !0u64 << (from % 64);
        while word < WORDS {
            let open = self.0.used[word] & mask;
            if open != 0 {
                return Some(word as u64 * 64 + u64::from(open.trailing_zeros()));
            }
            (word, mask) = (word + 1, !0);
        }
        None
    }

    fn set(&mut self, fd: u64, slot: Slot, close_on_exec: bool) {
        self.0.descriptions[fd as usize] = slot;
        let (word, bit) = (fd as usize / 64, 1 << (fd % 64));
        if slot == 0 {
            self.0.used[word] &= !bit;
        } else {
            self.0.used[word] |= bit;
        }
        self.set_close_on_exec(fd, close_on_exec);
    }

    /// Whether exec would close an open descriptor.
    pub(crate) fn is_close_on_exec(&self, fd: u64) -> bool {
        self.0.close[fd as u32 as usize / 64] & 1 << (fd % 64) != 0
    }

    pub(crate) fn set_close_on_exec(&mut self, fd: u64, close: bool) {
        let (word, bit) = (fd as u32 as usize / 64, 1 << (fd % 64));
        if close {
            self.0.close[word] |= bit;
        } else {
            self.0.close[word] &= !bit;
        }
    }
}

impl Kernel {
    /// The lowest free descriptor from `from` on.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn free_descriptor(&self, from: u64) -> Result<u64, Errno> {
        let limit = self.process.limits.files();
        self.process.descriptors.free_from(from).filter(|&fd| fd < limit).ok_or(Errno::EMFILE)
    }

    /// The open description behind a descriptor, of O_PATH, too.
    pub(crate) fn open_slot(&self, fd: u64) -> Result<Slot, Errno> {
        self.process.descriptors.get(fd)
    }

    /// A copy of the open description behind a descriptor, with its slot. One of O_PATH is EBADF.
    #[inline]
    pub(crate) fn opened(&self, fd: u64) -> Result<(Slot, Open), Errno> {
        let slot = self.open_slot(fd)?;
        let open = *self.open(slot);
        if open.flags & O_PATH != 0 { Err(Errno::EBADF) } else { Ok((slot, open)) }
    }

    #[inline]
    pub(crate) fn open(&self, slot: Slot) -> &Open {
        self.fs.slab.get(&self.mm, slot)
    }

    #[inline]
    pub(crate) fn open_mut(&mut self, slot: Slot) -> &mut Open {
        self.fs.slab.get_mut(&mut self.mm, slot)
    }

    /// Whether a file may be written to: the one of the running program may not.
    ///
    /// # Errors
    /// ETXTBSY.
    pub(crate) fn may_write_file(&self, inode: Slot) -> Result<(), Errno> {
        if inode == self.process.executable.inode { Err(Errno::ETXTBSY) } else { Ok(()) }
    }

    /// Opens what was found, at the lowest descriptor.
    ///
    /// # Errors
    /// EMFILE, ENOMEM.
    pub(crate) fn open_found(&mut self, found: Found, flags: u32) -> Result<u64, Errno> {
        const KEPT: u32 = !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
        let fd = self.free_descriptor(0)?;
        let open =
            Open { inode: found.inode, dentry: found.dentry, flags: flags & KEPT, references: 1, ..Open::default() };
        let slot = self.fs.slab.insert(&mut self.mm, open)?;
        self.hold(found.inode);
        self.hold_dentry(found.dentry);
        if self.inode(found.inode).kind() == Kind::Pipe && flags & O_PATH == 0 {
            for (end, wanted) in [(READERS, open.is_readable()), (WRITERS, open.is_writable())] {
                pipe::change_ends(self, found.inode, end, i64::from(wanted));
            }
        }
        self.process.descriptors.set(fd, slot, flags & O_CLOEXEC != 0);
        Ok(fd)
    }

    /// Makes `fd`, which is closed, another descriptor of an open description.
    pub(crate) fn share_open(&mut self, slot: Slot, fd: u64, close_on_exec: bool) {
        self.open_mut(slot).references += 1;
        self.process.descriptors.set(fd, slot, close_on_exec);
    }

    /// Closes a descriptor.
    ///
    /// # Errors
    /// EBADF.
    pub(crate) fn close(&mut self, fd: u64) -> Result<(), Errno> {
        let slot = self.open_slot(fd)?;
        self.process.descriptors.set(u64::from(fd as u32), 0, false);
        let open = self.open_mut(slot);
        open.references -= 1;
        let open = *open;
        if open.references > 0 {
            return Ok(());
        }
        if self.inode(open.inode).kind() == Kind::Pipe && open.flags & O_PATH == 0 {
            for (end, wanted) in [(READERS, open.is_readable()), (WRITERS, open.is_writable())] {
                pipe::change_ends(self, open.inode, end, -i64::from(wanted));
            }
        }
        proc::drop_text(self, slot);
        self.fs.slab.remove::<Open>(&mut self.mm, slot);
        self.let_dentry_go(open.dentry);
        self.let_go(open.inode);
        Ok(())
    }
}
