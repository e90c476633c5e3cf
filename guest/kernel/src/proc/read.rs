//! Reading and writing a file of `/proc` that is open: a text is made when a read begins at its start, and kept by the open
//! description for the reads that follow.

use pagelab_abi::{code::Owner, layout::PAGE_SIZE};
use pagelab_mm::{errno::Errno, frame::Gfp, machine::Pfn};
use zerocopy::IntoBytes;

use super::{
    ProcFile,
    frames::FrameSink,
    pagemap::{self, WORD, pagemap},
    render, store,
    tree::{self, Kind},
};
use crate::{fs::Slot, state::Kernel};

/// Order of the largest block that a text is kept in: 4 MiB.
const LAST_ORDER: u8 = pagelab_mm::frame::MAX_ORDER;
/// Words of pagemap that are made at once.
const WORDS: usize = 64;
/// Longest text that sets something.
const MAX_SETTING: usize = 64;

/// How many bytes there are to read from `position` on.
///
/// # Errors
/// ENOMEM: no room for the text; EINVAL: not whole words of pagemap.
pub(crate) fn readable(kernel: &mut Kernel, slot: Slot, position: u64, length: u64) -> Result<u64, Errno> {
    let open = *kernel.open(slot);
    let end = match tree::kind(kernel.inode(open.inode).payload) {
        Some(Kind::Text(file)) if position == 0 || open.text == 0 => make(kernel, slot, file)?,
        Some(Kind::Text(_)) => open.text_length,
        Some(Kind::Pagemap) if !(position | length).is_multiple_of(WORD) => return Err(Errno::EINVAL),
        Some(Kind::Pagemap) => pagemap::LENGTH,
        None => 0,
    };
    Ok(end.saturating_sub(position))
}

/// Reads to a part of a frame; [`readable`] has said that the bytes are there.
pub(crate) fn read(kernel: &mut Kernel, slot: Slot, position: u64, to: Pfn, offset: usize, length: usize) {
    let open = *kernel.open(slot);
    let mut done = 0;
    while done < length {
        let from = position + done as u64;
        let at = offset + done;
        done += if open.text != 0 {
            let part = (length - done).min((PAGE_SIZE - from % PAGE_SIZE) as usize);
            let frame = Pfn(open.text + (from / PAGE_SIZE) as u32);
            kernel.mm.machine.copy_part(to, at, frame, (from % PAGE_SIZE) as usize, part);
            part
        } else {
            let mut words = [0; WORDS];
            let skipped = (from % WORD) as usize;
            pagemap(kernel, from - skipped as u64, &mut words);
            let bytes = &words.as_bytes()[skipped..];
            let part = (length - done).min(bytes.len());
            kernel.mm.machine.write(to, at, &bytes[..part]);
            part
        };
    }
}

/// Changes a setting to what a part of a frame says.
///
/// # Errors
/// As [`store`].
pub(crate) fn write(kernel: &mut Kernel, file: u32, from: Pfn, offset: usize, length: usize) -> Result<usize, Errno> {
    let Some(Kind::Text(file)) = tree::kind(file) else { return Err(Errno::EINVAL) };
    let mut bytes = [0; MAX_SETTING];
    let taken = &mut bytes[..length.min(MAX_SETTING)];
    kernel.mm.machine.read(from, offset, taken);
    store(kernel, file, taken)?;
    Ok(length)
}

/// Forgets the text that an open description has.
pub(crate) fn drop_text(kernel: &mut Kernel, slot: Slot) {
    let open = kernel.open_mut(slot);
    let (first, order) = (core::mem::take(&mut open.text), open.text_order);
    if first != 0 {
        kernel.mm.free_frames(Pfn(first), order as u8).expect("a text's frames are its own");
    }
}

/// Makes the text of a file, in place of the one made before; says its length.
fn make(kernel: &mut Kernel, slot: Slot, file: ProcFile) -> Result<u64, Errno> {
    drop_text(kernel, slot);
    for order in first_order(kernel, file)..=LAST_ORDER {
        let first = kernel.mm.alloc_frames(order, Gfp::KERNEL, Owner::Buffer).map_err(|_| Errno::ENOMEM)?;
        let mut sink = FrameSink::new(&kernel.mm.machine, first, 1 << order);
        if render(kernel, file, &mut sink).is_ok() {
            let length = sink.length as u64;
            let open = kernel.open_mut(slot);
            (open.text, open.text_order, open.text_length) = (first.0, order.into(), length);
            return Ok(length);
        }
        kernel.mm.free_frames(first, order).expect("a text's frames are its own");
    }
    Err(Errno::ENOMEM)
}

/// Order of the block of frames that a text is tried in first. One that turns out too long is made again in a larger one.
fn first_order(kernel: &Kernel, file: ProcFile) -> u8 {
    /// Bytes of a line of maps with a path of some length, and of an entry of smaps.
    const LINE: u64 = 120;
    const ENTRY: u64 = 800;
    let vmas = u64::from(kernel.process.space.vmas.count);
    let bytes = match file {
        ProcFile::Maps => vmas * LINE,
        ProcFile::Smaps => vmas * ENTRY,
        ProcFile::Zoneinfo => 2 * PAGE_SIZE,
        _ => PAGE_SIZE,
    };
    let pages = bytes.div_ceil(PAGE_SIZE).next_power_of_two();
    (pages.trailing_zeros() as u8).min(LAST_ORDER)
}
