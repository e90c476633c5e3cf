//! The files of the initramfs, and where their bytes lie.

use pagelab_abi::{boot::MAX_FILES, name};
use pagelab_mm::{
    context::Context,
    file::{FileId, FileSpec, cpio::Archive},
    frame::OutOfMemory,
};

use crate::{machine::KernelMachine, open_files::What, take_once::TakeOnce, trace::Tracer};

/// File type bits of `st_mode`.
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
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
    /// What memory management calls it, once it was mapped.
    id: Option<FileId>,
}

impl FileEntry {
    const EMPTY: FileEntry = FileEntry { path: &[], bytes: &[], mode: 0, inode: 0, name: 0, id: None };

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }
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
                FileEntry { path, bytes: entry.bytes, mode: entry.mode, inode: u64::from(entry.inode), name, id: None };
            files.count += 1;
        }
        files
    }

    /// Index of the file at an absolute path (or one relative to the root).
    pub(crate) fn find(&self, path: &[u8]) -> Option<usize> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        self.entries[..self.count].iter().position(|entry| entry.path == path)
    }

    /// A file by its index.
    pub(crate) fn entry(&self, index: usize) -> &FileEntry {
        &self.entries[index]
    }

    /// The text behind the string id of a mapping; empty for 0. A file's is its path without the slash.
    pub(crate) fn name(&self, id: u32) -> &'static [u8] {
        if let Some((_, text)) = name::RESERVED.iter().find(|(reserved, _)| *reserved == id) {
            return text.as_bytes();
        }
        self.entries[..self.count].iter().find(|entry| entry.name == id).map_or(&[], |entry| entry.path)
    }

    /// What the program has as standard input.
    pub(crate) fn stdin(&self) -> What {
        self.find(STDIN).map_or(What::Nothing, What::File)
    }

    /// What memory management calls a file; makes it known there if need be.
    pub(crate) fn mappable(
        &mut self,
        mm: &mut Context<KernelMachine, Tracer>,
        index: usize,
    ) -> Result<FileId, OutOfMemory> {
        let entry = &mut self.entries[index];
        if let Some(id) = entry.id {
            return Ok(id);
        }
        mm.trace.string(entry.name, &[b"/", entry.path]);
        let address = entry.bytes.as_ptr() as u64 - self.base_virt + self.base;
        let id = mm.add_file(FileSpec::backed(address, entry.bytes.len() as u64, entry.name, entry.inode))?;
        entry.id = Some(id);
        Ok(id)
    }
}
