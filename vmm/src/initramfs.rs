//! The guest's files: a cpio archive (newc format, Linux's Documentation/driver-api/early-userspace/buffer-format.rst)
//! that is the same for the same files, whoever packs it and when.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use cpio::newc;
use pagelab_abi::boot::MAX_FILES;

/// Where the program's standard input is, for the guest kernel.
pub const STDIN_PATH: &str = "/.stdin";
/// Longest path of a file in the guest, in bytes (the boot info holds a program's path in 256 with its NUL).
pub const MAX_PATH: usize = 255;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
/// Inode number of the first entry.
const FIRST_INODE: u32 = 2;

/// Why a file cannot be given to the guest.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The host's file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The host's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("{}: is not a regular file", path.display())]
    NotAFile {
        /// The host's file.
        path: PathBuf,
    },
    /// The path in the guest is no path.
    #[error("{path:?} cannot be a file in the guest: {why}")]
    Path {
        /// Path in the guest.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More files and directories than the guest keeps.
    #[error("{count} files and directories are too many for the guest, which keeps {MAX_FILES}: give fewer")]
    TooMany {
        /// Files and directories, the directories above files included.
        count: usize,
    },
    /// The archive could not be written to memory.
    #[error("cannot pack {path:?}: {source}")]
    Pack {
        /// Path in the guest.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

#[derive(Clone, Debug)]
enum Entry<'a> {
    Directory,
    File { bytes: Cow<'a, [u8]>, mode: u32 },
}

/// Files on their way into the guest. Directories above a file are made for it.
#[derive(Clone, Debug, Default)]
pub struct Initramfs<'a> {
    /// By path without the leading slash, so that a directory comes before what is in it.
    entries: BTreeMap<String, Entry<'a>>,
}

impl<'a> Initramfs<'a> {
    /// Adds a file at the absolute path `path`, with permission bits `mode`.
    pub fn add(&mut self, path: &str, bytes: impl Into<Cow<'a, [u8]>>, mode: u32) -> Result<(), InitramfsError> {
        let problem = |why| Err(InitramfsError::Path { path: path.to_owned(), why });
        let Some(relative) = path.strip_prefix('/') else { return problem("it does not begin with a slash") };
        if path.len() > MAX_PATH {
            return problem("it is longer than 255 bytes");
        }
        if path.contains('\0') {
            return problem("it has a NUL in it");
        }
        if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return problem("its parts must be names, not empty, `.` or `..`");
        }
        for (end, _) in relative.match_indices('/') {
            let parent = &relative[..end];
            if let Entry::File { .. } = self.entries.entry(parent.to_owned()).or_insert(Entry::Directory) {
                return problem("a part of it is a file already");
            }
        }
        if self.entries.contains_key(relative) {
            return problem("it is there already");
        }
        self.entries.insert(relative.to_owned(), Entry::File { bytes: bytes.into(), mode: mode & 0o7777 });
        Ok(())
    }

    /// Adds the host's file `host` at the absolute path `guest`, with its permission bits.
    pub fn add_host_file(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        let (bytes, mode) = read_host_file(host)?;
        self.add(guest, bytes, mode)
    }

    /// The archive. Inode numbers follow from the order, owners and times are zero.
    pub fn pack(&self) -> Result<Vec<u8>, InitramfsError> {
        if self.entries.len() > MAX_FILES {
            return Err(InitramfsError::TooMany { count: self.entries.len() });
        }
        let mut archive = Vec::new();
        for (inode, (path, entry)) in (FIRST_INODE..).zip(&self.entries) {
            let problem = |source| InitramfsError::Pack { path: format!("/{path}"), source };
            let (mode, links, bytes): (u32, u32, &[u8]) = match entry {
                Entry::Directory => (S_IFDIR | 0o755, 2, &[]),
                Entry::File { bytes, mode } => (S_IFREG | mode, 1, bytes),
            };
            let length = u32::try_from(bytes.len()).map_err(|_| problem(io::ErrorKind::FileTooLarge.into()))?;
            let header = newc::Builder::new(path).ino(inode).mode(mode).nlink(links);
            let mut writer = header.write(&mut archive, length);
            writer.write_all(bytes).map_err(problem)?;
            writer.finish().map_err(problem)?;
        }
        newc::trailer(&mut archive)
            .map_err(|source| InitramfsError::Pack { path: "the trailer".to_owned(), source })?;
        Ok(archive)
    }
}

/// Reads a regular file of the host: its bytes and its permission bits.
pub fn read_host_file(path: &Path) -> Result<(Vec<u8>, u32), InitramfsError> {
    let problem = |source| InitramfsError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(problem)?;
    if !metadata.is_file() {
        return Err(InitramfsError::NotAFile { path: path.to_owned() });
    }
    Ok((fs::read(path).map_err(problem)?, metadata.permissions().mode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, inode number, mode and bytes of every entry.
    fn unpack(archive: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut rest = archive;
        loop {
            let mut reader = newc::Reader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                return entries;
            }
            let mut bytes = Vec::new();
            io::copy(&mut reader, &mut bytes).expect("its bytes");
            let entry = reader.entry();
            assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0));
            entries.push((entry.name().to_owned(), entry.ino(), entry.mode(), bytes));
            rest = reader.finish().expect("the next entry");
        }
    }

    #[test]
    fn more_files_than_the_guest_keeps_are_refused() {
        let mut files = Initramfs::default();
        for number in 0..MAX_FILES {
            files.add(&format!("/{number}"), Vec::new(), 0o644).expect("a good path");
        }
        files.pack().expect("as many as fit");
        files.add("/more", Vec::new(), 0o644).expect("a good path");
        assert!(matches!(files.pack(), Err(InitramfsError::TooMany { count: 257 })));
    }

    #[test]
    fn parents_come_first_and_the_order_of_adding_does_not_matter() {
        let files = [("/bin/hello", "program", 0o755), ("/etc/deep/er/file", "text", 0o640), ("/bin-x", "x", 0o600)];
        let mut forth = Initramfs::default();
        let mut back = Initramfs::default();
        for (path, bytes, mode) in files {
            forth.add(path, bytes.as_bytes(), mode).expect(path);
        }
        for (path, bytes, mode) in files.into_iter().rev() {
            back.add(path, bytes.as_bytes(), mode).expect(path);
        }
        let archive = forth.pack().expect("an archive");
        assert_eq!(archive, back.pack().expect("an archive"));
        let entries = unpack(&archive);
        let names: Vec<&str> = entries.iter().map(|entry| &*entry.0).collect();
        assert_eq!(names, ["bin", "bin-x", "bin/hello", "etc", "etc/deep", "etc/deep/er", "etc/deep/er/file"]);
        assert!(entries.iter().map(|entry| entry.1).eq(2..9));
        assert_eq!(entries[0].2, 0o040_755);
        assert_eq!(entries[2].2, 0o100_755);
        assert_eq!(entries[6].3, b"text");
    }

    #[test]
    fn bad_paths_are_refused() {
        let mut files = Initramfs::default();
        files.add("/bin/hello", &b""[..], 0o755).expect("a file");
        let long = format!("/{}", "x".repeat(MAX_PATH));
        for path in [
            "bin/x",
            "/",
            "",
            "/bin//x",
            "/bin/../x",
            "/./x",
            "/bin/",
            "/bin/hello",
            "/bin/hello/x",
            "/bin",
            "/a\0b",
            &long,
        ] {
            let error = files.add(path, &b""[..], 0o644).expect_err(path);
            assert!(matches!(error, InitramfsError::Path { .. }), "{error}");
        }
    }

    #[test]
    fn problems_with_host_files_name_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing");
        let mut files = Initramfs::default();
        let error = files.add_host_file(&missing, "/x").expect_err("missing");
        assert!(error.to_string().contains("missing: No such file"), "{error}");
        let error = files.add_host_file(directory.path(), "/x").expect_err("a directory");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
