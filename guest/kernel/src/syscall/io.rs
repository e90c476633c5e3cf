//! Reading files and writing to the console.
//!
//! Linux's order of checks: the descriptor, then all addresses and lengths, then the transfer. One that stops at a bad
//! page answers with what it moved before.

use pagelab_abi::code::{BulkKind, Moment};
use pagelab_mm::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Args, Result, file};
use crate::{
    open_files::{Open, What},
    state::Kernel,
    take_once::TakeOnce,
    user_copy,
};

/// Most bytes that one read or write moves (Linux's MAX_RW_COUNT).
const MAX_RW: u64 = 0x7fff_f000;
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

/// Moves up to `length` bytes between an open file and a range of the program that has been checked.
type Transfer = fn(&mut Kernel, &Open, u64, u64) -> Result;

pub(super) fn read(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    let open = readable(kernel, fd)?;
    user_copy::check(buffer, length)?;
    let taken = take(kernel, &open, buffer, length.min(MAX_RW))?;
    advance(kernel, fd, taken)
}

pub(super) fn write(kernel: &mut Kernel, &[fd, buffer, length, ..]: &Args) -> Result {
    let open = writable(kernel, fd)?;
    user_copy::check(buffer, length)?;
    put(kernel, &open, buffer, length.min(MAX_RW))
}

pub(super) fn readv(kernel: &mut Kernel, &[fd, vector, count, ..]: &Args) -> Result {
    let open = readable(kernel, fd)?;
    let taken = vectored(kernel, open, vector, count, take)?;
    advance(kernel, fd, taken)
}

pub(super) fn writev(kernel: &mut Kernel, &[fd, vector, count, ..]: &Args) -> Result {
    let open = writable(kernel, fd)?;
    vectored(kernel, open, vector, count, put)
}

pub(super) fn pread64(kernel: &mut Kernel, &[fd, buffer, length, offset, ..]: &Args) -> Result {
    if offset > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    let what = kernel.process.open_files.get(fd)?.what;
    if matches!(what, What::Console(_)) {
        return Err(Errno::ESPIPE);
    }
    user_copy::check(buffer, length)?;
    take(kernel, &Open { what, offset }, buffer, length.min(MAX_RW))
}

fn readable(kernel: &mut Kernel, fd: u64) -> core::result::Result<Open, Errno> {
    let open = *kernel.process.open_files.get(fd)?;
    if matches!(open.what, What::Console(_)) { Err(Errno::EBADF) } else { Ok(open) }
}

fn writable(kernel: &mut Kernel, fd: u64) -> core::result::Result<Open, Errno> {
    let open = *kernel.process.open_files.get(fd)?;
    if matches!(open.what, What::Console(_)) { Ok(open) } else { Err(Errno::EBADF) }
}

/// The next read begins behind what was taken.
fn advance(kernel: &mut Kernel, fd: u64, taken: u64) -> Result {
    kernel.process.open_files.get(fd)?.offset += taken;
    Ok(taken)
}

fn vectored(kernel: &mut Kernel, mut open: Open, vector: u64, count: u64, transfer: Transfer) -> Result {
    if count > MAX_BUFFERS as u64 {
        return Err(Errno::EINVAL);
    }
    let count = count as usize;
    if count == 0 {
        return Ok(0);
    }
    user_copy::pieces(
        kernel,
        vector,
        (count * size_of::<IoVec>()) as u64,
        false,
        |kernel, pfn, offset, length, done| {
            kernel.mm.machine.read(pfn, offset, &mut kernel.buffers.0.as_mut_bytes()[done..done + length]);
            Ok(())
        },
    )?;
    let buffers = &kernel.buffers.0[..count];
    if buffers.iter().any(|buffer| buffer.length > i64::MAX as u64) {
        return Err(Errno::EINVAL);
    }
    buffers.iter().try_for_each(|buffer| user_copy::check(buffer.base, buffer.length))?;

    let mut total = 0;
    for index in 0..count {
        let IoVec { base, length } = kernel.buffers.0[index];
        let length = length.min(MAX_RW - total);
        match transfer(kernel, &open, base, length) {
            Ok(moved) => {
                total += moved;
                open.offset += moved;
                if moved < length {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// Copies what lies at the offset.
fn take(kernel: &mut Kernel, open: &Open, buffer: u64, length: u64) -> Result {
    let contents = file::contents(kernel, open.what)?;
    let rest = contents.get(open.offset.min(contents.len() as u64) as usize..).unwrap_or_default();
    let wanted = &rest[..rest.len().min(length as usize)];
    let mut taken = 0;
    let outcome = user_copy::pieces(kernel, buffer, wanted.len() as u64, true, |kernel, pfn, offset, length, done| {
        kernel.mm.machine.write(pfn, offset, &wanted[done..done + length]);
        taken = (done + length) as u64;
        Ok(())
    });
    user_copy::moved(outcome, taken)
}

/// The console: each page-sized piece goes to the host from where it lies.
fn put(kernel: &mut Kernel, open: &Open, buffer: u64, length: u64) -> Result {
    let What::Console(stream) = open.what else {
        return Err(Errno::EBADF);
    };
    let mut written = 0;
    let outcome = user_copy::pieces(kernel, buffer, length, false, |kernel, pfn, offset, piece, _| {
        let gpa = pfn.address() + offset as u64;
        kernel.mm.trace.bulk_at(BulkKind::Console, stream, Moment::Request, false, gpa, piece as u32);
        written += piece as u64;
        Ok(())
    });
    user_copy::moved(outcome, written)
}
