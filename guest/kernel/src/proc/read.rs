//! Reading and writing a file of `/proc` that is open: a text is made when a read begins at its start, and kept by the open
//! description for the reads that follow. One that fits into a page is kept in a frame, a longer one in a vmalloc area.

use pagelab_abi::{
    code::Owner,
    layout::{PAGE_OFFSET, PAGE_SIZE},
};
use pagelab_mm::{errno::Errno, frame::Gfp, kernel_space::is_vmalloc_address, machine::Pfn};
use zerocopy::IntoBytes;

use super::{
    ProcFile,
    pagemap::{self, WORD, pagemap},
    render,
    sink::MemorySink,
    store,
    tree::{self, Kind},
};
use crate::{fs::Slot, state::Kernel};

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
            kernel.mm.copy_to_frame(to, at, open.text + from, length - done).expect("the text is mapped");
            length - done
        } else {
            let mut words = [0; WORDS];
            let skipped = (from % WORD) as usize;
            pagemap(kernel, from - skipped as u64, &mut words);
            let bytes = &words.as_bytes()[skipped..];
            let part = (length - done).min(bytes.len());
            kernel.mm.write_frame(to, at, &bytes[..part]);
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
    kernel.mm.read_frame(from, offset, taken);
    store(kernel, file, taken)?;
    Ok(length)
}

/// Forgets the text that an open description has.
pub(crate) fn drop_text(kernel: &mut Kernel, slot: Slot) {
    let text = core::mem::take(&mut kernel.open_mut(slot).text);
    if text != 0 {
        free(kernel, text);
    }
}

/// Makes the text of a file, in place of the one made before; says its length.
fn make(kernel: &mut Kernel, slot: Slot, file: ProcFile) -> Result<u64, Errno> {
    drop_text(kernel, slot);
    let mut size = first_size(kernel, file);
    loop {
        let text = allocate(kernel, size)?;
        let mut sink = MemorySink::new(&kernel.mm.machine, text, size as usize);
        if render(kernel, file, &mut sink).is_ok() {
            let length = sink.length as u64;
            let open = kernel.open_mut(slot);
            (open.text, open.text_length) = (text, length);
            return Ok(length);
        }
        free(kernel, text);
        size *= 2;
    }
}

/// Mapped memory for a text.
fn allocate(kernel: &mut Kernel, size: u64) -> Result<u64, Errno> {
    if size == PAGE_SIZE {
        let frame = kernel.mm.alloc_frame(Gfp::KERNEL, Owner::Buffer).map_err(|_| Errno::ENOMEM)?;
        return Ok(PAGE_OFFSET + frame.address());
    }
    let text = kernel.mm.vmalloc(size).map_err(|_| Errno::ENOMEM)?;
    if kernel.mm.kernel.lazy {
        // Who renders cannot take faults.
        for page in (text..text + size).step_by(PAGE_SIZE as usize) {
            if kernel.mm.write_kernel(page, &[0]).is_err() {
                free(kernel, text);
                return Err(Errno::ENOMEM);
            }
        }
    }
    Ok(text)
}

fn free(kernel: &mut Kernel, text: u64) {
    if is_vmalloc_address(text) {
        kernel.mm.vfree(text).expect("a text's memory is its own");
    } else {
        kernel.mm.free_frames(Pfn::of_address(text - PAGE_OFFSET), 0).expect("a text's memory is its own");
    }
}

/// Bytes that a text is tried in first. One that turns out too long is made again in twice the room.
fn first_size(kernel: &Kernel, file: ProcFile) -> u64 {
    /// Bytes of a line of maps with a path of some length, and of an entry of smaps.
    const LINE: u64 = 120;
    const ENTRY: u64 = 800;
    let vmas = u64::from(kernel.process.space.vmas.count);
    let bytes = match file {
        ProcFile::Maps => vmas * LINE,
        ProcFile::Smaps => vmas * ENTRY,
        ProcFile::Vmallocinfo => u64::from(kernel.mm.area_count()) * LINE,
        ProcFile::Zoneinfo => 2 * PAGE_SIZE,
        _ => PAGE_SIZE,
    };
    bytes.next_multiple_of(PAGE_SIZE).max(PAGE_SIZE)
}
