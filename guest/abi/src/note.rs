//! The ELF note by which the host knows, before it starts a kernel, that it speaks this ABI and in which version.

use crate::ABI_VERSION;

/// The note's owner, NUL included.
pub const NAME: [u8; 8] = *b"pagelab\0";
/// The note's type: its descriptor is the kernel's [`ABI_VERSION`], a little-endian `u32`.
pub const TYPE: u32 = 1;

/// The note as it lies in a segment of type PT_NOTE: sizes of name and descriptor, type, name, descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Note {
    name_size: u32,
    descriptor_size: u32,
    kind: u32,
    name: [u8; 8],
    version: u32,
}

impl Note {
    /// The note of a kernel that was built with this crate.
    pub const THIS: Note =
        Note { name_size: NAME.len() as u32, descriptor_size: 4, kind: TYPE, name: NAME, version: ABI_VERSION };
}

const _: () = assert!(size_of::<Note>() == 24);
