//! Paths of mapped files: each gets a string id when it is first mapped, which events and `/proc/PID/maps` name it by.

use pagelab_abi::{layout::PAGE_SIZE, name};
use pagelab_mm::{errno::Errno, file::FileId};

use super::{Slot, contents, name as text, path::Found};
use crate::state::Kernel;

/// String ids of files start here, above the names that `abi::name` reserves.
const FIRST_NAME: u32 = 0x1000;
/// Files that get an id of their own; what is mapped beyond goes without a name.
const MAX: usize = 1024;

/// The paths, in the order of their ids.
pub(crate) struct MappedNames {
    texts: &'static mut [Slot; MAX],
    count: usize,
}

static TEXTS: crate::take_once::TakeOnce<[Slot; MAX]> = crate::take_once::TakeOnce::new([0; MAX]);

impl MappedNames {
    pub(super) fn new() -> MappedNames {
        MappedNames { texts: TEXTS.take(), count: 0 }
    }
}

/// What memory management calls a regular file, with a name for its mappings.
///
/// # Errors
/// ENOMEM.
pub(crate) fn file(kernel: &mut Kernel, found: Found) -> Result<FileId, Errno> {
    let id = contents::file(kernel, found.inode)?;
    if kernel.mm.file(id).name == 0 && kernel.fs.mapped.count < MAX {
        let mut buffer = [0; PAGE_SIZE as usize];
        let start = super::special::path_text(kernel, found, &mut buffer).unwrap_or(buffer.len());
        let slot = text::store(kernel, &buffer[start..])?;
        let place = kernel.fs.mapped.count;
        kernel.fs.mapped.texts[place] = slot;
        kernel.fs.mapped.count += 1;
        let id_of_name = FIRST_NAME + place as u32;
        kernel.mm.trace.string(id_of_name, &[&buffer[start..]]);
        kernel.mm.name_file(id, id_of_name);
    }
    Ok(id)
}

/// Copies the text behind the string id of a mapping: a file's path as it was when it was first mapped. Says its length;
/// 0 for an id without a text.
pub(crate) fn name_of(kernel: &Kernel, id: u32, to: &mut [u8]) -> usize {
    if let Some((_, reserved)) = name::RESERVED.iter().find(|(reserved, _)| *reserved == id) {
        let length = reserved.len().min(to.len());
        to[..length].copy_from_slice(&reserved.as_bytes()[..length]);
        return length;
    }
    let place = id.checked_sub(FIRST_NAME).map(|place| place as usize);
    match place.and_then(|place| kernel.fs.mapped.texts[..kernel.fs.mapped.count].get(place)) {
        Some(&slot) => text::load(kernel, slot, to),
        None => 0,
    }
}
