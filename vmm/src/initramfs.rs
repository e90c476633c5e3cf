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
use pagelab_abi::initramfs::IndexEntry;
use pagelab_mm::file::cpio::Archive;
use walkdir::WalkDir;
use zerocopy::IntoBytes;

/// Where the program's standard input is, for the guest kernel.
pub const STDIN_PATH: &str = "/.stdin";
/// The link to the program's working directory, if that is not the root.
pub const DIRECTORY_PATH: &str = "/.cwd";
/// Longest path of a file in the guest, in bytes (PATH_MAX less its NUL).
pub const MAX_PATH: usize = 4095;
/// Longest name in a directory, in bytes (NAME_MAX).
const MAX_NAME: usize = 255;

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
/// Inode number of the root, which is the first entry; the others follow.
const ROOT_INODE: u32 = 4;
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

    /// Whether a directory is at the absolute path `path`, which may lead through links.
    pub fn is_directory(&self, path: &str) -> bool {
        path.starts_with('/') && matches!(self.follow(path), Some(Step::Directory))
    }

    /// The bytes of the file at the absolute path `path`, which may lead through links.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match self.follow(path)? {
            Step::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// What a path leads to when all links are followed.
    fn follow(&self, path: &str) -> Option<Step<'_>> {
        const MAX_LINKS: usize = 40;
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            path = match self.step(&path)? {
                Step::Link(path) => path,
                end => return Some(end),
            };
        }
        None
    }

    /// Walks a path up to its end or the first link.
    fn step(&self, path: &str) -> Option<Step<'_>> {
        let mut at: Vec<&str> = Vec::new();
        let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        while let Some(part) = parts.next() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            match self.entries.get(&at.join("/"))? {
                Entry::Directory { .. } => {}
                Entry::File { bytes, .. } => return parts.next().is_none().then_some(Step::File(bytes)),
                Entry::Link { target } => {
                    at.pop();
                    let target = str::from_utf8(target).ok()?;
                    let base = if target.starts_with('/') { String::new() } else { at.join("/") };
                    let rest: Vec<&str> = parts.collect();
                    return Some(Step::Link(format!("/{base}/{target}/{}", rest.join("/"))));
                }
            }
        }
        Some(Step::Directory)
    }

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

/// Where a walk stops.
enum Step<'a> {
    /// At a directory.
    Directory,
    /// At a file.
    File(&'a [u8]),
    /// At a link, after which the path is this.
    Link(String),
}

/// Bytes of an entry's header.
const HEADER: usize = 110;

/// What the archive calls a path.
fn archive_name(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn too_large(path: &str) -> InitramfsError {
    InitramfsError::Pack { path: format!("/{path}"), source: io::ErrorKind::FileTooLarge.into() }
}

fn problem<T>(path: &str, why: &'static str) -> Result<T, InitramfsError> {
    Err(InitramfsError::Path { path: path.to_owned(), why })
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
    use pagelab_mm::file::cpio as cpio_reader;
    use zerocopy::FromBytes;

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
        let expected = [
            ".",
            "bin",
            "bin-x",
            "bin/hello",
            "dev",
            "dev/shm",
            "etc",
            "etc/deep",
            "etc/deep/er",
            "etc/deep/er/file",
            "proc",
            "tmp",
        ];
        assert_eq!(names, expected);
        assert!(entries.iter().map(|entry| entry.1).eq(4..16));
        assert_eq!(entries[1].2, 0o040_755);
        assert_eq!(entries[3].2, 0o100_755);
        assert_eq!(entries[9].3, b"text");
    }

    #[test]
    fn bad_paths_are_refused() {
        let mut files = Initramfs::default();
        files.add("/bin/hello", &b""[..], 0o755).expect("a file");
        let long = format!("/{}", "x/".repeat(MAX_PATH / 2));
        let long_name = format!("/{}", "x".repeat(MAX_NAME + 1));
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
            &long_name,
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

    /// Looks a path up as the guest does: by the indexes of the directories.
    fn look_up<'a>(archive: &'a [u8], path: &str) -> Option<cpio_reader::Entry<'a>> {
        let mut entry = cpio_reader::Archive::new(archive).next()?;
        for part in path.split('/') {
            let index = <[IndexEntry]>::ref_from_bytes(entry.bytes).expect("an index");
            assert!(index.is_sorted_by_key(|entry| (entry.hash(), entry.place())));
            let hash = pagelab_abi::initramfs::name_hash(part.as_bytes());
            let candidates = index.iter().filter(|entry| entry.hash() == hash);
            entry = candidates
                .filter_map(|entry| cpio_reader::Archive::from(archive, entry.place() as usize).next())
                .find(|entry| entry.name.rsplit(|&byte| byte == b'/').next() == Some(part.as_bytes()))?;
        }
        Some(entry)
    }

    #[test]
    fn every_name_is_found_by_its_directorys_index() {
        let mut files = Initramfs::default();
        for number in 0..2000 {
            files.add(&format!("/many/{}/file-{number}", number % 7), Vec::from([1; 5]), 0o644).expect("a good path");
        }
        files.add_link("/many/link", "3/file-3").expect("a good path");
        let archive = files.pack().expect("an archive");
        for number in 0..2000 {
            let entry = look_up(&archive, &format!("many/{}/file-{number}", number % 7)).expect("it is there");
            assert_eq!((entry.mode, entry.links, entry.bytes), (0o100_644, 1, &[1; 5][..]));
        }
        assert_eq!(look_up(&archive, "many/link").expect("a link").bytes, b"3/file-3");
        assert_eq!(look_up(&archive, "many").expect("a directory").links, 2 + 7);
        assert!(look_up(&archive, "many/0/file-1").is_none());
        assert_eq!(files.file("/many/link"), Some(&[1; 5][..]));
    }

    #[test]
    fn a_hosts_directory_comes_with_all_that_is_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let host = directory.path();
        fs::create_dir_all(host.join("bin/empty")).expect("a directory");
        fs::write(host.join("bin/busybox"), b"program").expect("a file");
        fs::set_permissions(host.join("bin/busybox"), fs::Permissions::from_mode(0o750)).expect("its mode");
        std::os::unix::fs::symlink("busybox", host.join("bin/ls")).expect("a link");
        std::os::unix::fs::symlink("/nowhere", host.join("dangling")).expect("a link");
        let mut files = Initramfs::default();
        files.add_host_directory(host, "/").expect("it can be read");
        files.add_host_directory(&host.join("bin"), "/opt/x").expect("it can be read");
        let archive = files.pack().expect("an archive");
        assert_eq!(
            look_up(&archive, "bin/busybox").map(|entry| (entry.mode, entry.bytes)),
            Some((0o100_750, &b"program"[..]))
        );
        assert_eq!(
            look_up(&archive, "opt/x/ls").map(|entry| (entry.mode, entry.bytes)),
            Some((0o120_777, &b"busybox"[..]))
        );
        assert!(look_up(&archive, "bin/empty").is_some() && look_up(&archive, "dangling").is_some());
        assert_eq!(files.file("/opt/x/../x/ls"), Some(&b"program"[..]));
        assert!(files.file("/dangling").is_none() && files.file("/bin").is_none());
        assert!(files.is_directory("/bin/empty") && files.is_directory("/") && !files.is_directory("/bin/ls"));

        let pipe = std::process::Command::new("mkfifo").arg(host.join("bin/pipe")).status().expect("mkfifo runs");
        assert!(pipe.success());
        let error = Initramfs::default().add_host_directory(host, "/x").expect_err("a pipe");
        assert!(error.to_string().contains("bin/pipe: is not a regular file"), "{error}");
        let error = Initramfs::default().add_host_directory(&host.join("bin/ls"), "/x").expect_err("a file");
        assert!(error.to_string().contains("not a directory"), "{error}");
        let error = Initramfs::default().add_host_directory(&host.join("missing"), "/x").expect_err("nothing");
        assert!(error.to_string().contains("missing: "), "{error}");
    }
}
