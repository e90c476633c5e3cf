//! Copying from and to a program's memory.
//!
//! The kernel never touches a user address: it looks the page up as the program would reach it, takes the page fault
//! on the program's behalf where there is none, and copies through the direct map, or a slot of kmap_local.

use pagelab_abi::layout::{PAGE_SIZE, TASK_SIZE};
use pagelab_mm::{errno::Errno, fault as mm_fault, machine::Pfn};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{fault, state::Kernel};

/// Fails with EFAULT unless the range lies in the user half, as Linux's access_ok: an empty one must, too.
pub(crate) fn check(address: u64, length: u64) -> Result<(), Errno> {
    match address.checked_add(length) {
        Some(end) if end <= TASK_SIZE => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// What a transfer answers: the bytes it moved before it stopped, or why it moved none.
pub(crate) fn moved(outcome: Result<(), Errno>, bytes: u64) -> Result<u64, Errno> {
    match outcome {
        Err(errno) if bytes == 0 => Err(errno),
        _ => Ok(bytes),
    }
}

/// The frame behind a user address, faulted in if need be.
pub(crate) fn frame(kernel: &mut Kernel, address: u64, write: bool) -> Result<Pfn, Errno> {
    check(address, 1)?;
    loop {
        match mm_fault::resolve(&kernel.mm, &kernel.process.space, address, write) {
            Ok(pfn) => return Ok(pfn),
            Err(_) => fault::on_behalf(kernel, address, write)?,
        }
    }
}

/// Calls `visit` with each piece of a user range that lies in one page: frame, offset in it, length, and how many
/// bytes came before.
pub(crate) fn pieces(
    kernel: &mut Kernel,
    address: u64,
    length: u64,
    write: bool,
    mut visit: impl FnMut(&mut Kernel, Pfn, usize, usize, usize) -> Result<(), Errno>,
) -> Result<(), Errno> {
    check(address, length)?;
    let mut done = 0;
    while done < length {
        let at = address + done;
        let offset = at % PAGE_SIZE;
        let piece = (PAGE_SIZE - offset).min(length - done);
        let pfn = frame(kernel, at, write)?;
        visit(kernel, pfn, offset as usize, piece as usize, done as usize)?;
        done += piece;
    }
    Ok(())
}

/// Copies from the program.
pub(crate) fn read(kernel: &mut Kernel, address: u64, to: &mut [u8]) -> Result<(), Errno> {
    pieces(kernel, address, to.len() as u64, false, |kernel, pfn, offset, length, done| {
        kernel.mm.read_frame(pfn, offset, &mut to[done..done + length]);
        Ok(())
    })
}

/// Copies to the program.
pub(crate) fn write(kernel: &mut Kernel, address: u64, from: &[u8]) -> Result<(), Errno> {
    pieces(kernel, address, from.len() as u64, true, |kernel, pfn, offset, length, done| {
        kernel.mm.write_frame(pfn, offset, &from[done..done + length]);
        Ok(())
    })
}

/// Reads a structure from the program.
pub(crate) fn get<T: FromBytes + IntoBytes>(kernel: &mut Kernel, address: u64) -> Result<T, Errno> {
    let mut value = T::new_zeroed();
    read(kernel, address, value.as_mut_bytes())?;
    Ok(value)
}

/// Writes a structure to the program.
pub(crate) fn put<T: IntoBytes + Immutable + ?Sized>(
    kernel: &mut Kernel,
    address: u64,
    value: &T,
) -> Result<(), Errno> {
    write(kernel, address, value.as_bytes())
}

/// Fills a user range with zeros.
pub(crate) fn clear(kernel: &mut Kernel, address: u64, length: u64) -> Result<(), Errno> {
    const ZEROS: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
    pieces(kernel, address, length, true, |kernel, pfn, offset, length, _| {
        kernel.mm.write_frame(pfn, offset, &ZEROS[..length]);
        Ok(())
    })
}

/// Reads a NUL-terminated string of at most `buffer.len() - 1` bytes; returns its length.
pub(crate) fn string(kernel: &mut Kernel, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        let at = address.checked_add(done as u64).ok_or(Errno::EFAULT)?;
        let offset = at % PAGE_SIZE;
        let piece = ((PAGE_SIZE - offset) as usize).min(buffer.len() - done);
        let pfn = frame(kernel, at, false)?;
        kernel.mm.read_frame(pfn, offset as usize, &mut buffer[done..done + piece]);
        if let Some(end) = buffer[done..done + piece].iter().position(|&byte| byte == 0) {
            return Ok(done + end);
        }
        done += piece;
    }
    Err(Errno::ENAMETOOLONG)
}

/// Copies from the program as far as its pages are there, and says how many bytes; takes no fault.
pub(crate) fn peek(kernel: &mut Kernel, address: u64, to: &mut [u8]) -> usize {
    let mut done = 0;
    while done < to.len() {
        let Some(at) = address.checked_add(done as u64).filter(|&at| check(at, 1).is_ok()) else { break };
        let Ok(pfn) = mm_fault::resolve(&kernel.mm, &kernel.process.space, at, false) else { break };
        let offset = (at % PAGE_SIZE) as usize;
        let piece = (PAGE_SIZE as usize - offset).min(to.len() - done);
        kernel.mm.read_frame(pfn, offset, &mut to[done..done + piece]);
        done += piece;
    }
    done
}
