//! The files of the initramfs, and where their bytes lie.

use pagelab_mm::{
    context::Context,
    file::{FileId, cpio::Archive},
};

use crate::{machine::KernelMachine, take_once::TakeOnce, trace::Tracer};

/// Files an initramfs may hold.
const MAX_FILES: usize = 256;
/// String ids of files start here, above the names that `abi::name` reserves.
const FIRST_NAME: u32 = 0x1000;
/// The file that the VMM puts the program's standard input in.
const STDIN: &[u8] = b".stdin";

static ENTRIES: TakeOnce<[FileEntry; MAX_FILES]> = TakeOnce::new([FileEntry::EMPTY; MAX_FILES]);

/// One file.
#[derive(Clone, Copy)]
pub(crate) struct FileEntry {
    /// Path without the leading slash.
    pub(crate) path: &'static [u8],
    /// Contents.
    pub(crate) bytes: &'static [u8],
    /// File type and permission bits, as in `st_mode`.
    pub(crate) mode: u32,
    /// Inode number.
    pub(crate) inode: u64,
    /// String id of its path.
    pub(crate) name: u32,
}

impl FileEntry {
    const EMPTY: FileEntry = FileEntry { path: &[], bytes: &[], mode: 0, inode: 0, name: 0 };
}

/// The initramfs.
pub(crate) struct Files {
    entries: &'static mut [FileEntry; MAX_FILES],
    count: usize,
    /// Guest-physical address of the byte at which `bytes` of an entry would have address `base_virt`.
    base: u64,
    base_virt: u64,
}

impl Files {
    /// Lists a cpio archive (newc) that lies in RAM. What cannot be read ends the list.
    pub(crate) fn from_initramfs(mm: &Context<KernelMachine, Tracer>, start: u64, size: u64) -> Files {
        let archive = mm.machine.bytes(start, size as usize);
        let mut files = Files { entries: ENTRIES.take(), count: 0, base: start, base_virt: archive.as_ptr() as u64 };
        for entry in Archive::new(archive).take(MAX_FILES) {
            let path = entry.name.strip_prefix(b"./").unwrap_or(entry.name);
            let name = FIRST_NAME + files.count as u32;
            files.entries[files.count] =
                FileEntry { path, bytes: entry.bytes, mode: entry.mode, inode: u64::from(entry.inode), name };
            files.count += 1;
        }
        files
    }

    /// The file at an absolute path (or one relative to the root).
    pub(crate) fn find(&self, path: &[u8]) -> Option<&FileEntry> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        self.entries[..self.count].iter().find(|entry| entry.path == path)
    }

    /// What the program reads from standard input; empty if nothing was given.
    pub(crate) fn stdin(&self) -> &'static [u8] {
        self.find(STDIN).map_or(&[], |entry| entry.bytes)
    }

    /// Makes a file known to memory management, so that it can be mapped.
    pub(crate) fn register(
        &self,
        mm: &mut Context<KernelMachine, Tracer>,
        entry: &FileEntry,
    ) -> Result<FileId, pagelab_mm::frame::OutOfMemory> {
        mm.trace.string(entry.name, &[b"/", entry.path]);
        let address = entry.bytes.as_ptr() as u64 - self.base_virt + self.base;
        mm.add_file(address, entry.bytes.len() as u64, entry.name, entry.inode)
    }
}
