//! The tree as a cpio archive, and an archive as a tree again.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
};

use cpio::newc;
use pagelab_abi::initramfs::IndexEntry;
use pagelab_mm::file::cpio::Archive;
use zerocopy::IntoBytes;

use super::{Entry, Initramfs, InitramfsError};

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
/// Inode number of the root, which is the first entry; the others follow.
const ROOT_INODE: u32 = 4;
/// Bytes of an entry's header.
const HEADER: usize = 110;

impl Initramfs<'_> {
    /// The archive, as `pagelab_abi::initramfs` lays it out. Inode numbers follow from the order, owners and times are zero.
    ///
    /// # Errors
    /// It is larger than an archive can be.
    pub fn pack(&self) -> Result<Vec<u8>, InitramfsError> {
        let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in self.entries.keys() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            children.entry(parent).or_default().push(name);
        }
        let root = Entry::Directory { mode: 0o755 };
        let all = || std::iter::once(("", &root)).chain(self.entries.iter().map(|(path, entry)| (&**path, entry)));
        // Where each header will be: the indexes of directories say so.
        let mut places = BTreeMap::new();
        let mut place = 0;
        for (path, entry) in all() {
            places.insert(path, u32::try_from(place).map_err(|_| too_large(path))?);
            let length = match entry {
                Entry::Directory { .. } => children.get(path).map_or(0, Vec::len) * size_of::<IndexEntry>(),
                Entry::File { bytes, .. } => bytes.len(),
                Entry::Link { target } => target.len(),
            };
            let name = archive_name(path).len() + 1;
            place += (HEADER + name).next_multiple_of(4) + length.next_multiple_of(4);
        }
        let mut archive = Vec::with_capacity(place + HEADER);
        for (inode, (path, entry)) in (ROOT_INODE..).zip(all()) {
            let names = children.get(path).map_or(&[][..], Vec::as_slice);
            let index;
            let (mode, links, bytes): (u32, usize, &[u8]) = match entry {
                Entry::Directory { mode } => {
                    let path_of = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                    let place = |name: &&str| IndexEntry::new(name.as_bytes(), places[&*path_of(name)]);
                    let mut entries: Vec<IndexEntry> = names.iter().map(place).collect();
                    entries.sort_by_key(|entry| (entry.hash(), entry.place()));
                    index = entries;
                    let is_directory = |name: &&&str| matches!(self.entries[&path_of(name)], Entry::Directory { .. });
                    (S_IFDIR | mode, 2 + names.iter().filter(is_directory).count(), index.as_bytes())
                }
                Entry::File { bytes, mode } => (S_IFREG | mode, 1, bytes),
                Entry::Link { target } => (S_IFLNK | 0o777, 1, target),
            };
            let length = u32::try_from(bytes.len()).map_err(|_| too_large(path))?;
            let header = newc::Builder::new(archive_name(path)).ino(inode).mode(mode).nlink(links as u32);
            let problem = |source| InitramfsError::Pack { path: format!("/{path}"), source };
            let mut writer = header.write(&mut archive, length);
            writer.write_all(bytes).map_err(problem)?;
            writer.finish().map_err(problem)?;
        }
        newc::trailer(&mut archive)
            .map_err(|source| InitramfsError::Pack { path: "the trailer".to_owned(), source })?;
        Ok(archive)
    }
}

/// What the archive calls a path.
fn archive_name(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn too_large(path: &str) -> InitramfsError {
    InitramfsError::Pack { path: format!("/{path}"), source: io::ErrorKind::FileTooLarge.into() }
}

/// The bytes of the file at an absolute path in an archive; the path may lead through links.
pub fn file_in_archive(archive: &[u8], path: &str) -> Option<Vec<u8>> {
    let mut entries = BTreeMap::new();
    for entry in Archive::new(archive) {
        let Ok(name) = str::from_utf8(entry.name) else { continue };
        let kept = match entry.mode & S_IFMT {
            S_IFDIR => Entry::Directory { mode: entry.mode },
            S_IFLNK => Entry::Link { target: entry.bytes.to_vec() },
            _ => Entry::File { bytes: Cow::Borrowed(entry.bytes), mode: entry.mode },
        };
        entries.insert(name.to_owned(), kept);
    }
    Initramfs { entries }.file(path).map(<[u8]>::to_vec)
}
