//! Pipes: up to sixteen pages of bytes between two ends, filled and emptied as Linux does it, so that a program sees the
//! same room.
//!
//! A frame holds the pipe's state: word 0 the first buffer's number, word 1 the number after the last, both counting for
//! ever, word 2 readers, word 3 writers; from word [`FIRST`] on a buffer each: frame number, offset, length.

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use pagelab_mm::{
    errno::Errno,
    frame::Gfp,
    machine::{Machine, Pfn},
};

use super::{
    Slot,
    inode::{Inode, Kind, System},
};
use crate::state::Kernel;

/// Buffers of a pipe, a page each (F_GETPIPE_SZ says 65536).
pub(crate) const BUFFERS: u64 = 16;
const HEAD: usize = 0;
const TAIL: usize = 1;
pub(crate) const READERS: usize = 2;
pub(crate) const WRITERS: usize = 3;
const FIRST: usize = 8;

/// A page of a pipe.
#[derive(Clone, Copy)]
struct Buffer {
    pfn: Pfn,
    offset: usize,
    length: usize,
}

impl Buffer {
    fn from_word(word: u64) -> Buffer {
        Buffer { pfn: Pfn(word as u32), offset: (word >> 32 & 0xffff) as usize, length: (word >> 48) as usize }
    }

    fn word(self) -> u64 {
        u64::from(self.pfn.0) | (self.offset as u64) << 32 | (self.length as u64) << 48
    }
}

/// Makes a pipe; its inode has no name and no user yet.
///
/// # Errors
/// ENOMEM.
pub(crate) fn new(kernel: &mut Kernel) -> Result<Slot, Errno> {
    let frame = kernel.mm.alloc_frame(Gfp::KERNEL | Gfp::ZERO, Owner::Buffer).map_err(|_| Errno::ENOMEM)?;
    let mut inode = Inode::new(Kind::Pipe, System::Pipe, super::S_IFIFO | 0o600, 0);
    inode.payload = frame.0;
    kernel.new_inode(inode).inspect_err(|_| free(kernel, frame.0))
}

/// Frees a pipe's memory.
pub(super) fn free(kernel: &mut Kernel, frame: u32) {
    while count(kernel, frame) > 0 {
        drop_first(kernel, frame);
    }
    kernel.mm.free_frames(Pfn(frame), 0).expect("a pipe's frame is its own");
}

fn words(kernel: &Kernel, frame: u32) -> &[u64; 512] {
    &kernel.mm.machine.frame(Pfn(frame)).0
}

fn words_mut(kernel: &mut Kernel, frame: u32) -> &mut [u64; 512] {
    &mut kernel.mm.machine.frame_mut(Pfn(frame)).0
}

/// Open descriptions of one end ([`READERS`] or [`WRITERS`]).
pub(crate) fn ends(kernel: &Kernel, inode: Slot, end: usize) -> u64 {
    words(kernel, kernel.inode(inode).payload)[end]
}

/// One description more or less of one end.
pub(crate) fn change_ends(kernel: &mut Kernel, inode: Slot, end: usize, by: i64) {
    let frame = kernel.inode(inode).payload;
    let word = &mut words_mut(kernel, frame)[end];
    *word = word.wrapping_add_signed(by);
}

fn count(kernel: &Kernel, frame: u32) -> u64 {
    let words = words(kernel, frame);
    words[TAIL] - words[HEAD]
}

fn buffer(kernel: &Kernel, frame: u32, number: u64) -> Buffer {
    Buffer::from_word(words(kernel, frame)[FIRST + (number % BUFFERS) as usize])
}

fn set_buffer(kernel: &mut Kernel, frame: u32, number: u64, buffer: Buffer) {
    words_mut(kernel, frame)[FIRST + (number % BUFFERS) as usize] = buffer.word();
}

fn drop_first(kernel: &mut Kernel, frame: u32) {
    let head = words(kernel, frame)[HEAD];
    let pfn = buffer(kernel, frame, head).pfn;
    words_mut(kernel, frame)[HEAD] = head + 1;
    kernel.mm.put_frame(pfn).expect("a pipe's page is allocated");
}

/// Bytes in a pipe.
pub(crate) fn available(kernel: &Kernel, inode: Slot) -> u64 {
    let frame = kernel.inode(inode).payload;
    let head = words(kernel, frame)[HEAD];
    (head..head + count(kernel, frame)).map(|number| buffer(kernel, frame, number).length as u64).sum()
}

/// Whether a write of a page would find room.
pub(crate) fn has_room(kernel: &Kernel, inode: Slot) -> bool {
    count(kernel, kernel.inode(inode).payload) < BUFFERS
}

/// Takes up to `length` bytes out of a pipe, into a frame.
pub(crate) fn take(kernel: &mut Kernel, inode: Slot, to: Pfn, offset: usize, length: usize) -> usize {
    let frame = kernel.inode(inode).payload;
    let mut done = 0;
    while done < length && count(kernel, frame) > 0 {
        let head = words(kernel, frame)[HEAD];
        let mut first = buffer(kernel, frame, head);
        let part = first.length.min(length - done);
        kernel.mm.copy_part(to, offset + done, first.pfn, first.offset, part);
        (first.offset, first.length) = (first.offset + part, first.length - part);
        done += part;
        if first.length == 0 {
            drop_first(kernel, frame);
        } else {
            set_buffer(kernel, frame, head, first);
        }
    }
    done
}

/// Puts up to `length` bytes into a pipe, of which `copy` brings a part to a place in a frame: which frame, where in it,
/// how many, how many came before. Stops when the pipe is full.
///
/// # Errors
/// What `copy` says, ENOMEM; only if nothing was put in.
pub(crate) fn put(
    kernel: &mut Kernel,
    inode: Slot,
    length: u64,
    mut copy: impl FnMut(&mut Kernel, Pfn, usize, usize, u64) -> Result<(), Errno>,
) -> Result<u64, Errno> {
    let frame = kernel.inode(inode).payload;
    let mut done = 0;
    // What does not make a whole page goes to what the last page has left, if all of it fits there.
    let odd = (length % PAGE_SIZE) as usize;
    if odd > 0 && count(kernel, frame) > 0 {
        let last = words(kernel, frame)[TAIL] - 1;
        let mut into = buffer(kernel, frame, last);
        let end = into.offset + into.length;
        if end + odd <= PAGE_SIZE as usize {
            copy(kernel, into.pfn, end, odd, 0)?;
            into.length += odd;
            set_buffer(kernel, frame, last, into);
            done = odd as u64;
        }
    }
    while done < length && count(kernel, frame) < BUFFERS {
        let part = (length - done).min(PAGE_SIZE) as usize;
        let page = kernel.mm.alloc_frame(Gfp::USER, Owner::Buffer).map_err(|_| Errno::ENOMEM);
        let outcome = page.and_then(|page| {
            copy(kernel, page, 0, part, done)
                .map(|()| page)
                .inspect_err(|_| kernel.mm.free_frames(page, 0).expect("a fresh page is ours"))
        });
        let pfn = match outcome {
            Ok(pfn) => pfn,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        };
        let tail = words(kernel, frame)[TAIL];
        set_buffer(kernel, frame, tail, Buffer { pfn, offset: 0, length: part });
        words_mut(kernel, frame)[TAIL] = tail + 1;
        done += part as u64;
    }
    Ok(done)
}
