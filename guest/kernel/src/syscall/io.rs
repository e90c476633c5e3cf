//! Reading and writing.
//!
//! Linux's order of checks: the descriptor, then all addresses and lengths, then the transfer. One that stops at a bad
//! page answers with what it moved before.

use pagelab_mm::{errno::Errno, machine::Pfn};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Args, Result};
use crate::{
    fs::{Kind, Open, Slot, io, open::O_APPEND, pipe, wait},
    proc,
    state::Kernel,
    take_once::TakeOnce,
    user_copy,
};

/// Most bytes that one read or write moves (Linux's MAX_RW_COUNT).
pub(super) const MAX_RW: u64 = 0x7fff_f000;
/// Most buffers of one readv or writev (UIO_MAXIOV).
const MAX_BUFFERS: usize = 1024;

static BUFFERS: TakeOnce<[IoVec; MAX_BUFFERS]> = TakeOnce::new([IoVec { base: 0, length: 0 }; MAX_BUFFERS]);

/// The buffers of the readv or writev under way: copied once, since a readv may overwrite what lists them.
pub(crate) struct Buffers(&'static mut [IoVec; MAX_BUFFERS]);

impl Buffers {
    /// The one list.
    pub(crate) fn new() -> Buffers {
        Buffers(BUFFERS.take())
    }
}

/// Linux's `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct IoVec {
    base: u64,
    length: u64,
}

/// Where a transfer takes place in the file.
#[derive(Clone, Copy)]
enum Place {
    /// Where the open description is, which moves on.
    Here,
    /// At an offset, and the description stays where it is.
    At(u64),
}

impl Place {
    /// The offset of pread and its kin.
    fn at(offset: u64) -> core::result::Result<Place, Errno> {
        if offset > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(Place::At(offset)) }
    }
}

pub(super) fn read(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    one(kernel, fd, Place::Here, buffer, length, false)
}

pub(super) fn write(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    one(kernel, fd, Place::Here, buffer, length, true)
}

pub(super) fn pread64(kernel: &mut Kernel, &[fd, buffer, length, offset, ..]: &Args) -> Result {
    one(kernel, fd, Place::at(offset)?, buffer, length, false)
}

pub(super) fn pwrite64(kernel: &mut Kernel, &[fd, buffer, length, offset, ..]: &Args) -> Result {
    one(kernel, fd, Place::at(offset)?, buffer, length, true)
}

pub(super) fn readv(kernel: &mut Kernel, &[fd, vector, count, ..]: &Args) -> Result {
    vectored(kernel, fd, Place::Here, vector, count, false)
}

pub(super) fn writev(kernel: &mut Kernel, &[fd, vector, count, ..]: &Args) -> Result {
    vectored(kernel, fd, Place::Here, vector, count, true)
}

pub(super) fn preadv(kernel: &mut Kernel, &[fd, vector, count, offset, ..]: &Args) -> Result {
    vectored(kernel, fd, Place::at(offset)?, vector, count, false)
}

pub(super) fn pwritev(kernel: &mut Kernel, &[fd, vector, count, offset, ..]: &Args) -> Result {
    vectored(kernel, fd, Place::at(offset)?, vector, count, true)
}

pub(super) fn preadv2(kernel: &mut Kernel, &[fd, vector, count, offset, _, flags]: &Args) -> Result {
    with_flags(kernel, fd, vector, count, offset, flags, false)
}

pub(super) fn pwritev2(kernel: &mut Kernel, &[fd, vector, count, offset, _, flags]: &Args) -> Result {
    with_flags(kernel, fd, vector, count, offset, flags, true)
}

fn with_flags(kernel: &mut Kernel, fd: u64, vector: u64, count: u64, offset: u64, flags: u64, writes: bool) -> Result {
    /// RWF_HIPRI, RWF_DSYNC, RWF_SYNC: nothing here is ever late.
    const HARMLESS: u32 = 1 | 2 | 4;
    let place = if offset == u64::MAX { Place::Here } else { Place::at(offset)? };
    if flags as u32 & !HARMLESS != 0 {
        kernel.opened(fd)?;
        return Err(Errno::EOPNOTSUPP);
    }
    vectored(kernel, fd, place, vector, count, writes)
}

/// The open description behind a descriptor, if it may be read or written at this place.
fn usable(kernel: &Kernel, fd: u64, place: Place, writes: bool) -> core::result::Result<(Slot, Open), Errno> {
    let (slot, open) = kernel.opened(fd)?;
    if matches!(place, Place::At(_)) && !io::is_seekable(kernel, &open) {
        return Err(Errno::ESPIPE);
    }
    let allowed = if writes { open.is_writable() } else { open.is_readable() };
    if allowed { Ok((slot, open)) } else { Err(Errno::EBADF) }
}

fn one(kernel: &mut Kernel, fd: u64, place: Place, buffer: u64, length: u64, writes: bool) -> Result {
    let (slot, open) = usable(kernel, fd, place, writes)?;
    user_copy::check(buffer, length)?;
    let position = position(kernel, &open, place, writes);
    let moved = transfer(kernel, slot, &open, position, buffer, length.min(MAX_RW), writes)?;
    conclude(kernel, slot, &open, place, position, moved, writes)
}

/// Where a transfer begins.
fn position(kernel: &Kernel, open: &Open, place: Place, writes: bool) -> u64 {
    match place {
        _ if writes && open.flags & O_APPEND != 0 => kernel.size(open.inode),
        Place::Here => open.offset,
        Place::At(offset) => offset,
    }
}

/// Moves the description on, and notes the change.
fn conclude(
    kernel: &mut Kernel,
    slot: Slot,
    open: &Open,
    place: Place,
    position: u64,
    moved: u64,
    writes: bool,
) -> Result {
    if matches!(place, Place::Here) && io::is_seekable(kernel, open) {
        kernel.open_mut(slot).offset = position + moved;
    }
    if writes && moved > 0 && kernel.inode(open.inode).kind() == Kind::Regular {
        kernel.changed(open.inode, true);
    }
    Ok(moved)
}

fn vectored(kernel: &mut Kernel, fd: u64, place: Place, vector: u64, count: u64, writes: bool) -> Result {
    let (slot, open) = usable(kernel, fd, place, writes)?;
    if count > MAX_BUFFERS as u64 {
        return Err(Errno::EINVAL);
    }
    let count = count as usize;
    if count == 0 {
        return Ok(0);
    }
    let bytes = (count * size_of::<IoVec>()) as u64;
    user_copy::pieces(kernel, vector, bytes, false, |kernel, pfn, offset, length, done| {
        kernel.mm.read_frame(pfn, offset, &mut kernel.buffers.0.as_mut_bytes()[done..done + length]);
        Ok(())
    })?;
    let buffers = &kernel.buffers.0[..count];
    if buffers.iter().any(|buffer| buffer.length > i64::MAX as u64) {
        return Err(Errno::EINVAL);
    }
    buffers.iter().try_for_each(|buffer| user_copy::check(buffer.base, buffer.length))?;

    let position = position(kernel, &open, place, writes);
    let mut total = 0;
    for index in 0..count {
        let IoVec { base, length } = kernel.buffers.0[index];
        let length = length.min(MAX_RW - total);
        if total > 0 && !writes && would_wait(kernel, &open) {
            break;
        }
        match transfer(kernel, slot, &open, position + total, base, length, writes) {
            Ok(moved) => {
                total += moved;
                if moved < length {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    conclude(kernel, slot, &open, place, position, total, writes)
}

/// Whether a read would wait for a pipe's writer: one that has read something does not.
fn would_wait(kernel: &Kernel, open: &Open) -> bool {
    kernel.inode(open.inode).kind() == Kind::Pipe && pipe::available(kernel, open.inode) == 0
}

/// Moves bytes between an open file and a range of the program that has been checked.
fn transfer(
    kernel: &mut Kernel,
    slot: Slot,
    open: &Open,
    position: u64,
    buffer: u64,
    length: u64,
    writes: bool,
) -> Result {
    if !writes {
        let length = io::readable(kernel, slot, position, length)?;
        return by_page(kernel, buffer, length, true, |kernel, pfn, offset, part, done| {
            io::read(kernel, slot, position + done, pfn, offset, part)
        });
    }
    let length = io::writable(kernel, open, position, length)?;
    if io::discards(kernel, open) {
        return Ok(length);
    }
    if kernel.inode(open.inode).kind() == Kind::Pipe {
        return to_pipe(kernel, open, buffer, length);
    }
    by_page(kernel, buffer, length, false, |kernel, pfn, offset, part, done| {
        io::write(kernel, open, position + done, pfn, offset, part)
    })
}

/// Calls `act` with each part of a range of the program that lies in one page, until one is done in part only.
fn by_page(
    kernel: &mut Kernel,
    buffer: u64,
    length: u64,
    write: bool,
    mut act: impl FnMut(&mut Kernel, Pfn, usize, usize, u64) -> core::result::Result<usize, Errno>,
) -> Result {
    let mut done = 0;
    let outcome = user_copy::pieces(kernel, buffer, length, write, |kernel, pfn, offset, part, before| {
        let moved = act(kernel, pfn, offset, part, before as u64)?;
        done += moved as u64;
        // What was moved before is the answer.
        if moved < part { Err(Errno::EAGAIN) } else { Ok(()) }
    });
    user_copy::moved(outcome, done)
}

fn to_pipe(kernel: &mut Kernel, open: &Open, buffer: u64, length: u64) -> Result {
    let done = pipe::put(kernel, open.inode, length, |kernel, to, at, part, done| {
        user_copy::pieces(kernel, buffer + done, part as u64, false, |kernel, pfn, offset, piece, before| {
            kernel.mm.copy_part(to, at + before, pfn, offset, piece);
            Ok(())
        })
    })?;
    if done < length && !open.is_nonblocking() && !pipe::has_room(kernel, open.inode) {
        // A signal that ends the wait leaves what was written.
        wait::wait(kernel, format_args!("room in a pipe whose reading end it has itself"));
    }
    Ok(done)
}

pub(super) fn sendfile(kernel: &mut Kernel, &[to, from, offset, count, ..]: &Args) -> Result {
    let given = if offset == 0 { None } else { Some(user_copy::get::<u64>(kernel, offset)?) };
    let place = given.map_or(Ok(Place::Here), Place::at)?;
    let (source, from) = usable(kernel, from, place, false)?;
    let (sink, to) = usable(kernel, to, Place::Here, true)?;
    let inode = kernel.inode(from.inode);
    let unsent = match inode.kind() {
        Kind::Pipe => true,
        Kind::Proc => !proc::can_be_sent(inode.payload),
        _ => false,
    };
    if unsent || to.flags & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = (position(kernel, &from, place, false), position(kernel, &to, Place::Here, true));
    let moved = between(kernel, (source, start), (&to, end), count.min(MAX_RW))?;
    conclude(kernel, sink, &to, Place::Here, end, moved, true)?;
    conclude(kernel, source, &from, place, start, moved, false)?;
    if offset != 0 {
        user_copy::put(kernel, offset, &(start + moved))?;
    }
    Ok(moved)
}

pub(super) fn copy_file_range(kernel: &mut Kernel, &[from, from_at, to, to_at, length, flags]: &Args) -> Result {
    let (source, from) = kernel.opened(from)?;
    let (sink, to) = kernel.opened(to)?;
    let mut place = |address: u64| {
        if address == 0 { Ok(Place::Here) } else { Place::at(user_copy::get::<u64>(kernel, address)?) }
    };
    let (from_place, to_place) = (place(from_at)?, place(to_at)?);
    if flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    for inode in [from.inode, to.inode] {
        match kernel.inode(inode).kind() {
            Kind::Directory => return Err(Errno::EISDIR),
            Kind::Regular => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    if !from.is_readable() || !to.is_writable() || to.flags & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let start = position(kernel, &from, from_place, false);
    let end = position(kernel, &to, to_place, true);
    let length = length.min(MAX_RW).min(kernel.size(from.inode).saturating_sub(start));
    if from.inode == to.inode && end < start + length && start < end + length {
        return Err(Errno::EINVAL);
    }
    let moved = between(kernel, (source, start), (&to, end), length)?;
    conclude(kernel, source, &from, from_place, start, moved, false)?;
    conclude(kernel, sink, &to, to_place, end, moved, true)?;
    for (address, value) in [(from_at, start + moved), (to_at, end + moved)] {
        if address != 0 {
            user_copy::put(kernel, address, &value)?;
        }
    }
    Ok(moved)
}

/// Moves bytes from one open file to another, through a frame.
fn between(kernel: &mut Kernel, from: (Slot, u64), to: (&Open, u64), length: u64) -> Result {
    let (source, start) = from;
    let (to, end) = to;
    let length = io::readable(kernel, source, start, length)?;
    let length = io::writable(kernel, to, end, length)?;
    let frame = io::bounce(kernel)?;
    let mut done = 0;
    let outcome = loop {
        if done == length {
            break Ok(());
        }
        let part = (length - done).min(4096) as usize;
        let taken = match io::read(kernel, source, start + done, frame, 0, part) {
            Ok(taken) => taken,
            Err(errno) => break Err(errno),
        };
        match io::write(kernel, to, end + done, frame, 0, taken) {
            Ok(put) => {
                done += put as u64;
                if put < part {
                    break Ok(());
                }
            }
            Err(errno) => break Err(errno),
        }
    };
    kernel.mm.free_frames(frame, 0).expect("the frame is this call's own");
    user_copy::moved(outcome, done)
}
