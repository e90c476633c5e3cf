//! The guest's files: a cpio archive (newc format, Linux's Documentation/driver-api/early-userspace/buffer-format.rst)
//! that is the same for the same files, whoever packs it and when.

mod look_up;
mod pack;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub use pack::file_in_archive;
use walkdir::WalkDir;

/// Where the program's standard input is, for the guest kernel.
pub const STDIN_PATH: &str = "/.stdin";
/// The link to the program's working directory, if that is not the root.
pub const DIRECTORY_PATH: &str = "/.cwd";
/// Longest path of a file in the guest, in bytes (PATH_MAX less its NUL).
pub const MAX_PATH: usize = 4095;
/// Longest name in a directory, in bytes (NAME_MAX).
const MAX_NAME: usize = 255;

/// Directories that every guest has: where its kernel puts its own file systems. The second value are permission bits.
const MOUNT_POINTS: [(&str, u32); 4] = [("dev", 0o755), ("dev/shm", 0o1777), ("proc", 0o555), ("tmp", 0o1777)];

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
    /// A directory was asked for.
    #[error("{}: is not a directory; --file puts a single file into the guest", path.display())]
    NotADirectory {
        /// The host's file.
        path: PathBuf,
    },
    /// A name that is not text.
    #[error("{}: its name is not UTF-8, which names in the guest must be", path.display())]
    Name {
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
    Directory { mode: u32 },
    File { bytes: Cow<'a, [u8]>, mode: u32 },
    Link { target: Vec<u8> },
}

/// Files on their way into the guest. Directories above a file are made for it.
#[derive(Clone, Debug)]
pub struct Initramfs<'a> {
    /// By path without the leading slash, so that a directory comes before what is in it.
    entries: BTreeMap<String, Entry<'a>>,
}

impl Default for Initramfs<'_> {
    fn default() -> Self {
        let directory = |(path, mode): (&str, u32)| (path.to_owned(), Entry::Directory { mode });
        Initramfs { entries: MOUNT_POINTS.map(directory).into() }
    }
}

impl<'a> Initramfs<'a> {
    /// Adds a file at the absolute path `path`, with permission bits `mode`.
    ///
    /// # Errors
    /// The path is none that a file can have, or taken.
    pub fn add(&mut self, path: &str, bytes: impl Into<Cow<'a, [u8]>>, mode: u32) -> Result<(), InitramfsError> {
        self.insert(path, Entry::File { bytes: bytes.into(), mode: mode & 0o7777 })
    }

    /// Adds a symbolic link at the absolute path `path`.
    ///
    /// # Errors
    /// As for [`Initramfs::add`].
    pub fn add_link(&mut self, path: &str, target: impl Into<Vec<u8>>) -> Result<(), InitramfsError> {
        self.insert(path, Entry::Link { target: target.into() })
    }

    /// Adds a directory at the absolute path `path`; one that is there gets its permission bits.
    ///
    /// # Errors
    /// As for [`Initramfs::add`]; a file is there.
    pub fn add_directory(&mut self, path: &str, mode: u32) -> Result<(), InitramfsError> {
        self.insert(path, Entry::Directory { mode: mode & 0o7777 })
    }

    fn insert(&mut self, path: &str, entry: Entry<'a>) -> Result<(), InitramfsError> {
        let relative = self.checked(path)?;
        for (end, _) in relative.match_indices('/') {
            let parent = self.entries.entry(relative[..end].to_owned()).or_insert(Entry::Directory { mode: 0o755 });
            if !matches!(parent, Entry::Directory { .. }) {
                return problem(path, "a part of it is a file already");
            }
        }
        match (self.entries.get_mut(relative), entry) {
            (None, entry) => {
                self.entries.insert(relative.to_owned(), entry);
            }
            (Some(Entry::Directory { mode: old }), Entry::Directory { mode }) => *old = mode,
            (Some(_), _) => return problem(path, "it is there already"),
        }
        Ok(())
    }

    /// The path without its leading slash, if a file can have it.
    fn checked<'p>(&self, path: &'p str) -> Result<&'p str, InitramfsError> {
        let Some(relative) = path.strip_prefix('/') else { return problem(path, "it does not begin with a slash") };
        if path.len() > MAX_PATH {
            return problem(path, "it is longer than 4095 bytes");
        }
        if path.contains('\0') {
            return problem(path, "it has a NUL in it");
        }
        if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return problem(path, "its parts must be names, not empty, `.` or `..`");
        }
        if relative.split('/').any(|part| part.len() > MAX_NAME) {
            return problem(path, "a part of it is longer than 255 bytes");
        }
        Ok(relative)
    }

    /// Adds the host's file `host` at the absolute path `guest`, with its permission bits.
    ///
    /// # Errors
    /// The file cannot be read or is no regular file; as for [`Initramfs::add`].
    pub fn add_host_file(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        let (bytes, mode) = read_host_file(host)?;
        self.add(guest, bytes, mode)
    }

    /// Adds the host's directory `host`, with all that is in it, at the absolute path `guest`, which may be `/`. Symbolic
    /// links stay links; permission bits are kept.
    ///
    /// # Errors
    /// Something cannot be read, or is neither file, directory nor link; as for [`Initramfs::add`].
    pub fn add_host_directory(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        for found in WalkDir::new(host).follow_root_links(true).sort_by_file_name() {
            let found = found.map_err(|error| {
                let path = error.path().unwrap_or(host).to_owned();
                InitramfsError::Read { path, source: error.into() }
            })?;
            let read = |source| InitramfsError::Read { path: found.path().to_owned(), source };
            let inside = found.path().strip_prefix(host).unwrap_or(Path::new(""));
            let inside = inside.to_str().ok_or_else(|| InitramfsError::Name { path: found.path().to_owned() })?;
            let guest = guest.trim_end_matches('/');
            let path = if inside.is_empty() { guest.to_owned() } else { format!("{guest}/{inside}") };
            let kind =
                if found.depth() == 0 { fs::metadata(host).map_err(read)?.file_type() } else { found.file_type() };
            if kind.is_dir() {
                let mode = fs::metadata(found.path()).map_err(read)?.permissions().mode();
                if !path.is_empty() {
                    self.add_directory(&path, mode)?;
                }
            } else if kind.is_symlink() {
                let target = fs::read_link(found.path()).map_err(read)?;
                self.add_link(&path, target.into_os_string().into_encoded_bytes())?;
            } else if found.depth() == 0 {
                return Err(InitramfsError::NotADirectory { path: host.to_owned() });
            } else {
                self.add_host_file(found.path(), &path)?;
            }
        }
        Ok(())
    }
}

fn problem<T>(path: &str, why: &'static str) -> Result<T, InitramfsError> {
    Err(InitramfsError::Path { path: path.to_owned(), why })
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
mod tests;
