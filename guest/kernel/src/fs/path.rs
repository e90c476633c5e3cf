//! Walking paths: from a text of the program to a dentry and an inode.

use pagelab_mm::errno::Errno;

use super::{Slot, inode::Kind, name};
use crate::{state::Kernel, take_once::TakeOnce, user_copy};

/// Longest path, its NUL included.
pub(crate) const PATH_MAX: usize = 4096;
/// Longest name in a directory.
pub(crate) const NAME_MAX: usize = 255;
/// Links followed on one walk.
const MAX_LINKS: u32 = 40;
/// A path, and room before it for the targets of links.
const BUFFER: usize = 2 * PATH_MAX;
/// Paths of one system call.
const PATHS: usize = 2;

static BUFFERS: TakeOnce<[[u8; BUFFER]; PATHS]> = TakeOnce::new([[0; BUFFER]; PATHS]);

/// Where paths of a system call are kept.
pub(crate) struct PathBuffers([Option<&'static mut [u8; BUFFER]>; PATHS]);

impl PathBuffers {
    pub(super) fn new() -> PathBuffers {
        PathBuffers(BUFFERS.take().each_mut().map(Some))
    }
}

/// A path that is being walked. What was not walked yet is `at..end`.
pub(crate) struct Path {
    buffer: &'static mut [u8; BUFFER],
    at: usize,
    end: usize,
}

impl Path {
    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.at..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn is_at_slash(&self) -> bool {
        self.at < self.end && self.buffer[self.at] == b'/'
    }

    fn skip_slashes(&mut self) {
        while self.is_at_slash() {
            self.at += 1;
        }
    }

    /// Puts a link's target before what is left.
    fn prepend(&mut self, target: &[u8]) -> Result<(), Errno> {
        self.at = self.at.checked_sub(target.len()).ok_or(Errno::ENAMETOOLONG)?;
        self.buffer[self.at..self.at + target.len()].copy_from_slice(target);
        Ok(())
    }
}

/// What a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Its dentry; 0 for what has no name, such as a pipe reached through `/proc/self/fd`.
    pub(crate) dentry: Slot,
    pub(crate) inode: Slot,
}

/// What the last part of a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Last {
    /// A name.
    Name,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: the path is made of slashes.
    Root,
}

/// Where a walk ended.
pub(crate) struct Walked {
    /// The directory (an inode slot) that the last name is in.
    pub(crate) directory: Slot,
    pub(crate) last: Last,
    /// The last name.
    pub(crate) name: Name,
    /// A slash follows the last name.
    pub(crate) trailing_slash: bool,
    /// What is there; `None` if nothing is.
    pub(crate) found: Option<Found>,
}

impl Walked {
    /// What is there.
    pub(crate) fn existing(&self) -> Result<Found, Errno> {
        self.found.ok_or(Errno::ENOENT)
    }
}

/// A name, copied.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; NAME_MAX],
    length: u8,
}

impl Name {
    fn new(text: &[u8]) -> Name {
        let mut bytes = [0; NAME_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Name { bytes, length: text.len() as u8 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Reads a path of the program, and does something with it. An empty one is ENOENT.
pub(crate) fn with<R>(
    kernel: &mut Kernel,
    address: u64,
    act: impl FnOnce(&mut Kernel, &mut Path) -> Result<R, Errno>,
) -> Result<R, Errno> {
    with_any(kernel, address, |kernel, path| if path.is_empty() { Err(Errno::ENOENT) } else { act(kernel, path) })
}

/// Reads a path of the program, which may be empty, and does something with it.
pub(crate) fn with_any<R>(
    kernel: &mut Kernel,
    address: u64,
    act: impl FnOnce(&mut Kernel, &mut Path) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let place = kernel.fs.paths.0.iter().position(Option::is_some).expect("a system call has two paths at most");
    let buffer = kernel.fs.paths.0[place].take().expect("it was there");
    let mut path = Path { buffer, at: PATH_MAX, end: PATH_MAX };
    let outcome = user_copy::string(kernel, address, &mut path.buffer[PATH_MAX..]).and_then(|length| {
        path.end += length;
        act(kernel, &mut path)
    });
    kernel.fs.paths.0[place] = Some(path.buffer);
    outcome
}

/// Walks a path of the kernel's own.
pub(crate) fn walk_text(kernel: &mut Kernel, text: &[u8]) -> Result<Found, Errno> {
    let place = kernel.fs.paths.0.iter().position(Option::is_some).expect("no system call is under way");
    let buffer = kernel.fs.paths.0[place].take().expect("it was there");
    let mut path = Path { buffer, at: BUFFER - text.len(), end: BUFFER };
    path.buffer[BUFFER - text.len()..].copy_from_slice(text);
    let root = kernel.fs.root;
    let walked = walk(kernel, root, &mut path, true);
    kernel.fs.paths.0[place] = Some(path.buffer);
    walked?.existing()
}

/// Walks a path from the directory `start` (an inode slot), or from the root if it begins with a slash. `follow` says
/// whether a link at the end is followed; one with a slash behind it always is.
///
/// # Errors
/// ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG; ENOMEM.
pub(crate) fn walk(kernel: &mut Kernel, start: Slot, path: &mut Path, follow: bool) -> Result<Walked, Errno> {
    let mut directory = if path.is_at_slash() { kernel.fs.root } else { start };
    let mut links = 0;
    loop {
        path.skip_slashes();
        let length = path.text().iter().position(|&byte| byte == b'/').unwrap_or(path.text().len());
        if length > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let (from, to) = (path.at, path.at + length);
        path.at = to;
        let trailing_slash = path.is_at_slash();
        let mut rest = to;
        while rest < path.end && path.buffer[rest] == b'/' {
            rest += 1;
        }
        let is_last = rest == path.end;
        if !kernel.inode(directory).is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let here = Found { dentry: kernel.inode(directory).dentry, inode: directory };
        let (last, found) = match &path.buffer[from..to] {
            b"" => (Last::Root, Some(here)),
            b"." => (Last::Dot, Some(here)),
            b".." => {
                let inode = kernel.dentry(here.dentry).parent;
                (Last::DotDot, Some(Found { dentry: kernel.inode(inode).dentry, inode }))
            }
            text => (Last::Name, look_up(kernel, directory, text)?),
        };
        let Some(mut found) = found else {
            if is_last {
                let name = Name::new(&path.buffer[from..to]);
                return Ok(Walked { directory, last, name, trailing_slash, found: None });
            }
            return Err(Errno::ENOENT);
        };
        if kernel.inode(found.inode).is_link() && (!is_last || follow || trailing_slash) {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP);
            }
            if kernel.inode(found.inode).kind() == Kind::Link {
                let mut target = [0; PATH_MAX];
                let length = link_target(kernel, found.inode, &mut target);
                path.prepend(&target[..length])?;
                if path.is_at_slash() {
                    directory = kernel.fs.root;
                }
                continue;
            }
            found = super::special::magic_target(kernel, found.inode)?;
        }
        let is_directory = kernel.inode(found.inode).is_directory();
        if is_last {
            if trailing_slash && !is_directory {
                return Err(Errno::ENOTDIR);
            }
            let name = Name::new(&path.buffer[from..to]);
            return Ok(Walked { directory, last, name, trailing_slash, found: Some(found) });
        }
        if !is_directory {
            return Err(Errno::ENOTDIR);
        }
        directory = found.inode;
    }
}

/// A name in a directory.
fn look_up(kernel: &mut Kernel, directory: Slot, text: &[u8]) -> Result<Option<Found>, Errno> {
    let dentry = kernel.find_dentry(directory, text)?;
    if dentry == 0 {
        return Ok(None);
    }
    let inode = kernel.dentry(dentry).inode;
    Ok((inode != 0).then_some(Found { dentry, inode }))
}

/// Copies the target of a symbolic link; says its length.
pub(crate) fn link_target(kernel: &Kernel, inode: Slot, to: &mut [u8]) -> usize {
    match kernel.inode(inode).payload {
        0 => {
            let target = kernel.archived(inode);
            let length = target.len().min(to.len());
            to[..length].copy_from_slice(&target[..length]);
            length
        }
        text => name::load(kernel, text, to),
    }
}
