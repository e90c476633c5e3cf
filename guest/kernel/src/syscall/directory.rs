//! Listing directories.

use pagelab_mm::errno::Errno;
use zerocopy::{Immutable, IntoBytes};

use super::{Args, Result};
use crate::{
    fs::{Slot, inode::S_IFMT},
    state::Kernel,
    user_copy,
};

/// An entry before its name, of either call.
#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct Header {
    ino: u64,
    /// Where the listing goes on.
    offset: u64,
}

/// Longest entry: header, length, type, name with its NUL, padding.
const MAX_ENTRY: usize = 16 + 2 + 1 + 256 + 8;

pub(super) fn getdents64(kernel: &mut Kernel, &[fd, buffer, size, ..]: &Args) -> Result {
    list(kernel, fd, buffer, size, true)
}

pub(super) fn getdents(kernel: &mut Kernel, &[fd, buffer, size, ..]: &Args) -> Result {
    list(kernel, fd, buffer, size, false)
}

/// A listing under way.
struct Listing {
    buffer: u64,
    /// Bytes of the buffer.
    size: u64,
    done: u64,
    wide: bool,
}

impl Listing {
    /// Writes an entry; `false` if there is no room for it.
    fn add(&mut self, kernel: &mut Kernel, name: &[u8], inode: Slot, next: u64) -> core::result::Result<bool, Errno> {
        let (ino, kind) = (kernel.inode(inode).ino, (kernel.inode(inode).mode & S_IFMT) >> 12);
        let mut entry = [0; MAX_ENTRY];
        entry[..16].copy_from_slice(Header { ino, offset: next }.as_bytes());
        // The old form has the type in the last byte, behind the name.
        let start = if self.wide { 19 } else { 18 };
        let length = (start + name.len() + if self.wide { 1 } else { 2 }).next_multiple_of(8);
        entry[16..18].copy_from_slice(&(length as u16).to_le_bytes());
        entry[start..start + name.len()].copy_from_slice(name);
        entry[if self.wide { 18 } else { length - 1 }] = kind as u8;
        if length as u64 > self.size - self.done {
            return Ok(false);
        }
        user_copy::write(kernel, self.buffer + self.done, &entry[..length])?;
        self.done += length as u64;
        Ok(true)
    }
}

fn list(kernel: &mut Kernel, fd: u64, buffer: u64, size: u64, wide: bool) -> Result {
    let (slot, open) = kernel.opened(fd)?;
    let directory = open.inode;
    if !kernel.inode(directory).is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if kernel.inode(directory).links == 0 {
        return Err(Errno::ENOENT);
    }
    kernel.list_archived(directory)?;
    kernel.list_special(directory)?;
    let mut listing = Listing { buffer, size: u64::from(size as u32), done: 0, wide };
    let mut position = open.offset;
    let outcome = fill(kernel, &mut listing, directory, &mut position);
    kernel.open_mut(slot).offset = position;
    match outcome {
        Err(errno) if listing.done == 0 => Err(errno),
        Ok(false) if listing.done == 0 => Err(Errno::EINVAL),
        _ => Ok(listing.done),
    }
}

/// Writes entries from a position on; `false` if the buffer is full.
fn fill(
    kernel: &mut Kernel,
    listing: &mut Listing,
    directory: Slot,
    position: &mut u64,
) -> core::result::Result<bool, Errno> {
    /// Positions below are `.` and `..`; a dentry's is its number and this.
    const FIRST: u64 = 2;
    let own = kernel.inode(directory).dentry;
    let parent = kernel.dentry(own).parent;
    for (at, name, inode) in [(0, &b"."[..], directory), (1, b"..", parent)] {
        if *position == at {
            if !listing.add(kernel, name, inode, at + 1)? {
                return Ok(false);
            }
            *position = at + 1;
        }
    }
    let mut slot = kernel.inode(directory).children;
    while slot != 0 {
        let dentry = *kernel.dentry(slot);
        let after = u64::from(dentry.number) + FIRST;
        if dentry.inode != 0 && after > *position && kernel.is_there(directory, dentry.inode) {
            let mut name = [0; 255];
            let length = kernel.name_of(slot, &mut name);
            if !listing.add(kernel, &name[..length], dentry.inode, after)? {
                return Ok(false);
            }
            *position = after;
        }
        slot = dentry.next;
    }
    Ok(true)
}
