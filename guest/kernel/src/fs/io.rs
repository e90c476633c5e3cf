//! Reading and writing what is open, by its kind. The unit is a part of a frame, since the pages of a program are frames.

use pagelab_abi::code::{BulkKind, Moment, Owner};
use pagelab_mm::{errno::Errno, frame::Gfp, machine::Pfn};

use super::{
    Open, Slot, contents,
    inode::Kind,
    pipe::{self, READERS, WRITERS},
    wait::{self, SIGPIPE},
};
use crate::{proc, state::Kernel};

/// Whether what is open has a place where the next read begins.
pub(crate) fn is_seekable(kernel: &Kernel, open: &Open) -> bool {
    !matches!(kernel.inode(open.inode).kind(), Kind::Pipe | Kind::Console)
}

/// How many of `length` bytes a read at `position` gives: 0 at the end. Waits for a pipe's writer.
///
/// # Errors
/// EISDIR; EAGAIN: the pipe is empty; ENOMEM.
pub(crate) fn readable(kernel: &mut Kernel, slot: Slot, position: u64, length: u64) -> Result<u64, Errno> {
    let open = *kernel.open(slot);
    let rest = match kernel.inode(open.inode).kind() {
        Kind::Directory => return Err(Errno::EISDIR),
        Kind::Link | Kind::Magic => return Err(Errno::EINVAL),
        Kind::Regular => kernel.size(open.inode).saturating_sub(position),
        Kind::Proc => proc::readable(kernel, slot, position, length)?,
        Kind::Null | Kind::Console | Kind::Tty => 0,
        Kind::Zero | Kind::Full | Kind::Random => length,
        Kind::Pipe => {
            if length > 0 && pipe::available(kernel, open.inode) == 0 {
                if pipe::ends(kernel, open.inode, WRITERS) == 0 {
                    return Ok(0);
                }
                if open.is_nonblocking() {
                    return Err(Errno::EAGAIN);
                }
                return Err(wait::wait(kernel, format_args!("a byte in a pipe whose writing end it has itself")));
            }
            pipe::available(kernel, open.inode)
        }
    };
    Ok(length.min(rest))
}

/// Reads to a part of a frame. [`readable`] has said that the bytes are there.
///
/// # Errors
/// ENOMEM.
pub(crate) fn read(
    kernel: &mut Kernel,
    slot: Slot,
    position: u64,
    to: Pfn,
    offset: usize,
    length: usize,
) -> Result<usize, Errno> {
    let open = *kernel.open(slot);
    match kernel.inode(open.inode).kind() {
        Kind::Regular => contents::read(kernel, open.inode, position, to, offset, length)?,
        Kind::Zero | Kind::Full => kernel.mm.zero_part(to, offset, length),
        Kind::Random => fill_randomly(kernel, to, offset, length),
        Kind::Pipe => return Ok(pipe::take(kernel, open.inode, to, offset, length)),
        Kind::Proc => proc::read(kernel, slot, position, to, offset, length),
        _ => return Ok(0),
    }
    Ok(length)
}

/// Fills a part of a frame with what the run's seed gives.
pub(crate) fn fill_randomly(kernel: &mut Kernel, to: Pfn, offset: usize, length: usize) {
    let mut bytes = [0; 64];
    let mut done = 0;
    while done < length {
        let piece = &mut bytes[..(length - done).min(64)];
        kernel.random.fill(piece);
        kernel.mm.write_frame(to, offset + done, piece);
        done += piece.len();
    }
}

/// How many of `length` bytes a write at `position` may write, as far as that is known before. Waits for a pipe's reader.
///
/// # Errors
/// As [`contents::may_write`]; EPIPE, with SIGPIPE; EAGAIN: the pipe is full; ENOSPC.
pub(crate) fn writable(kernel: &mut Kernel, open: &Open, position: u64, length: u64) -> Result<u64, Errno> {
    match kernel.inode(open.inode).kind() {
        Kind::Directory => Err(Errno::EISDIR),
        Kind::Regular if length > 0 => contents::may_write(kernel, open.inode, position, length),
        Kind::Full if length > 0 => Err(Errno::ENOSPC),
        Kind::Link | Kind::Magic => Err(Errno::EINVAL),
        Kind::Pipe if length > 0 => {
            check_readers(kernel, open)?;
            if pipe::has_room(kernel, open.inode) {
                return Ok(length);
            }
            if open.is_nonblocking() {
                return Err(Errno::EAGAIN);
            }
            Err(wait::wait(kernel, format_args!("room in a pipe whose reading end it has itself")))
        }
        _ => Ok(length),
    }
}

fn check_readers(kernel: &mut Kernel, open: &Open) -> Result<(), Errno> {
    if pipe::ends(kernel, open.inode, READERS) > 0 {
        return Ok(());
    }
    wait::raise(kernel, SIGPIPE);
    Err(Errno::EPIPE)
}

/// Writes a part of a frame. [`writable`] has allowed it.
///
/// # Errors
/// ENOMEM, ENOSPC.
pub(crate) fn write(
    kernel: &mut Kernel,
    open: &Open,
    position: u64,
    from: Pfn,
    offset: usize,
    length: usize,
) -> Result<usize, Errno> {
    let inode = open.inode;
    match kernel.inode(inode).kind() {
        Kind::Regular => contents::write(kernel, inode, position, from, offset, length),
        Kind::Console => {
            // Each part goes to the host from where it lies.
            let stream = kernel.inode(inode).payload as u8;
            let gpa = from.address() + offset as u64;
            kernel.mm.trace.bulk_at(BulkKind::Console, stream, Moment::Request, false, gpa, length as u32);
            Ok(length)
        }
        Kind::Proc => proc::write(kernel, kernel.inode(inode).payload, from, offset, length),
        Kind::Pipe => pipe::put(kernel, inode, length as u64, |kernel, to, at, part, done| {
            kernel.mm.copy_part(to, at, from, offset + done as usize, part);
            Ok(())
        })
        .map(|done| done as usize),
        _ => Ok(length),
    }
}

/// Whether a write takes nothing from where it is told to.
pub(crate) fn discards(kernel: &Kernel, open: &Open) -> bool {
    matches!(kernel.inode(open.inode).kind(), Kind::Null | Kind::Zero | Kind::Tty)
}

/// A frame for the bytes that one call moves between two files, freed by the caller.
pub(crate) fn bounce(kernel: &mut Kernel) -> Result<Pfn, Errno> {
    kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Buffer).map_err(|_| Errno::ENOMEM)
}
