//! A reader of cpio archives in the newc format (Linux's Documentation/driver-api/early-userspace/buffer-format.rst),
//! which is what an initramfs is.
//!
//! An entry is a header of 110 ASCII bytes, the name with its NUL, and the file's bytes; name and bytes are padded to
//! multiples of four. Only the fields that are wanted are read: where ring 0 is emulated, a general reader costs more
//! than the rest of the boot.

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
/// Name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Offsets of the fields of eight hexadecimal digits.
const INODE: usize = 6;
const MODE: usize = 14;
const LINKS: usize = 38;
const FILE_SIZE: usize = 54;
const NAME_SIZE: usize = 94;

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Path as it stands in the archive, without the NUL.
    pub name: &'a [u8],
    /// Contents.
    pub bytes: &'a [u8],
    /// File type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Inode number.
    pub inode: u32,
    /// Links to the inode.
    pub links: u32,
    /// Where the contents begin in the archive, in bytes.
    pub start: usize,
}

/// The entries of an archive, up to its trailer or to the first that is damaged.
#[derive(Clone, Copy, Debug)]
pub struct Archive<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Archive<'a> {
    /// An archive that begins with the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Archive { bytes, at: 0 }
    }

    /// The entries from the one whose header begins at `place` on, in bytes.
    pub const fn from(bytes: &'a [u8], place: usize) -> Self {
        Archive { bytes, at: place }
    }
}

impl<'a> Iterator for Archive<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let header = self.bytes.get(self.at..self.at.checked_add(HEADER)?)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let name_start = self.at + HEADER;
        let name_end = name_start.checked_add(field(header, NAME_SIZE)? as usize)?;
        let (_, mut name) = self.bytes.get(name_start..name_end)?.split_last()?;
        // Some packers pad a name with NULs.
        while let [padded @ .., 0] = name {
            name = padded;
        }
        let start = name_end.checked_next_multiple_of(4)?;
        let end = start.checked_add(field(header, FILE_SIZE)? as usize)?;
        let bytes = self.bytes.get(start..end)?;
        if name == TRAILER {
            return None;
        }
        self.at = end.checked_next_multiple_of(4)?;
        let (mode, inode, links) = (field(header, MODE)?, field(header, INODE)?, field(header, LINKS)?);
        Some(Entry { name, bytes, mode, inode, links, start })
    }
}

/// Eight hexadecimal digits, all at once: a byte each of one word.
fn field(header: &[u8], offset: usize) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_be_bytes(*header.get(offset..)?.first_chunk()?);
    // Letters have bit 6 set, digits have not; a letter's low nibble is its value less nine.
    let letters = digits >> 6 & ONES;
    let nibbles = (digits & (0x0f * ONES)) + 9 * letters;
    // Letters stand for ten and more, digits for less: `:` and `@` are neither.
    let tens = (nibbles + 6 * ONES) >> 4 & ONES;
    // Written back in upper case and compared: what is no digit comes out as something else.
    let written = 0x30 * ONES + nibbles + 7 * letters;
    let upper = digits & !(letters << 5);
    if tens != letters || written != upper || nibbles & (0xf0 * ONES) != 0 {
        return None;
    }
    let pairs = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    Some((quads | quads >> 16) as u32)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{format, string::String, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn pack(files: &[(String, Vec<u8>, u32)]) -> Vec<u8> {
        let mut archive = Vec::new();
        let trailer = (String::from("TRAILER!!!"), Vec::new(), 0);
        for (inode, (name, bytes, mode)) in files.iter().chain([&trailer]).enumerate() {
            let (size, name_size) = (bytes.len(), name.len() + 1);
            let fields = [inode as u32, *mode, 0, 0, 1, 0, size as u32, 0, 0, 0, 0, name_size as u32, 0];
            archive.extend_from_slice(MAGIC);
            for field in fields {
                archive.extend_from_slice(format!("{field:08X}").as_bytes());
            }
            archive.extend_from_slice(name.as_bytes());
            archive.push(0);
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend_from_slice(bytes);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
        archive
    }

    #[test]
    fn neighbours_of_digits_are_none() {
        for wrong in ["a0:0Aa0a", "0000000@", "G0000000", "000/0000", "0000`000"] {
            assert_eq!(field(wrong.as_bytes(), 0), None, "{wrong}");
        }
        assert_eq!(field(b"09afAF00", 0), Some(0x09af_af00));
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(
            files in proptest::collection::vec(("[a-z/.]{1,20}", proptest::collection::vec(any::<u8>(), 0..50), any::<u32>()), 0..6)
        ) {
            let archive = pack(&files);
            let read: Vec<_> = Archive::new(&archive).collect();
            prop_assert_eq!(read.len(), files.len());
            for (inode, (entry, (name, bytes, mode))) in read.iter().zip(&files).enumerate() {
                prop_assert_eq!(entry.name, name.as_bytes());
                prop_assert_eq!(entry.bytes, &bytes[..]);
                prop_assert_eq!(entry.mode, *mode);
                prop_assert_eq!(entry.inode, inode as u32);
                prop_assert_eq!(entry.links, 1);
                prop_assert_eq!(&archive[entry.start..entry.start + bytes.len()], &bytes[..]);
            }
        }

        #[test]
        fn damage_never_panics(
            mut archive in Just(pack(&[(String::from("bin/a"), Vec::from([7; 30]), 0o755), (String::from("b"), Vec::new(), 1)])),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
            length in any::<proptest::sample::Index>(),
        ) {
            for (index, byte) in damage {
                let index = index.index(archive.len());
                archive[index] = byte;
            }
            let length = length.index(archive.len() + 1);
            // A trailer whose name is damaged is one more file.
            prop_assert!(Archive::new(&archive[..length]).count() <= 3);
        }

        #[test]
        fn fields_are_what_the_standard_library_reads(text in "[0-9a-fA-Fg-z/:@G-Z`+ -]{8}") {
            let expected = if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                u32::from_str_radix(&text, 16).ok()
            } else {
                None
            };
            prop_assert_eq!(field(text.as_bytes(), 0), expected);
        }
    }
}
