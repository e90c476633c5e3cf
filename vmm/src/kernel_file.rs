//! A kernel from a file (`--kernel`): which boot protocol it was made for, and before the boot why it could not boot.

use std::{ops::Range, path::Path};

use object::{
    LittleEndian, elf,
    read::elf::{FileHeader, NoteIterator, ProgramHeader},
};
use pagelab_abi::{ABI_VERSION, layout::KERNEL_VIRT, note};

use crate::{
    initramfs::{InitramfsError, read_host_file},
    vm::foreign::{Entry, LOWEST},
};

/// Owner and type of the note that holds the PVH entry (Xen: xen/include/public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY).
const XEN: &[u8] = b"Xen\0";
const PHYS32_ENTRY: u32 = 18;

type Header = elf::FileHeader64<LittleEndian>;
type Segment = elf::ProgramHeader64<LittleEndian>;

/// How a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// pagelab's own: boot info, ring and control ports. It runs programs.
    Pagelab,
    /// Any other.
    Foreign(Entry),
}

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct KernelFile {
    /// Where it was found, as it was given.
    pub path: String,
    /// The ELF file.
    pub elf: Vec<u8>,
    /// How it is entered.
    pub protocol: Protocol,
    /// Guest-physical addresses from the first to the last byte it occupies, zeroed memory included.
    pub extent: Range<u64>,
}

/// Why there is no kernel to boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelFileError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] InitramfsError),
    /// The file is no kernel that the lab can boot.
    #[error("{path}: {why}")]
    Unfit {
        /// The file.
        path: String,
        /// Why it is not.
        why: String,
    },
    /// Another version of pagelab's ABI.
    #[error(
        "{path}: the kernel speaks version {found} of pagelab's ABI and this pagelab version {ABI_VERSION}: build both \
         from the same source"
    )]
    AbiVersion {
        /// The file.
        path: String,
        /// What its note says.
        found: u32,
    },
}

impl KernelFile {
    /// The file's name, without the folders above it.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether all of it lies in `low` bytes of RAM from 0.
    ///
    /// # Errors
    /// It does not: says how much it needs.
    pub fn check_memory(&self, low: u64) -> Result<(), KernelFileError> {
        if self.extent.end <= low {
            return Ok(());
        }
        let why = format!(
            "it lies at {:#x} to {:#x} and low guest memory ends at {low:#x}: give more with --memory",
            self.extent.start, self.extent.end
        );
        Err(KernelFileError::Unfit { path: self.path.clone(), why })
    }

    /// Reads a kernel and finds out how it wants to be entered.
    ///
    /// # Errors
    /// The file cannot be read or booted.
    pub fn open(path: &Path) -> Result<KernelFile, KernelFileError> {
        let (elf, _) = read_host_file(path)?;
        let path = path.display().to_string();
        let unfit = |why| KernelFileError::Unfit { path: path.clone(), why };
        let Found { extent, entry, abi_version } = examine(&elf).map_err(unfit)?;
        let protocol = match abi_version {
            Some(ABI_VERSION) => Protocol::Pagelab,
            Some(found) => return Err(KernelFileError::AbiVersion { path, found }),
            None => Protocol::Foreign(entry),
        };
        if extent.start < LOWEST {
            let start = extent.start;
            return Err(unfit(format!("it wants to be loaded at {start:#x}; link it to {LOWEST:#x} or above")));
        }
        match protocol {
            Protocol::Foreign(Entry::Long(entry)) if !Entry::Long(entry).is_mapped() => Err(unfit(format!(
                "its entry {entry:#x} is mapped neither one to one below 4 GiB nor in the GiB at {KERNEL_VIRT:#x}"
            ))),
            _ => Ok(KernelFile { path, elf, protocol, extent }),
        }
    }
}

/// What an ELF file says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    extent: Range<u64>,
    /// By the PVH note if there is one, or else by the ELF header.
    entry: Entry,
    /// Of pagelab's note, if there is one.
    abi_version: Option<u32>,
}

/// Reads headers and notes; an error says why the file cannot be booted.
fn examine(bytes: &[u8]) -> Result<Found, String> {
    match bytes.get(..elf::ELFMAG.len() + 1).unwrap_or_default() {
        [0x7f, b'E', b'L', b'F', elf::ELFCLASS64] => {}
        [0x7f, b'E', b'L', b'F', _] => {
            return Err("a 32-bit ELF file; the lab boots 64-bit (x86-64) kernels".to_owned());
        }
        _ if bytes.get(0x202..0x206) == Some(b"HdrS") => {
            return Err("a compressed Linux image (bzImage); give the vmlinux inside it (Linux's \
                        scripts/extract-vmlinux unpacks it)"
                .to_owned());
        }
        _ => return Err("not an ELF file".to_owned()),
    }
    let broken = |error: object::Error| format!("a broken ELF file: {error}");
    let header = Header::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(|_| "a big-endian kernel; the lab boots x86-64 ones".to_owned())?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        let machine = header.e_machine(endian);
        return Err(format!("a kernel for another processor (ELF machine {machine}); the lab boots x86-64 ones"));
    }
    match header.e_type(endian) {
        elf::ET_EXEC => {}
        elf::ET_DYN => return Err("a position-independent file; link the kernel to fixed addresses (-no-pie)".into()),
        elf::ET_REL => return Err("an object file: link it first".to_owned()),
        other => return Err(format!("not an executable (ELF type {other})")),
    }
    let segments = header.program_headers(endian, bytes).map_err(broken)?;
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .map(|segment| load_range(segment, endian, bytes))
        .filter(|range| range.as_ref().map_or(true, |range| !range.is_empty()))
        .collect::<Result<Vec<_>, _>>()?;
    let extent = match (loaded.iter().map(|range| range.start).min(), loaded.iter().map(|range| range.end).max()) {
        (Some(start), Some(end)) => start..end,
        _ => return Err("an ELF file with nothing to load".to_owned()),
    };
    let note = |owner, kind| note(segments, endian, bytes, owner, kind);
    let entry = note(XEN, PHYS32_ENTRY).map_or(Entry::Long(header.e_entry(endian)), Entry::Pvh);
    Ok(Found { extent, entry, abi_version: note(&note::NAME, note::TYPE) })
}

/// Where a segment lies in guest-physical memory; an error if the file does not hold it.
fn load_range(segment: &Segment, endian: LittleEndian, bytes: &[u8]) -> Result<Range<u64>, String> {
    let start = segment.p_paddr(endian);
    let (in_file, in_memory) = (segment.p_filesz(endian), segment.p_memsz(endian));
    if segment.data(endian, bytes).is_err() {
        return Err(format!("a truncated ELF file: the segment for {start:#x} ends behind the file's end"));
    }
    if in_file > in_memory {
        return Err(format!("a broken ELF file: the segment for {start:#x} is larger in the file than in memory"));
    }
    let end = start
        .checked_add(in_memory)
        .ok_or_else(|| format!("a broken ELF file: the segment for {start:#x} ends beyond all addresses"))?;
    Ok(start..end)
}

/// The first four bytes of the first note of this owner and type, as a number.
fn note(segments: &[Segment], endian: LittleEndian, bytes: &[u8], owner: &[u8], kind: u32) -> Option<u32> {
    // ELF's notes are aligned to four bytes, whatever the segment says; only GNU's properties are not.
    const ALIGN: u64 = 4;
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_NOTE)
        .filter_map(|segment| segment.data(endian, bytes).ok())
        .filter_map(|data| NoteIterator::<Header>::new(endian, ALIGN, data).ok())
        .flat_map(|notes| notes.map_while(Result::ok))
        .filter(|note| note.n_type(endian) == kind && note.name_bytes() == owner)
        .find_map(|note| note.desc().get(..4)?.try_into().ok().map(u32::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use pagelab_abi::layout::KERNEL_PHYS;

    use super::*;
    use crate::builtin::KERNEL;

    #[test]
    fn the_built_in_kernel_says_its_version() {
        let found = examine(KERNEL).expect("a kernel");
        assert_eq!(found.abi_version, Some(ABI_VERSION));
        assert_eq!(found.extent.start, KERNEL_PHYS);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut elf = KERNEL.to_vec();
        let name = elf.windows(8).position(|bytes| bytes == note::NAME).expect("the note");
        elf[name + 8] = 0x63;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("old-kernel");
        std::fs::write(&path, elf).expect("a file");
        let error = KernelFile::open(&path).expect_err("another version").to_string();
        assert!(error.contains("old-kernel") && error.contains("version 99"), "{error}");
    }

    #[test]
    fn what_cannot_boot_is_said() {
        let why = |bytes: &[u8]| examine(bytes).expect_err("unfit");
        assert_eq!(why(b""), "not an ELF file");
        assert_eq!(why(b"#!/bin/sh\n"), "not an ELF file");
        assert!(why(&KERNEL[..40]).contains("broken"));
        assert!(why(&KERNEL[..200]).contains("broken") || why(&KERNEL[..200]).contains("truncated"));
        assert!(why(&KERNEL[..0x8000]).contains("truncated"));
        let changed = |changes: &[(usize, u8)]| {
            let mut elf = KERNEL.to_vec();
            changes.iter().for_each(|&(offset, value)| elf[offset] = value);
            why(&elf)
        };
        assert!(changed(&[(4, 1)]).contains("32-bit"));
        assert!(changed(&[(5, 2)]).contains("big-endian"));
        assert!(changed(&[(18, 183)]).contains("another processor"));
        assert!(changed(&[(16, 3)]).contains("-no-pie"));
        assert!(changed(&[(16, 1)]).contains("object file"));
        // The first program header lies at 64: its physical address at +24, its size in memory at +40.
        assert!(changed(&[(64 + 40, 1), (64 + 41, 0), (64 + 42, 0)]).contains("larger in the file"));
        assert!(changed(&[(64 + 31, 0xff), (64 + 30, 0xff), (64 + 47, 0xff)]).contains("beyond all addresses"));
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert!(why(&image).contains("bzImage"));
    }
}
