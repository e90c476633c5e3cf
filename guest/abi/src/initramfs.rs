//! How the initramfs is laid out, beyond what every cpio archive has: each directory carries an index of what is in it,
//! so that the guest reads only the entries it needs, and its start costs nothing for each file.
//!
//! The archive is an ordinary newc archive of which the first entry is the root directory, named `.`. The contents of a
//! directory's entry are [`IndexEntry`]s, sorted by hash, then by place; other readers of cpio archives pass them over.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// One name in a directory.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
pub struct IndexEntry {
    /// [`name_hash`] of the name, little-endian.
    pub hash: [u8; 4],
    /// Where the name's header begins in the archive, in bytes, little-endian.
    pub place: [u8; 4],
}

impl IndexEntry {
    /// An entry for the name whose header is at `place`.
    pub const fn new(name: &[u8], place: u32) -> IndexEntry {
        IndexEntry { hash: name_hash(name).to_le_bytes(), place: place.to_le_bytes() }
    }

    /// The name's hash.
    #[inline]
    pub const fn hash(&self) -> u32 {
        u32::from_le_bytes(self.hash)
    }

    /// Where the name's header is.
    #[inline]
    pub const fn place(&self) -> u32 {
        u32::from_le_bytes(self.place)
    }
}

/// The hash that directories are searched by: eight bytes at a time, for the guest's sake.
#[inline]
pub const fn name_hash(name: &[u8]) -> u32 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = name.as_chunks::<8>();
    let mut hash = name.len() as u64;
    let mut index = 0;
    while index < words.len() {
        hash = (hash ^ u64::from_le_bytes(words[index])).wrapping_mul(MULTIPLIER).rotate_left(29);
        index += 1;
    }
    let mut last = 0;
    let mut index = rest.len();
    while index > 0 {
        index -= 1;
        last = last << 8 | rest[index] as u64;
    }
    // The length, already in `hash`, must not meet the bytes in the same bits.
    let mixed = (hash.wrapping_mul(MULTIPLIER).rotate_left(29) ^ last).wrapping_mul(MULTIPLIER);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_little_have_different_hashes() {
        let names: [&[u8]; 8] = [b"", b"a", b"a\0", b"b", b"12345678", b"123456780", b"a name of some length", b"ab"];
        for (index, name) in names.iter().enumerate() {
            for other in &names[..index] {
                assert_ne!(name_hash(name), name_hash(other), "{name:?} {other:?}");
            }
        }
    }

    #[test]
    fn entries_have_no_padding() {
        let entry = IndexEntry::new(b"x", 0x1234_5678);
        assert_eq!((entry.hash(), entry.place()), (name_hash(b"x"), 0x1234_5678));
        assert_eq!(entry.as_bytes()[4..], [0x78, 0x56, 0x34, 0x12]);
    }
}
