//! Names that the kernel itself stands behind: `/dev` and `/proc`. They become dentries when a path first leads to them.

use pagelab_mm::errno::Errno;

use super::{
    Slot,
    inode::{Inode, Kind, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, System},
    path::Found,
};
use crate::{proc, process::FIRST_PID, state::Kernel, text::Text};

/// `payload` of a [`Kind::Magic`] link: the program's file.
const EXE: u32 = 1;
/// The working directory.
const CWD: u32 = 2;
/// The root.
const ROOT: u32 = 3;
/// The file of descriptor 0; those of others follow.
const DESCRIPTOR: u32 = 0x1000;
/// `payload` of the directory with the process's descriptors; that of others is their place in [`proc::DIRECTORIES`].
const DESCRIPTORS: u32 = 0x100;

/// A device of `/dev`: name, what it is, major and minor number.
const DEVICES: [(&[u8], Kind, u32, u32); 6] = [
    (b"null", Kind::Null, 1, 3),
    (b"zero", Kind::Zero, 1, 5),
    (b"full", Kind::Full, 1, 7),
    (b"random", Kind::Random, 1, 8),
    (b"urandom", Kind::Random, 1, 9),
    (b"tty", Kind::Tty, 5, 0),
];
/// Links of `/dev`.
const DEVICE_LINKS: [(&[u8], &[u8]); 4] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
];
/// Links of a process's directory that lead straight to what they stand for.
const MAGIC: [(&[u8], u32); 3] = [(b"exe", EXE), (b"cwd", CWD), (b"root", ROOT)];

impl Kernel {
    /// Looks a name up in a directory of `/dev` or `/proc`, and makes its dentry; 0 where there is none.
    pub(super) fn find_special(&mut self, directory: Slot, hash: u32, text: &[u8]) -> Result<Slot, Errno> {
        let place = *self.inode(directory);
        let inode = match (place.system(), place.payload) {
            (System::Dev, _) if self.is_top(directory) => self.device(text)?,
            (System::Proc, DESCRIPTORS) => self.descriptor_link(text),
            (System::Proc, directory) => self.in_proc(directory, text)?,
            _ => None,
        };
        let Some(inode) = inode else { return Ok(0) };
        let slot = self.new_inode(inode)?;
        let dentry = self.add_dentry(directory, hash, text, slot).inspect_err(|_| {
            self.inode_mut(slot).links = 0;
            self.release_unused(slot);
        })?;
        if inode.is_directory() {
            self.inode_mut(directory).links += 1;
        }
        Ok(dentry)
    }

    /// Whether a directory is in the root, so that it is `/dev` itself.
    fn is_top(&self, directory: Slot) -> bool {
        self.dentry(self.inode(directory).dentry).parent == self.fs.root
    }

    fn device(&mut self, text: &[u8]) -> Result<Option<Inode>, Errno> {
        if let Some(&(_, kind, major, minor)) = DEVICES.iter().find(|device| device.0 == text) {
            let mut inode = Inode::new(kind, System::Dev, S_IFCHR | 0o666, 0);
            inode.payload = major << 8 | minor;
            return Ok(Some(inode));
        }
        match DEVICE_LINKS.iter().find(|link| link.0 == text) {
            Some((_, target)) => self.text_link(System::Dev, target).map(Some),
            None => Ok(None),
        }
    }

    fn text_link(&mut self, system: System, target: &[u8]) -> Result<Inode, Errno> {
        let mut inode = Inode::new(Kind::Link, system, S_IFLNK | 0o777, 0);
        inode.payload = super::name::store(self, target)?;
        Ok(inode)
    }

    fn in_proc(&mut self, directory: u32, text: &[u8]) -> Result<Option<Inode>, Errno> {
        let mut digits = Text::<32>::new();
        let pid = digits.format(format_args!("{}", self.process.pid));
        let place = match directory {
            proc::ROOT if text == b"self" => return self.text_link(System::Proc, pid).map(Some),
            proc::ROOT if text == b"thread-self" => {
                let target = digits.format(format_args!("{0}/task/{0}", self.process.pid));
                return self.text_link(System::Proc, target).map(Some);
            }
            proc::ROOT if text == b"mounts" => return self.text_link(System::Proc, b"self/mounts").map(Some),
            proc::ROOT | proc::TASKS if text == pid => Some(proc::Node::Directory(proc::PROCESS)),
            proc::PROCESS if text == b"fd" => Some(proc::Node::Directory(DESCRIPTORS)),
            proc::PROCESS => {
                if let Some(&(_, payload)) = MAGIC.iter().find(|link| link.0 == text) {
                    let mut inode = Inode::new(Kind::Magic, System::Proc, S_IFLNK | 0o777, 0);
                    inode.payload = payload;
                    return Ok(Some(inode));
                }
                proc::find(directory, text)
            }
            _ => proc::find(directory, text),
        };
        Ok(place.map(|place| {
            let (kind, mode, payload) = match place {
                proc::Node::Directory(DESCRIPTORS) => (Kind::Directory, S_IFDIR | 0o500, DESCRIPTORS),
                proc::Node::Directory(payload) => (Kind::Directory, S_IFDIR | 0o555, payload),
                proc::Node::File(payload) => (Kind::Proc, S_IFREG | proc::mode(payload), payload),
            };
            let mut inode = Inode::new(kind, System::Proc, mode, 0);
            inode.payload = payload;
            inode
        }))
    }

    /// The link of a descriptor, while it is open.
    fn descriptor_link(&self, text: &[u8]) -> Option<Inode> {
        let fd = self.descriptor_of(text)?;
        let mut inode = Inode::new(Kind::Magic, System::Proc, S_IFLNK | 0o700, 0);
        inode.payload = DESCRIPTOR + fd as u32;
        Some(inode)
    }

    /// The open descriptor that a name is the number of.
    fn descriptor_of(&self, text: &[u8]) -> Option<u64> {
        let number: u32 = str::from_utf8(text).ok()?.parse().ok()?;
        let canonical = text == b"0" || !text.starts_with(b"0") && !text.starts_with(b"+");
        self.open_slot(u64::from(number)).ok().filter(|_| canonical)?;
        Some(u64::from(number))
    }

    /// Whether a name that has a dentry is there at the moment: those of descriptors come and go.
    pub(crate) fn is_there(&self, directory: Slot, inode: Slot) -> bool {
        let directory = self.inode(directory);
        if directory.system() != System::Proc || directory.payload != DESCRIPTORS || inode == 0 {
            return true;
        }
        self.open_slot(u64::from(self.inode(inode).payload.wrapping_sub(DESCRIPTOR))).is_ok()
    }

    /// Makes a dentry for every name of a directory of `/dev` or `/proc`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn list_special(&mut self, directory: Slot) -> Result<(), Errno> {
        let place = *self.inode(directory);
        match (place.system(), place.payload) {
            (System::Dev, _) if self.is_top(directory) => {
                let mut names = DEVICES.iter().map(|device| device.0).chain(DEVICE_LINKS.iter().map(|link| link.0));
                names.try_for_each(|name| self.find_dentry(directory, name).map(drop))
            }
            (System::Proc, DESCRIPTORS) => {
                let mut next = 0;
                while let Some(fd) = self.process.descriptors.next_open(next) {
                    let mut digits = Text::<32>::new();
                    let name = digits.format(format_args!("{fd}"));
                    self.find_dentry(directory, name)?;
                    next = fd + 1;
                }
                Ok(())
            }
            (System::Proc, inside) => {
                let mut digits = Text::<32>::new();
                let pid: &[u8] = digits.format(format_args!("{FIRST_PID}"));
                let own: &[&[u8]] = match inside {
                    proc::ROOT => &[pid, b"self", b"thread-self", b"mounts"],
                    proc::TASKS => &[pid],
                    proc::PROCESS => &[b"fd", b"exe", b"cwd", b"root"],
                    _ => &[],
                };
                own.iter().try_for_each(|name| self.find_dentry(directory, name).map(drop))?;
                proc::names(inside).try_for_each(|name| self.find_dentry(directory, name).map(drop))
            }
            _ => Ok(()),
        }
    }
}

/// What a link of `/proc` leads to.
///
/// # Errors
/// ENOENT: it is there no more.
pub(crate) fn magic_target(kernel: &Kernel, link: Slot) -> Result<Found, Errno> {
    match kernel.inode(link).payload {
        EXE => Ok(kernel.process.executable),
        CWD => {
            let inode = kernel.process.directory;
            Ok(Found { dentry: kernel.inode(inode).dentry, inode })
        }
        ROOT => Ok(Found { dentry: kernel.inode(kernel.fs.root).dentry, inode: kernel.fs.root }),
        payload => {
            let slot = kernel.open_slot(u64::from(payload.wrapping_sub(DESCRIPTOR))).map_err(|_| Errno::ENOENT)?;
            let open = kernel.open(slot);
            Ok(Found { dentry: open.dentry, inode: open.inode })
        }
    }
}

/// What a link of `/proc` says it leads to, at the end of `to`; says where that begins.
///
/// # Errors
/// ENOENT: it is there no more; ENAMETOOLONG.
pub(crate) fn magic_text(kernel: &Kernel, link: Slot, to: &mut [u8]) -> Result<usize, Errno> {
    path_text(kernel, magic_target(kernel, link)?, to)
}

/// The path of what was found, or what Linux says instead, at the end of `to`; says where that begins.
///
/// # Errors
/// ENAMETOOLONG.
pub(crate) fn path_text(kernel: &Kernel, found: Found, to: &mut [u8]) -> Result<usize, Errno> {
    const DELETED: &[u8] = b" (deleted)";
    let Found { dentry, inode } = found;
    let mut put = |text: &[u8]| {
        let start = to.len() - text.len();
        to[start..].copy_from_slice(text);
        start
    };
    if dentry == 0 {
        let ino = kernel.inode(inode).ino;
        let mut text = Text::<48>::new();
        return Ok(match kernel.inode(inode).kind() {
            Kind::Regular => put(text.format(format_args!("/#{ino} (deleted)"))),
            _ => put(text.format(format_args!("pipe:[{ino}]"))),
        });
    }
    if !kernel.dentry(dentry).is_deleted() {
        return kernel.path_of(dentry, to).ok_or(Errno::ENAMETOOLONG);
    }
    let end = put(DELETED);
    kernel.path_of(dentry, &mut to[..end]).ok_or(Errno::ENAMETOOLONG)
}
